"""Opening a store: the folder, the two engines, the migrations; and the transactions that everything else uses."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from vlmrb.errors import ConfigError, NotFoundError, StoreCorruptError
from vlmrb.store.engine import default_store_url, describe, make_engine, parse_url, plain_errors, refuse_network_disk, sqlite_path

HEAD = "0001"
"""The newest migration. A test holds it equal to what lies in `migrations/versions`."""


class Database:
    """An open store.

    Args:
        url: a file or a SQLAlchemy URL; None for `default_store_url()`.
        create: make the database where there is none.

    Raises:
        NotFoundError: there is none, and `create` is False.
        StoreError: it cannot be opened.
    """

    def __init__(self, url: str | None = None, *, create: bool = True) -> None:
        self._url = parse_url(url or default_store_url())
        self.name = describe(self._url)
        path = sqlite_path(self._url)
        if path is not None:
            self._prepare_file(path, create)
        self._connect()
        with plain_errors(self._url):
            self._migrate()

    def _prepare_file(self, path: Path, create: bool) -> None:
        if not create and not path.exists():
            raise NotFoundError(
                f"store: there is no {path}; train a run first, or name another store with --store or VLMRB_STORE"
            )
        with plain_errors(self._url):
            path.parent.mkdir(parents=True, exist_ok=True)
        refuse_network_disk(path)

    def _connect(self) -> None:
        self._reading = make_engine(self._url, writes=False)
        self._writing = make_engine(self._url, writes=True)
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The store as another process can open it."""
        path = sqlite_path(self._url)
        return str(path) if path is not None else self._url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Give back the connections."""
        self._reading.dispose()
        self._writing.dispose()

    def __enter__(self):  # type: ignore[no-untyped-def]
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def folder_of_run(self, run_id: int) -> Path:
        """Where a run keeps its checkpoints and log: beside an SQLite file, else in the user's data folder."""
        path = sqlite_path(self._url)
        if path is not None:
            return path.parent / f"{path.stem}-runs" / str(run_id)
        from platformdirs import user_data_path

        place = f"{self._url.host or 'local'}-{self._url.port or 'default'}-{self._url.database}"
        return user_data_path("vlmrb", appauthor=False) / "".join(c if c.isalnum() else "-" for c in place) / str(run_id)

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        self._after_fork()
        with plain_errors(self._url), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        self._after_fork()
        with plain_errors(self._url), self._writing.begin() as connection:
            yield connection

    def _after_fork(self) -> None:
        if os.getpid() != self._pid:  # connections must not cross a fork
            self._connect()

    # -- migrations

    def _migrate(self) -> None:
        if self._version() == HEAD:
            return
        from alembic import command
        from alembic.config import Config
        from alembic.util.exc import CommandError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        with self._writing.begin() as connection:  # two processes that open a new store at once: one waits, then finds it made
            if self._writing.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(7266015)"))
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise StoreCorruptError(f"store: {self.name} was made by a newer vlmrb ({error}); update vlmrb") from error

    def _version(self) -> str | None:
        with self._reading.begin() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    # -- care

    def check(self) -> list[str]:
        """Problems of the database in words; empty where there are none."""
        with self._read() as connection:
            if self._reading.dialect.name != "sqlite":
                return []
            problems = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"]
            problems += [
                f"{row[0]}: row {row[1]} points at nothing in {row[2]}"
                for row in connection.exec_driver_sql("PRAGMA foreign_key_check")
            ]
        return problems

    def backup(self, path: str | Path) -> None:
        """Copy an SQLite store, also while it is written to.

        Raises:
            ConfigError: the file exists, cannot be written, or the store is not SQLite.
        """
        import sqlite3

        source, target = sqlite_path(self._url), Path(path)
        if source is None:
            raise ConfigError(f"backup: {self.name} is not SQLite; use the tools of its database")
        if target.exists():
            raise ConfigError(f"backup: {target} exists; name a new file")
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            original, copy = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True), sqlite3.connect(beside)
            with original, copy:
                original.backup(copy)
            original.close()
            copy.close()
            shutil.move(beside, target)
        except (OSError, sqlite3.Error) as error:
            beside.unlink(missing_ok=True)
            raise ConfigError(f"backup: {target} cannot be written ({error})") from error
