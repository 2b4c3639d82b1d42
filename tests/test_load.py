"""Ten minutes of everything at once on one store: eight trainers, two launchers, a studio, a sleeping reader and a foreign lock.

Slow. `VLMRB_LOAD_S` sets another number of seconds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.endless import assert_whole, endless_run
from tests.forked import FORKED
from tests.postgres import BINARIES, Server
from tests.studio_process import studio
from tests.waiting import wait_until
from vlmrb import jobs
from vlmrb.config import make_config
from vlmrb.errors import StoreError
from vlmrb.store import Store
from vlmrb.train import resume
from vlmrb.types import LIVE

DURATION_S = float(os.environ.get("VLMRB_LOAD_S", "600"))
LOCK_S = DURATION_S / 10
TRAINERS, LAUNCHERS = 8, 2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def _train(url: str, run_id: int) -> None:
    resume(run_id, store=Store(url))


def _launch(url: str, number: int, run_ids: list[int], over: Event) -> None:
    """Launch runs that are cancelled at once, and replace a tag of this launcher on other runs, one after another."""
    config = make_config(env="DoorKey-5x5", replay="uniform", total_steps=200, learning_starts=100, eval_interval=200)
    tags = 0
    with Store(url) as store:
        while not over.is_set() or tags % len(run_ids):
            with patience():
                for run_id in jobs.launch(store, [config], tags=[f"launched-{number}"]):
                    with suppress(StoreError):
                        jobs.cancel(store, run_id)
            run_id, tag = run_ids[tags % len(run_ids)], f"{number}-{tags // len(run_ids)}"
            while tag not in store_tags(store, run_id):
                with patience():
                    store.change_tags(run_id, add=[tag], remove=[f"{number}-{tags // len(run_ids) - 1}"])
            tags += 1


@contextmanager
def patience() -> Iterator[None]:
    """What a person does when a command says that the store is busy or away."""
    try:
        yield
    except StoreError:
        time.sleep(1.0)


def store_tags(store: Store, run_id: int) -> tuple[str, ...]:
    with suppress(StoreError):
        return tuple(store.run(run_id).tags)
    return ()


@contextmanager
def in_background(*works: Callable[[threading.Event], None]) -> Iterator[None]:
    """Each of these functions in a thread; they end when the event that they get is set, and may not fail."""
    over = threading.Event()
    with ThreadPoolExecutor() as threads:
        doing = [threads.submit(work, over) for work in works]
        try:
            yield
        finally:
            over.set()
        for each in doing:
            each.result()


def sleep_in_transactions(connect: Callable[[], Any]) -> Callable[[threading.Event], None]:
    def work(over: threading.Event) -> None:
        while not over.is_set():
            with suppress(Exception), closing(connect()) as connection:  # the server may go away under it
                connection.execute("BEGIN")
                connection.execute("SELECT COUNT(*) FROM clips").fetchone()
                over.wait(DURATION_S / 20)
                connection.execute("ROLLBACK")

    return work


def watch(address: str) -> Callable[[threading.Event], None]:
    """Somebody who reloads the page of runs all the time."""
    opener = build_opener(ProxyHandler({}))

    def work(over: threading.Event) -> None:
        seen = 0
        while not over.wait(1.0) or not seen:
            with suppress(URLError, OSError):
                seen += opener.open(f"{address}/", timeout=90).status == 200

    return work


def burden(url: str, connect: Callable[[], Any], trouble: Callable[[], None]) -> None:
    """Train, launch, browse and read for `DURATION_S` with some trouble in the middle; then everything must be there."""
    over = FORKED.Event()
    with Store(url) as store:
        jobs.set_job_limit(store, 1)
        run_ids = [endless_run(store) for _ in range(TRAINERS)]
        trainers = [FORKED.Process(target=_train, args=(url, run_id)) for run_id in run_ids]
        launchers = [FORKED.Process(target=_launch, args=(url, number, run_ids, over)) for number in range(LAUNCHERS)]
        for process in (*trainers, *launchers):
            process.start()
        with studio(url) as (port, _), in_background(sleep_in_transactions(connect), watch(f"http://127.0.0.1:{port}")):
            wait_until(lambda: all(store.run(run_id).step > 0 for run_id in run_ids), "all runs to train", 600)
            time.sleep(DURATION_S / 3)
            trouble()
            time.sleep(DURATION_S / 3)
            steps = {run_id: store.run(run_id).step for run_id in run_ids}
            wait_until(lambda: all(store.run(run_id).step > step for run_id, step in steps.items()), "all runs to go on", 600)
        over.set()
        for process in launchers:
            process.join()
        assert [process.exitcode for process in launchers] == [0] * LAUNCHERS
        assert [store.run(run_id).status for run_id in run_ids] == ["running"] * TRAINERS
        for run_id in run_ids:
            store.request_change(run_id, "stop")
        for process in trainers:
            process.join()
        assert [process.exitcode for process in trainers] == [0] * TRAINERS
        wait_until(lambda: not any(run.status in ("queued", *LIVE) for run in store.runs()), "the launched runs to end")
        assert store.check() == []
        for run_id in run_ids:
            assert_whole(store, run_id)
            owners = sorted(tag.partition("-")[0] for tag in store.run(run_id).tags)
            assert owners == [str(number) for number in range(LAUNCHERS)], "a tag was lost"


def test_sqlite_under_load_ends_no_run_and_loses_no_update(tmp_path: Path) -> None:
    import sqlite3

    path = str(tmp_path / "store.db")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, timeout=300)

    def lock() -> None:
        with closing(connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(LOCK_S)
            connection.execute("ROLLBACK")

    burden(path, connect, lock)


@pytest.mark.skipif(not BINARIES, reason="install Debian's package postgresql")
def test_postgresql_under_load_that_is_restarted_twice_ends_no_run_and_loses_no_update(monkeypatch: pytest.MonkeyPatch) -> None:
    psycopg = pytest.importorskip("psycopg")
    monkeypatch.setenv("VLMRB_CHECKPOINTS", "local")
    server = Server()

    def restart_twice() -> None:
        with closing(psycopg.connect(server.url)) as connection:
            connection.execute("LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE")
            time.sleep(LOCK_S)
        for mode in ("fast", "immediate"):
            server.stop(mode)
            time.sleep(LOCK_S / 4)
            server.start()
            time.sleep(LOCK_S)

    try:
        server.start()
        burden(server.url, lambda: psycopg.connect(server.url, autocommit=True), restart_twice)
    finally:
        with suppress(AssertionError):
            server.stop("immediate")
        server.remove()
