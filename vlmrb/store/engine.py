"""Connections: where the store lies, SQLite's settings, and database errors in plain words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from vlmrb.errors import StoreCorruptError, StoreError, StoreFullError, StoreUnavailableError

BUSY_TIMEOUT_MS = 10_000
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smbfs", "smb3", "fuse.sshfs", "9p", "ceph", "glusterfs", "lustre", "afs"}


def default_store_url() -> str:
    """$VLMRB_STORE, else vlmrb.db in the user's data folder."""
    from platformdirs import user_data_path

    return os.environ.get("VLMRB_STORE") or str(user_data_path("vlmrb", appauthor=False) / "vlmrb.db")


def parse_url(url: str) -> URL:
    """A path or a SQLAlchemy URL.

    Raises:
        StoreUnavailableError: it is neither.
    """
    if "://" not in url:
        return URL.create("sqlite", database=str(Path(url).expanduser()))
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreUnavailableError(
            f"store: {url!r} is neither a path nor a database URL such as postgresql+psycopg://…"
        ) from error
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername in ("postgres", "postgresql") else parsed


def sqlite_path(url: URL) -> Path | None:
    """The file of an SQLite store, or None for other databases."""
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        raise StoreUnavailableError("store: a store in memory would be gone with its process; give a file")
    return Path(url.database)


def describe(url: URL) -> str:
    """The store as messages name it: the file, or the URL without its password."""
    path = sqlite_path(url)
    return str(path) if path is not None else url.render_as_string(hide_password=True)


def refuse_network_disk(path: Path) -> None:
    """SQLite's write-ahead log needs a local disk.

    Raises:
        StoreUnavailableError: the folder lies on a network file system.
    """
    folder = path.parent.resolve()
    mounts = [m for m in psutil.disk_partitions(all=True) if folder.is_relative_to(m.mountpoint)]
    if mounts and (nearest := max(mounts, key=lambda m: len(m.mountpoint))).fstype in _NETWORK_FILE_SYSTEMS:
        raise StoreUnavailableError(
            f"store: {path} lies on a network file system ({nearest.fstype}), where SQLite's write-ahead log is not safe; "
            "use a local folder, or PostgreSQL by URL"
        )


def make_engine(url: URL, *, writes: bool) -> Engine:
    """An engine that begins IMMEDIATE transactions where it writes, so that none is refused half-way.

    Raises:
        StoreUnavailableError: the database's driver is not installed.
    """
    try:
        engine = (
            create_engine(url, poolclass=NullPool)
            if url.get_backend_name() == "sqlite"
            else create_engine(url, pool_pre_ping=True)
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreUnavailableError(f"store: no driver for {describe(url)} ({error}); pip install 'vlmrb[postgres]'") from error
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_immediate if writes else _begin)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver's own transactions would begin too late
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


@contextmanager
def plain_errors(url: URL) -> Iterator[None]:
    """Turn what the database says into the errors of `vlmrb.errors`."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(error, describe(url)) from error
    except OSError as error:
        raise StoreUnavailableError(f"store: {describe(url)}: {error.strerror or error}") from error


def _translate(error: DBAPIError, where: str) -> StoreError:
    text = str(error.orig).strip().splitlines()[0] if error.orig and str(error.orig).strip() else type(error.orig).__name__
    low = text.lower()
    if "full" in low or "no space" in low or ("disk i/o" in low and _is_full(where)):
        return StoreFullError(f"store: there is no space left for {where} ({text}); free some, then resume the run")
    if "not a database" in low or "malformed" in low or "corrupt" in low:
        return StoreCorruptError(f"store: {where} is not a usable database ({text}); move it away, or restore a backup")
    if "readonly" in low or "read-only" in low:
        return StoreUnavailableError(
            f"store: {where} is read-only ({text}); make the file and its folder writable, or choose another --store"
        )
    if "locked" in low or "busy" in low:
        return StoreUnavailableError(
            f"store: {where} has been locked by another process for {BUSY_TIMEOUT_MS / 1000:g} s ({text}); try again"
        )
    if "unable to open" in low:
        return StoreUnavailableError(f"store: {where} cannot be opened ({text}); its folder must exist and be writable")
    return StoreUnavailableError(f"store: {where} cannot do this: {text}")


def _is_full(where: str) -> bool:
    try:
        return psutil.disk_usage(str(Path(where).parent)).free < 2**20
    except OSError:
        return False
