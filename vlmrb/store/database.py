"""Opening a store: the folder, the two engines, the version; and the transactions used by everything else."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, inspect, text

from vlmrb.errors import NotFoundError, StoreBusyError, StoreCorruptError, StoreUnavailableError
from vlmrb.store.engine import (
    BUSY_TIMEOUT_MS,
    CREATION_LOCK,
    UPGRADE_LOCK,
    default_store_url,
    describe,
    make_engine,
    parse_url,
    read_only_uri,
    refuse_network_disk,
    sqlite_path,
)
from vlmrb.store.failures import plain_errors
from vlmrb.store.patience import PATIENCE_S, patiently
from vlmrb.store.tables import metadata

HEAD = "0013"
"""The newest migration. A test compares it with `migrations/versions`."""

LOCK_TIMEOUT_MS = 1_000
"""How long the upgrade of a PostgreSQL store waits for a table at a time, and holds up others behind it."""

VERSION_TABLE = "vlmrb_version"
"""Not alembic's default name: a PostgreSQL database may be shared with another program that uses alembic."""


class Database:
    """An open store. Any thread may use it, and so may a forked child.

    Args:
        url: a file or a SQLAlchemy URL; None for `default_store_url()`.
        create: create the database if it does not exist.

    Raises:
        NotFoundError: it does not exist, and `create` is False.
        StoreCorruptError: it is not a store, or was written by a newer version.
        StoreUnavailableError: it cannot be reached, read or upgraded.
    """

    def __init__(self, url: str | None = None, *, create: bool = True) -> None:
        self._url = parse_url(url or default_store_url())
        self.name = describe(self._url)
        path = sqlite_path(self._url)
        if path is not None:
            self._prepare_file(path, create)
        self._read_only = None if path is None else read_only_uri(path)
        self._file: tuple[int, int] | None = None
        self._owned: dict[int, str] = {}  # by run that was claimed here: what its row says while nobody else has taken it
        self._connect()
        try:
            with plain_errors(self._url):
                self._bring_up_to_date(create)
            self.check_file()
        except BaseException:
            self.close()
            raise

    def _prepare_file(self, path: Path, create: bool) -> None:
        if not create and not path.exists():
            raise NotFoundError(
                f"store: {path} does not exist yet; train a run first, or choose another store with --store or VLMRB_STORE"
            )
        with plain_errors(self._url):
            path.parent.mkdir(parents=True, exist_ok=True)
        refuse_network_disk(path)

    def _connect(self) -> None:
        self._reading = make_engine(self._url, writes=False, read_only=self._read_only)
        self._writing = make_engine(self._url, writes=True, read_only=self._read_only)
        self._pid = os.getpid()

    @property
    def read_only(self) -> bool:
        """Whether it is an SQLite file that this process may read but not change."""
        return self._read_only is not None

    @property
    def url(self) -> str:
        """What another process needs to open the store: a file, or a URL with its password."""
        path = sqlite_path(self._url)
        return str(path) if path is not None else self._url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Close the connections. A closed store reconnects when used again."""
        self._after_fork()
        self._reading.dispose()
        self._writing.dispose()
        self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def folder_of_run(self, run_id: int) -> Path:
        """Folder of a run's checkpoints and log: next to an SQLite file, else in the user's data folder. Does not create it."""
        path = sqlite_path(self._url)
        if path is not None:
            return runs_folder(path) / str(run_id)
        from platformdirs import user_data_path

        place = f"{self._url.host or 'local'}-{self._url.port or 'default'}-{self._url.database}"
        return user_data_path("vlmrb", appauthor=False) / "".join(c if c.isalnum() else "-" for c in place) / str(run_id)

    def check_file(self) -> None:
        """Check that an SQLite store is still the file that was opened: rows written to a deleted file are lost.

        Raises:
            StoreUnavailableError: it was deleted or replaced.
        """
        path = sqlite_path(self._url)
        if path is None:
            return
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError:  # nothing can be said now; using the file will tell
            return
        else:
            found = status.st_dev, status.st_ino
        if self._file is None:
            self._file = found
        elif found != self._file:
            what = "deleted or moved" if found is None else "replaced by another file"
            raise StoreUnavailableError(
                f"store: {path} was {what} while it was in use; put it back or restore a backup, then start again"
            )

    def is_writable(self, within_s: float = 0.1) -> bool:
        """Whether an SQLite store's write lock is free or becomes free within this time; True for a server."""
        path = sqlite_path(self._url)
        if path is None:
            return True
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=within_s)) as connection:
                connection.isolation_level = None
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            return not str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
        return True

    @property
    def is_shared(self) -> bool:
        """Whether it is on a server, which other machines may use too."""
        return self._is_postgresql

    @contextmanager
    def _write_durably(self) -> Iterator[Connection]:
        """Like `_write`; on return, this and everything committed before survives a power cut.

        Other transactions of SQLite are only synced when its log is next copied into the database.
        """
        if self._is_postgresql:  # every commit is durable
            with self._write() as connection:
                yield connection
            return
        self._check_writable()
        self._after_fork()
        with plain_errors(self._url), self._writing.connect() as connection:
            settings: Any = connection.connection.dbapi_connection  # a transaction cannot change them, so set them before it
            settings.execute("PRAGMA synchronous=FULL")
            try:
                with connection.begin():
                    yield connection
            finally:
                settings.execute("PRAGMA synchronous=NORMAL")

    @property
    def _is_postgresql(self) -> bool:
        return self._url.get_backend_name() == "postgresql"

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        if self.read_only:
            self._follow_writers()
        with self._transaction("_reading") as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        self._check_writable()
        with self._transaction("_writing") as connection:
            yield connection

    def _follow_writers(self) -> None:
        """A store that is read-only here may be changed from elsewhere: then its log appears, and has to be read."""
        path = sqlite_path(self._url)
        found = None if path is None else read_only_uri(path)
        if found is not None and found != self._read_only:
            self.close()
            self._read_only = found
            self._connect()

    def _check_writable(self) -> None:
        if self.read_only:
            raise StoreUnavailableError(
                f"store: {self.name} is read-only, so nothing in it can be changed; "
                "make the file and its folder writable and open it again, or use another store"
            )
        self.check_file()

    @contextmanager
    def _transaction(self, engine: str) -> Iterator[Connection]:
        self._after_fork()
        with plain_errors(self._url), getattr(self, engine).begin() as connection:
            yield connection

    def _after_fork(self) -> None:
        """Connections must not cross a fork: leave the parent's open and untouched, and make new ones."""
        if os.getpid() != self._pid:
            _inherited.extend((self._reading, self._writing))
            self._connect()

    # -- versions

    def _bring_up_to_date(self, create: bool) -> None:
        with self._reading.begin() as connection:
            version = read_version(connection)
            if version == HEAD:
                return
            if version is None:
                self._refuse_foreign_tables(connection)
                if not create:
                    raise NotFoundError(f"store: {self.name} holds no runs yet; train one first, or choose another store")
            if self.read_only and (version is None or version < HEAD):
                raise StoreUnavailableError(
                    f"store: {self.name} is read-only, and was written by an older version of vlmrb: it has to be upgraded; "
                    "make the file and its folder writable, or copy it to a writable folder"
                )
        if version is None:
            self._upgrade()
        elif self._is_postgresql:
            self._upgrade_beside_writers()
        else:  # others write before and after, and wait in between
            patiently(self._upgrade)

    def _upgrade(self, lock_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        """Create the tables, or bring them up to date, in one transaction."""
        from vlmrb.store.migrations import upgrade  # alembic is slow to import and rarely needed

        with plain_errors(self._url), self._writing.begin() as connection:
            if self._is_postgresql:  # if two processes create a store at once, one waits and finds it ready
                connection.execute(text(f"SELECT pg_advisory_xact_lock({CREATION_LOCK})"))
                connection.execute(text(f"SET LOCAL lock_timeout = {lock_timeout_ms}"))
            upgrade(connection, self.name)

    def _upgrade_beside_writers(self) -> None:
        """Bring a PostgreSQL store up to date while runs write to it.

        Indexes are built first, which takes long and holds up nobody. The rest takes a moment, but has to wait for those who
        use the tables, and whoever comes after waits for it: so it waits briefly, lets others pass, and tries again.
        """
        from vlmrb.store.migrations import build_indexes

        with plain_errors(self._url), self._writing.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text(f"SET lock_timeout = {int(PATIENCE_S * 1_000)}"))
            try:
                # who waits for a lock has a snapshot, and an index waits for those that had one: so nobody waits for this lock
                patiently(lambda: self._take_turn(connection))
                version = read_version(connection)
                assert version is not None
                build_indexes(connection, version, self.name)
                patiently(lambda: self._upgrade(LOCK_TIMEOUT_MS))
            finally:
                connection.invalidate()  # the lock and the setting go with it

    def _take_turn(self, connection: Connection) -> None:
        if not connection.execute(text(f"SELECT pg_try_advisory_lock({UPGRADE_LOCK})")).scalar():
            raise StoreBusyError(f"store: {self.name} is being upgraded by another process; wait until it has finished")

    def _refuse_foreign_tables(self, connection: Connection) -> None:
        names = set(inspect(connection).get_table_names()) - {VERSION_TABLE}
        if self._is_postgresql:
            names &= set(metadata.tables)
        if names:
            raise StoreCorruptError(
                f"store: {self.name} is not a vlmrb store: it holds another program's tables "
                f"({', '.join(sorted(names)[:3])}); choose another one"
            )


def runs_folder(path: Path) -> Path:
    """Where the folders of the runs of an SQLite store are."""
    return path.with_name(f"{path.stem}-runs")


_inherited: list[Engine] = []  # keeps the parent's connections open in a forked child: closing them would disturb the parent


def read_version(connection: Connection) -> str | None:
    """The database's current migration; None if it has none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
