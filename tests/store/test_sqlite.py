"""SQLite: connection settings, and files that are missing, damaged, read-only, full, too new or on a network disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import event

from tests.store.samples import clip, filled, new_run
from vlmrb.errors import ConfigError, NotFoundError, StoreCorruptError, StoreError, StoreFullError, StoreUnavailableError
from vlmrb.store import Store, default_store_url
from vlmrb.types import CLIPS_PER_RUN


def test_connections_are_set_up_for_many_writers(tmp_path: Path) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 10_000, "foreign_keys": 1}
    with Store(str(tmp_path / "store.db")) as store, store._read() as reading, store._write() as writing:
        for connection in (reading, writing):
            found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}
            assert found == wanted
        with closing(sqlite3.connect(tmp_path / "store.db", timeout=0)) as third, pytest.raises(sqlite3.OperationalError):
            third.execute("BEGIN IMMEDIATE")  # the writer holds the lock from the start


def test_a_relative_path_means_the_same_file_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with Store("runs.db") as store:
        monkeypatch.chdir(tmp_path / "sub")
        run_id = new_run(store)
        assert store.url == str(tmp_path / "runs.db")
        assert store.folder_of_run(run_id) == tmp_path / "runs-runs" / str(run_id)
    assert list((tmp_path / "sub").iterdir()) == []
    for url in (f"sqlite:///{tmp_path}/runs.db", f"sqlite:///file:{tmp_path}/runs.db?uri=true"):
        with Store(url, create=False) as store:
            assert store.run(run_id).run_id == run_id and store.url == str(tmp_path / "runs.db")


def test_the_default_is_in_the_users_data_folder_or_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_store_url() == str(Path(os.environ["XDG_DATA_HOME"]) / "vlmrb" / "vlmrb.db")
    monkeypatch.setenv("VLMRB_STORE", str(tmp_path / "mine.db"))
    with Store() as store:
        assert store.url == str(tmp_path / "mine.db")


def test_opening_a_missing_store_without_creating_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="train a run first"):
        Store(str(tmp_path / "none.db"), create=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    with pytest.raises(NotFoundError, match="no runs yet"):
        Store(str(tmp_path / "empty.db"), create=False)


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="it is a folder"):
        Store(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match=r"file/store\.db cannot be used"):
        Store(str(tmp_path / "file" / "store.db"))


def test_a_file_that_is_not_a_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("dear diary, " * 500)
    with pytest.raises(StoreCorruptError, match="not a usable database"):
        Store(str(path))
    assert path.read_text() == "dear diary, " * 500


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    with pytest.raises(StoreCorruptError, match="bookmarks"):
        Store(str(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]


def damaged(path: Path, kind: str) -> None:
    data = bytearray(path.read_bytes())
    if kind == "cut":
        del data[len(data) // 2 :]
    elif kind == "header":
        data[:16] = os.urandom(16)
    elif kind == "schema":
        data[100:400] = os.urandom(300)
    else:
        for page in range(4, len(data) // 4096):
            data[page * 4096 : page * 4096 + 60] = os.urandom(60)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["cut", "header", "schema", "pages"])
def test_a_damaged_file_is_detected_on_opening_or_by_the_check(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store.db"
    with Store(str(path)) as store:
        run_id = filled(store, 200)
    damaged(path, kind)
    assert problems_of(path) != []
    with pytest.raises(StoreCorruptError, match=r"(damaged|not a usable database).*backup"):
        read_everything(path, run_id)


def problems_of(path: Path) -> list[str]:
    try:
        with Store(str(path)) as store:
            return store.check()
    except StoreCorruptError as error:
        return [str(error)]


def read_everything(path: Path, run_id: int) -> None:
    with Store(str(path)) as store:
        for number in range(200):
            store.load_clip(run_id * CLIPS_PER_RUN + number)


def test_the_check_reports_clips_without_frames_and_missing_scores(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        filled(store)
        assert store.check() == []
        with store._write() as connection:
            connection.exec_driver_sql("DELETE FROM clip_data WHERE clip_id % 2 = 0")
            connection.exec_driver_sql("DELETE FROM scores WHERE clip_id % 3 = 0")
        assert store.check() == ["3 clips have no frames", "2 clips refer to a missing score"]


def test_a_damaged_clip_is_named_and_the_others_are_not_affected(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        run_id = filled(store)
        first = run_id * CLIPS_PER_RUN
        changes = ["data = x'00'", "shape = '[1,2]'", "shape = '\"x\"'", "shape = '{'", "codec = 'zip'", "rewards = x'0000'"]
        for number, change in enumerate(changes):
            with store._write() as connection:
                connection.exec_driver_sql(f"UPDATE clip_data SET {change} WHERE clip_id = {first + number}")
            with pytest.raises(StoreCorruptError, match=str(first + number) if "{" not in change else "damaged"):
                store.load_clip(first + number)
        assert len(store.clips(run_id)) == 6


def test_a_store_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store(str(path)).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE vlmrb_version SET version_num = '9999'")
    with pytest.raises(StoreCorruptError, match="update vlmrb"):
        Store(str(path))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write anything: become a user who may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that anyone may access; pytest's own are closed to others."""
    folder = Path("/tmp") / f"vlmrb-{tmp_path.name}-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_read_only_store_says_so(open_folder: Path, whole_folder: bool) -> None:
    path = open_folder / "store.db"
    with Store(str(path)) as store:
        run_id = filled(store)
    path.chmod(0o444)
    open_folder.chmod(0o555 if whole_folder else 0o777)
    with as_nobody(), pytest.raises(StoreUnavailableError, match=r"(read-only|cannot be opened).*writable"):
        Store(str(path)).rename_run(run_id, "x")
    path.chmod(0o644)
    open_folder.chmod(0o755)
    with Store(str(path)) as store:
        assert store.run(run_id).name != "x" and store.check() == []


def test_a_folder_that_is_not_writable_says_so(open_folder: Path) -> None:
    with as_nobody(), pytest.raises(StoreUnavailableError, match=f"{open_folder}/.*Permission denied"):
        Store(str(open_folder / "sub" / "store.db"))
    with as_nobody(), pytest.raises(StoreUnavailableError, match="cannot be opened"):
        Store(str(open_folder / "store.db"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A separate disk of 1 MiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a disk needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine does not let tests mount a disk: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_disk_that_is_mounted_read_only_says_so_and_its_store_can_be_read(disk: Path) -> None:
    with Store(str(disk / "store.db")) as store:
        run_id = filled(store)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with Store(str(disk / "store.db")) as store:
        assert store.count_clips(run_id) == 6
        with pytest.raises(StoreUnavailableError, match="is read-only, so nothing in it can be changed"):
            store.rename_run(run_id, "another")
    for path in ("other.db", "new/store.db"):
        with pytest.raises(StoreUnavailableError, match=r"read-only|cannot be opened|Read-only"):
            Store(str(disk / path))


def test_a_full_disk_says_so_and_loses_nothing(disk: Path) -> None:
    with Store(str(disk / "store.db")) as store:
        run_id = filled(store)
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * (shutil.disk_usage(disk).free - 200_000))
        writer = store.writer(run_id)
        for number in range(6, 600):
            writer.add_clip(clip(run_id, number, frames=True))
        with pytest.raises(StoreFullError, match="no space left"):
            writer.flush()
        assert store.count_clips(run_id) == 6 and store.check() == []
        with pytest.raises(ConfigError, match="cannot be written"):
            store.backup(disk / "copy.db")
        assert not list(disk.glob("*copy*"))
        ballast.unlink()
        writer.flush()
        assert store.count_clips(run_id) == 600 and store.check() == []


def test_a_full_database_says_so_and_a_later_flush_writes_the_same_rows(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        run_id = filled(store)
        store.close()
        event.listen(store._writing, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 60"))
        writer = store.writer(run_id)
        for number in range(6, 400):
            writer.add_clip(clip(run_id, number, frames=True))
        with pytest.raises(StoreFullError, match="no space left"):
            writer.flush()
        assert store.count_clips(run_id) == 6 and store.check() == []
        with Store(store.url) as roomy:
            writer._begin = roomy._write  # there is space again
            writer.flush()
        assert store.count_clips(run_id) == 400


def test_a_store_locked_for_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmrb.store.engine.BUSY_TIMEOUT_MS", 50)
    with Store(str(tmp_path / "store.db")) as store, closing(sqlite3.connect(tmp_path / "store.db")) as other:
        run_id = new_run(store)
        store.close()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked by another process"):
            store.heartbeat(run_id, 1)
        assert store.run(run_id).step == 0  # readers do not wait


def test_a_network_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mounts(**folders: str) -> None:
        found = [SimpleNamespace(mountpoint="/", fstype="9p")]
        found += [SimpleNamespace(mountpoint=str(tmp_path / name), fstype=kind) for name, kind in folders.items()]
        monkeypatch.setattr("psutil.disk_partitions", lambda **_: found)

    for kind in ("nfs4", "cifs", "fuse.sshfs", "9p"):
        mounts(share=kind)
        with pytest.raises(StoreUnavailableError, match=f"network file system \\({kind}\\)"):
            Store(str(tmp_path / "share" / "store.db"))
        Store(str(tmp_path / "store.db")).close()
    mounts(share="nfs", **{"share/local": "ext4"})
    Store(str(tmp_path / "share" / "local" / "store.db")).close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "in-memory"),
        ("sqlite:///:memory:", "in-memory"),
        ("sqlite:///file::memory:?uri=true", "in-memory"),
        ("nosuch://me:secret@host/db", "not a supported database"),
        ("mysql://me:secret@host/db", "not a supported database"),
        ("postgresql://me:secret@host:port/db", "neither"),
        ("://", "neither"),
    ],
)
def test_an_invalid_url_says_why_and_shows_no_password(url: str, words: str) -> None:
    with pytest.raises(StoreUnavailableError, match=words) as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_a_backup_is_a_store_and_overwrites_nothing(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        run_id = filled(store)
        with store._write() as connection:  # even in the middle of a transaction
            connection.exec_driver_sql("UPDATE runs SET name = 'half'")
            store.backup(tmp_path / "copy.db")
        with pytest.raises(ConfigError, match="exists"):
            store.backup(tmp_path / "copy.db")
        with pytest.raises(ConfigError, match="cannot be written"):
            store.backup(tmp_path / "nowhere" / "copy.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "store.db"]
    with Store(str(tmp_path / "copy.db"), create=False) as copy:
        assert copy.count_clips(run_id) == 6 and copy.check() == [] and copy.run(run_id).name != "half"


def test_lists_never_read_frames(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        run_id = filled(store)
        read: list[str] = []

        def watch(action: int, table: str | None, *_: object) -> int:
            if action == sqlite3.SQLITE_READ and table:
                read.append(table)
            return sqlite3.SQLITE_OK

        store.close()
        event.listen(store._reading, "connect", lambda connection, _: connection.set_authorizer(watch))
        for listing in ({}, {"run_id": run_id, "label": True}, {"event": "success", "order": "oldest"}, {"min_step": 3}):
            assert store.clips(**listing)
        assert store.clip(run_id * CLIPS_PER_RUN) and store.count_clips(run_id) and store.unscored_clips(run_id) == []
        assert set(read) == {"clips", "scores"}
        store.clip_snapshots(run_id * CLIPS_PER_RUN)
        assert "clip_data" in read


@pytest.mark.parametrize("statement", ["SELECT nonsense FROM runs", "INSERT INTO runs (run_id) VALUES (1)", "not even SQL"])
def test_all_other_errors_are_store_errors_too(tmp_path: Path, statement: str) -> None:
    with Store(str(tmp_path / "store.db")) as store, pytest.raises(StoreError), store._write() as connection:
        connection.exec_driver_sql(statement)


def test_importing_the_store_loads_nothing_heavy() -> None:
    code = "import sys, vlmrb.store; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert not {"alembic", "av", "torch", "pydantic", "platformdirs", "psycopg"} & set(loaded)
