"""SQLite: many writers, and files that are missing, damaged, read-only, full or too new."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.store.test_store import CLIPS_PER_RUN, clip, filled, new_run
from vlmrb.errors import ConfigError, NotFoundError, StoreCorruptError, StoreFullError, StoreUnavailableError
from vlmrb.store import Store
from vlmrb.store.database import HEAD
from vlmrb.store.tables import metadata

WRITER = """
import sys
from vlmrb.store import Store
store = Store(sys.argv[1])
for _ in range(60):
    with store._write() as connection:  # read, then write: what loses updates without BEGIN IMMEDIATE
        step = connection.exec_driver_sql("SELECT step FROM runs WHERE run_id = 1").scalar_one()
        connection.exec_driver_sql(f"UPDATE runs SET step = {step + 1} WHERE run_id = 1")
"""

OPENER = "import sys; from vlmrb.store import Store; print(Store(sys.argv[1]).check())"


def run_together(code: str, path: Path, processes: int) -> list[str]:
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert all(process.returncode == 0 for process in started), outputs
    return [output[0].strip() for output in outputs]


def test_several_writers_lose_no_update_and_are_never_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(str(path)) as store:
        new_run(store)
        run_together(WRITER, path, 4)
        assert store.run(1).step == 4 * 60


def test_processes_that_open_a_new_store_at_once_all_succeed(tmp_path: Path) -> None:
    assert run_together(OPENER, tmp_path / "folder" / "new.db", 4) == ["[]"] * 4


def test_the_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    versions = Path(sys.modules["vlmrb.store.database"].__file__).parent / "migrations" / "versions"
    assert max(path.name[:4] for path in versions.glob("0*.py")) == HEAD
    with Store(str(tmp_path / "store.db")) as store, store._write() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_opening_without_creating_says_that_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="train a run first"):
        Store(str(tmp_path / "none.db"), create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("dear diary, " * 500)
    with pytest.raises(StoreCorruptError, match="not a usable database"):
        Store(str(path))
    assert path.read_text() == "dear diary, " * 500


def test_damage_in_the_middle_is_found_by_the_check_or_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(str(path)) as store:
        filled(store, 200)
        with store._write() as connection:
            connection.exec_driver_sql("DELETE FROM clip_data WHERE clip_id % 2 = 0")
    data = bytearray(path.read_bytes())
    for page in range(4, len(data) // 4096):
        data[page * 4096 : page * 4096 + 60] = os.urandom(60)
    path.write_bytes(data)
    try:
        with Store(str(path)) as store:
            assert store.check() != []
    except StoreCorruptError as error:
        assert "restore a backup" in str(error)


def test_a_store_of_a_newer_vlmrb_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store(str(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreCorruptError, match="update vlmrb"):
        Store(str(path))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write anything: become somebody who may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_store_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    store = Store(str(folder / "store.db"))
    run_id = filled(store)
    for path in (*tmp_path.parents, tmp_path, folder):
        if path.is_relative_to("/tmp/pytest-of-root"):
            path.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    with as_nobody(), pytest.raises(StoreUnavailableError, match=r"read-only|cannot be opened"):
        store.rename_run(run_id, "x")
    folder.chmod(0o755)
    assert store.run(run_id).name != "x"


def test_a_full_disk_loses_nothing_that_was_written_and_says_so(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    run_id = filled(store)
    event.listen(store._writing, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 60"))
    writer = store.writer(run_id)
    for number in range(6, 400):
        writer.add_clip(clip(run_id, number, frames=True))
    with pytest.raises(StoreFullError, match="no space left"):
        writer.flush()
    assert store.count_clips(run_id) == 6 and store.check() == []
    roomy = Store(store.url)
    writer._begin = roomy._write  # the disk has room again: the same rows go in
    writer.flush()
    assert store.count_clips(run_id) == 400
    assert store.load_clip(run_id * CLIPS_PER_RUN + 399).snapshots.shape == (4, 6, 5, 3)


@pytest.mark.parametrize(("url", "words"), [("sqlite://", "in memory"), ("nosuch://host/db", "driver"), ("://", "neither")])
def test_a_url_that_is_no_store_says_why(url: str, words: str) -> None:
    with pytest.raises(StoreUnavailableError, match=words):
        Store(url)


def test_passwords_do_not_show() -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        Store("nosuch://me:secret@host/db")
    assert "secret" not in str(caught.value)


def test_a_backup_is_a_store_and_overwrites_nothing(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        run_id = filled(store)
        store.backup(tmp_path / "copy.db")
        with pytest.raises(ConfigError, match="exists"):
            store.backup(tmp_path / "copy.db")
        with pytest.raises(ConfigError, match="cannot be written"):
            store.backup(tmp_path / "nowhere" / "copy.db")
    with Store(str(tmp_path / "copy.db"), create=False) as copy:
        assert copy.count_clips(run_id) == 6 and copy.check() == []
