"""Several processes on one store, some of them killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

import psutil
import pytest

from tests.store.samples import Child, clip, filled, new_run, score
from tests.waiting import wait_until
from vlmrb.errors import RunBusyError
from vlmrb.store import Store, liveness
from vlmrb.types import CLIPS_PER_RUN, Episode, Event


def test_several_writers_lose_no_update_and_are_never_refused(store: Store) -> None:
    run_id = new_run(store)

    def count(report: Callable[[object], None]) -> None:
        for _ in range(50):
            with store._write() as connection:  # read, then write: without BEGIN IMMEDIATE this loses updates
                lock = " FOR UPDATE" if store._is_postgresql else ""
                step = connection.exec_driver_sql(f"SELECT step FROM runs WHERE run_id = {run_id}{lock}").scalar_one()
                connection.exec_driver_sql(f"UPDATE runs SET step = {step + 1} WHERE run_id = {run_id}")

    for child in [Child(count) for _ in range(4)]:
        child.result()
    assert store.run(run_id).step == 4 * 50


def test_two_live_runs_and_a_scorer_write_at_once_while_a_page_reads(store: Store) -> None:
    runs = [filled(store), filled(store)]

    def train(run_id: int, report: Callable[[object], None]) -> None:
        writer = store.writer(run_id)
        for number in range(6, 66):
            writer.add_clip(clip(run_id, number))
            writer.add_score(score(run_id * CLIPS_PER_RUN + number, 0.9))
            writer.add_metric("m", number, 1.0)
            writer.flush()
            store.heartbeat(run_id, number)

    def score_again(numbers: Iterable[int], report: Callable[[object], None]) -> None:
        writer = store.writer(runs[0])
        for _ in range(20):
            for number in numbers:
                writer.add_score(score(runs[0] * CLIPS_PER_RUN + number, 0.1, scorer="again"))
            writer.flush()

    def read(report: Callable[[object], None]) -> None:
        for _ in range(60):
            for page in (store.clips(limit=20), store.runs(), store.live_changes(runs[0])):
                assert page is not None

    work = [partial(train, run_id) for run_id in runs]
    work += [partial(score_again, order) for order in (range(6), range(5, -1, -1))]  # the same rows in opposite order
    for child in [Child(function) for function in (*work, read)]:
        child.result()
    assert [store.count_clips(run_id) for run_id in runs] == [66, 66]
    assert len(store.scores_of_run(runs[0], scorer="again")) == 2 * 20 * 6
    assert store.clip(runs[0] * CLIPS_PER_RUN).score.scorer == "again"
    assert store.check() == []


def test_processes_that_open_a_new_store_at_once_all_succeed(new_url: Callable[[], str]) -> None:
    for _ in range(4):
        url = new_url()

        def open_it(report: Callable[[object], None], url: str = url) -> None:
            with Store(url) as store:
                report(store.save_prompt("games", "Is it?").version)

        assert [child.result() for child in [Child(open_it) for _ in range(4)]] == [["1"]] * 4
        with Store(url, create=False) as store:
            assert store.check() == [] and len(store.prompts()) == 1


def test_only_one_of_many_processes_gets_a_run(store: Store) -> None:
    run_id = new_run(store)
    reading, writing = os.pipe()

    def claim(report: Callable[[object], None]) -> None:
        os.close(writing)
        process = psutil.Process()
        try:
            store.claim_run(run_id, process.pid, process.create_time())
            report("mine")
        except RunBusyError as error:
            report(str(error))
        os.read(reading, 1)  # stay alive until all have tried

    children = [Child(claim) for _ in range(5)]
    heard: list[str] = []
    for child in children:  # one line each
        heard.append(child._pipe.readline().strip())
    os.close(writing)
    os.close(reading)
    for child in children:
        child.result()
    owner = children[heard.index("mine")].pid
    assert heard.count("mine") == 1
    assert all(f"process {owner}" in words for words in heard if words != "mine")
    assert store.run(run_id).status == "interrupted"  # the owner has ended without reporting


def test_an_owner_that_is_killed_frees_the_run(store: Store) -> None:
    run_id = new_run(store)
    reading, writing = os.pipe()

    def claim(report: Callable[[object], None]) -> None:
        os.close(writing)
        process = psutil.Process()
        store.claim_run(run_id, process.pid, process.create_time())
        report("mine")
        os.read(reading, 1)  # stay alive until killed

    child = Child(claim)
    assert child._pipe.readline() == "mine\n"
    assert store.run(run_id).status == "running"
    assert [run.run_id for run in store.runs(status="running")] == [run_id]
    child.kill()
    os.close(writing)
    os.close(reading)
    assert store.run(run_id).status == "interrupted" and store.runs(status="running") == []
    me = psutil.Process()
    store.claim_run(run_id, me.pid, me.create_time())
    assert store.run(run_id).status == "running"


def wait_for_the_server(store: Store) -> None:
    """PostgreSQL still executes what a killed client has sent; until then, reads may see either state."""
    busy = """SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state <> 'idle'
              AND application_name = current_setting('application_name')"""

    def idle() -> bool:
        with store._read() as connection:
            return connection.exec_driver_sql(busy).scalar_one() == 0

    if store._is_postgresql:
        wait_until(idle, "the server to be done with what the killed client had sent")


def test_a_writer_killed_at_any_moment_leaves_no_half_written_row(store: Store) -> None:
    run_id = new_run(store)
    randomly = random.Random(0)

    def write(report: Callable[[object], None]) -> None:
        writer = store.writer(run_id)
        for number in range(store.next_clip_number(run_id), 10**6, 5):
            for each in range(number, number + 5):
                writer.add_clip(clip(run_id, each, frames=True))
                writer.add_score(score(run_id * CLIPS_PER_RUN + each, 0.9))
                writer.add_event(each, 0, Event("opened", "door"))
                writer.add_episode(Episode(each, 0, each, 0, 1, 0.0, True))
            writer.flush()
            report(number + 5)

    for _ in range(6):
        writing = Child(write)
        first = writing._pipe.readline().strip()
        # A delay, not an event: events occur only between writes, and the kill must also hit during one.
        # The assertions do not depend on how far the child got.
        time.sleep(randomly.uniform(0.0, 0.5))
        lines = [first, *writing.kill()]
        wait_for_the_server(store)
        clips = store.clips(run_id, limit=10**6, order="oldest")
        assert [summary.number for summary in clips] == list(range(len(clips))) and len(clips) % 5 == 0
        assert len(clips) >= max((int(line) for line in lines if line.isdigit()), default=0)  # what was flushed is there
        assert all(summary.score is not None for summary in clips)
        assert len(store.events(run_id)) == len(store.episodes(run_id)) == len(store.scores_of_run(run_id)) == len(clips)
        if clips:
            assert len(store.load_clip(clips[-1].clip_id)) == 4
    assert store.check() == [] and store.count_clips(run_id) > 0


def test_a_store_keeps_working_after_a_fork(store: Store) -> None:
    run_id = filled(store)

    def rename(report: Callable[[object], None]) -> None:
        report(store.run(run_id).step)
        store.rename_run(run_id, "from the child")

    assert Child(rename).result() == ["0"]
    assert store.run(run_id).name == "from the child"
    store.rename_run(run_id, "from the parent")
    assert store.run(run_id).name == "from the parent"


def test_threads_share_a_store(store: Store) -> None:
    run_id, problems = filled(store), []

    def use(index: int) -> None:
        try:
            for step in range(15):
                store.heartbeat(run_id, step)
                assert len(store.clips(run_id)) == 6
                store.request_change(run_id, "lambda", index / 10)
        except Exception as error:  # noqa: BLE001 - reported by the main thread
            problems.append(error)

    threads = [threading.Thread(target=use, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == [] and len(store.live_changes(run_id)) == 6 * 15


def test_an_up_to_date_store_opens_without_alembic(new_url: Callable[[], str]) -> None:
    url = new_url()
    Store(url).close()
    code = "import sys\nfrom vlmrb.store import Store\nStore(sys.argv[1]).close(); print(*sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(outcome.stdout.split())
    assert "vlmrb.store" in loaded and not {"alembic", "av", "torch"} & loaded


def test_a_run_on_another_machine_is_alive_until_its_heartbeat_stops(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = new_run(store)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("socket.gethostname", lambda: "elsewhere")
        store.claim_run(run_id, 1, 1.0)
    assert store.run(run_id).status == "running"
    with pytest.raises(RunBusyError, match="on elsewhere, last heartbeat"):
        store.claim_run(run_id, os.getpid(), 1.0)
    monkeypatch.setattr(liveness, "LEASE_S", 0.0)
    assert store.run(run_id).status == "interrupted"
