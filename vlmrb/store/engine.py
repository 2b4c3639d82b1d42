"""Connections: where the store is, and the settings of each database."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from vlmrb.errors import StoreUnavailableError
from vlmrb.store.text import from_json, to_json

BUSY_TIMEOUT_MS = 10_000

# PostgreSQL's advisory locks, as arguments; several stores may share a database, each in its own schema
CREATION_LOCK, CLAIM_LOCK, UPGRADE_LOCK = (f"{number}, hashtext(current_schema())" for number in (7266015, 7266016, 7266017))
"""How long a writer waits for another writer."""

CONNECT_TIMEOUT_S = 10
_NETWORK_FILE_SYSTEMS = re.compile(
    r"(fuse\.)?(nfs\d?|cifs|smb\w*|sshfs|9p|ceph|glusterfs|lustre|afs|beegfs|gpfs|davfs\d?|s3fs|rclone|gcsfuse)"
)


def default_store_url() -> str:
    """$VLMRB_STORE, else vlmrb.db in the user's data folder."""
    from platformdirs import user_data_path

    return os.environ.get("VLMRB_STORE") or str(user_data_path("vlmrb", appauthor=False) / "vlmrb.db")


def parse_url(url: str) -> URL:
    """A path or a SQLAlchemy URL of SQLite or PostgreSQL; paths are made absolute.

    Raises:
        StoreUnavailableError: it is neither.
    """
    if "://" not in url:
        return URL.create("sqlite", database=str(Path(url).expanduser().absolute()))
    shown = re.sub(r"://.*@", "://***@", url)  # may hold a password
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is not a number
        raise StoreUnavailableError(f"store: {shown!r} is neither a path nor a URL such as {_EXAMPLE}") from error
    backend = parsed.get_backend_name()
    if backend in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreUnavailableError(f"store: {shown!r} is not a supported database; give a file or a URL such as {_EXAMPLE}")
    if not parsed.database or ":memory:" in parsed.database:
        raise StoreUnavailableError("store: an in-memory store would vanish with its process; give a file")
    if not parsed.database.startswith("file:"):
        parsed = parsed.set(database=str(Path(parsed.database).absolute()))
    return parsed.set(drivername="sqlite")


_EXAMPLE = "postgresql://user@host/database"


def sqlite_path(url: URL) -> Path | None:
    """The file of an SQLite store, or None for other databases."""
    if url.get_backend_name() != "sqlite":
        return None
    return Path((url.database or "").removeprefix("file:"))


def describe(url: URL) -> str:
    """The store's name in messages: the file, or the URL without its password."""
    path = sqlite_path(url)
    return str(path) if path is not None else url.render_as_string(hide_password=True)


def refuse_network_disk(path: Path) -> None:
    """Refuse a network file system: SQLite's write-ahead log needs a local disk.

    Raises:
        StoreUnavailableError: the folder is on a network file system.
    """
    kind = _file_system(path.parent.resolve())
    if kind is not None and _NETWORK_FILE_SYSTEMS.fullmatch(kind.lower()):
        raise StoreUnavailableError(
            f"store: {path} is on a network file system ({kind}), where SQLite's write-ahead log is not safe; "
            "use a local folder, or PostgreSQL by URL"
        )


def _file_system(folder: Path) -> str | None:
    """Type of the file system that holds `folder`; None if it is the root file system or unknown."""
    try:
        mounts = [mount for mount in psutil.disk_partitions(all=True) if folder.is_relative_to(mount.mountpoint)]
    except (OSError, psutil.Error):
        return None
    nearest = max(
        mounts, key=lambda mount: len(mount.mountpoint), default=None
    )  # of several on one folder the last hides the others
    if nearest is None or nearest.mountpoint == folder.anchor:  # a container's root may look like a network file system
        return None
    return str(nearest.fstype)


def read_only_uri(path: Path) -> str | None:
    """How to open an SQLite store that this process may read but not change; None if it may change it, or there is none.

    Raises:
        StoreUnavailableError: its newest rows are in its log, which cannot be read without writing next to it.
    """
    log, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    folder_is_writable = os.access(path.parent, os.W_OK)
    if not path.is_file() or not os.access(path, os.R_OK):  # opening it says why not
        return None
    if os.access(path, os.W_OK) and (folder_is_writable or all(os.access(each, os.W_OK) for each in (log, index))):
        return None
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if log.exists() and (index.exists() or folder_is_writable):
        return uri
    if log.exists() and log.stat().st_size:
        raise StoreUnavailableError(
            f"store: {path} is in a read-only folder, and its newest rows are in {log.name}, which cannot be read there; "
            "copy both files to a writable folder"
        )
    return f"{uri}&immutable=1"  # nobody has it open for writing, and so SQLite needs no files next to it


def make_engine(url: URL, *, writes: bool, read_only: str | None = None) -> Engine:
    """Create an engine. A writing one uses IMMEDIATE transactions, so that none is refused halfway.

    Args:
        url: the database.
        writes: whether it is for transactions that write.
        read_only: of an SQLite file that may only be read: what `read_only_uri` gave.

    Raises:
        StoreUnavailableError: the database's driver is not installed.
    """
    sqlite = url.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"json_serializer": to_json, "json_deserializer": from_json, "pool_size": 2, "max_overflow": -1}
    if not sqlite:
        options |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_TIMEOUT_S}}
        if not writes:
            options["isolation_level"] = "REPEATABLE READ"  # all queries of a transaction see one snapshot, as in SQLite
    if read_only is not None:
        options["creator"] = lambda: sqlite3.connect(read_only, uri=True, check_same_thread=False)
    try:
        engine = create_engine(url, **options)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreUnavailableError(f"store: no driver for {describe(url)} ({error}); pip install 'vlmrb[postgres]'") from error
    if sqlite:
        event.listen(engine, "connect", _set_up_sqlite if read_only is None else _set_up_read_only)
        event.listen(engine, "begin", _begin_immediate if writes else _begin)
    else:
        event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_read_only(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver's own transactions would start too late
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


def _set_up_sqlite(connection: Any, _: Any) -> None:
    _set_up_read_only(connection, _)
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _set_up_postgresql(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {BUSY_TIMEOUT_MS}")
    connection.commit()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
