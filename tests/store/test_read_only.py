"""A store that may be read but not changed: an archive, a mounted backup, another user's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.samples import Child, filled
from vlmrb.errors import StoreUnavailableError
from vlmrb.store import Store
from vlmrb.store.engine import read_only_uri

NOBODY = 65_534


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A store with one run, in a folder that others can enter."""
    folder = tmp_path / "archive"
    folder.mkdir()
    with Store(str(folder / "runs.db")) as store:
        filled(store)
    opened = [each for each in (folder, *folder.parents) if os.access(each, os.W_OK) and str(each).startswith("/tmp/pytest")]
    modes = {each: each.stat().st_mode for each in opened}
    for each in opened:
        each.chmod(0o755)
    yield folder / "runs.db"
    for each, mode in modes.items():
        each.chmod(mode)


def as_reader(work: Callable[[Callable[[object], None]], None]) -> list[str]:
    """Do it as somebody whom file modes bind: root may do anything."""

    def drop(report: Callable[[object], None]) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        work(report)

    return Child(drop).result()


def protect(path: Path, *, folder: bool) -> None:
    for each in path.parent.iterdir():
        each.chmod(0o444)
    path.parent.chmod(0o555 if folder else 0o777)


@pytest.mark.parametrize("folder", [True, False])
def test_a_read_only_store_can_be_browsed_and_changes_are_refused_in_words(path: Path, folder: bool) -> None:
    protect(path, folder=folder)

    def browse(report: Callable[[object], None]) -> None:
        with Store(str(path)) as store:
            report((store.read_only, [run.run_id for run in store.runs()], len(store.clips(1)), store.clip(10_000_001).number))
            for change in (
                lambda: store.rename_run(1, "mine"),
                lambda: store.enqueue_jobs("train", [1]),
                lambda: store.claim_run(1, os.getpid(), 1.0),
                lambda: store.delete_run(1),
                lambda: store.heartbeat(1, 1, durable=True),
                lambda: store.save_prompt("mine", "Is it?"),
            ):
                with pytest.raises(StoreUnavailableError, match=r"is read-only, so nothing in it can be changed; make"):
                    change()

    assert as_reader(browse) == ["(True, [1], 6, 1)"]
    assert [each.name for each in path.parent.iterdir()] == ["runs.db"]  # nothing was left there
    path.parent.chmod(0o755)


def test_what_somebody_else_writes_into_a_read_only_store_is_seen(path: Path) -> None:
    path.parent.chmod(0o555)
    reading, writing = os.pipe()

    def browse(report: Callable[[object], None]) -> None:
        os.close(writing)
        with Store(str(path)) as store:
            report(store.run(1).step)
            os.read(reading, 1)
            report(store.run(1).step)

    def change() -> None:
        path.parent.chmod(0o755)
        with Store(str(path)) as store:
            store.heartbeat(1, 77)
            if os.geteuid() == 0:
                path.parent.chmod(0o555)
            os.write(writing, b"x")
            seen.extend(reader._pipe.readline().split())

    seen: list[str] = []

    def drop(report: Callable[[object], None]) -> None:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        browse(report)

    reader = Child(drop)
    seen.append(reader._pipe.readline().strip())
    change()
    os.close(writing)
    os.close(reading)
    reader.result()
    path.parent.chmod(0o755)
    assert seen == ["0", "77"]


def test_rows_in_a_log_that_cannot_be_read_are_not_left_out_silently(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE runs SET step = 5")
        connection.commit()
        rows = path.with_name("runs.db-wal").read_bytes()
    connection.close()
    path.with_name("runs.db-wal").write_bytes(rows)
    protect(path, folder=True)

    def browse(report: Callable[[object], None]) -> None:
        with pytest.raises(StoreUnavailableError, match=r"runs\.db-wal.*copy both files to a writable folder"):
            Store(str(path))

    as_reader(browse)
    path.parent.chmod(0o755)


def test_a_read_only_store_of_an_older_version_is_refused_in_words(path: Path) -> None:
    with Store(str(path)) as store, store._write() as connection:
        connection.exec_driver_sql("UPDATE vlmrb_version SET version_num = '0005'")
    protect(path, folder=True)

    def browse(report: Callable[[object], None]) -> None:
        with pytest.raises(StoreUnavailableError, match=r"read-only, and was written by an older version.*copy it"):
            Store(str(path))

    as_reader(browse)
    path.parent.chmod(0o755)


def test_a_store_that_can_be_written_is_not_read_only(path: Path) -> None:
    assert read_only_uri(path) is None
    with Store(str(path)) as store:
        assert not store.read_only
