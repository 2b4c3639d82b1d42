"""Maintenance of a store: integrity check and backup."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, func, select

from vlmrb.errors import ConfigError, StoreCorruptError
from vlmrb.store import tables as t
from vlmrb.store.database import HEAD, Database, read_version
from vlmrb.store.engine import sqlite_path


class Care(Database):
    """The part of the store for maintenance."""

    def check(self) -> list[str]:
        """Problems found in the database, described in words; empty if there are none."""
        problems: list[str] = []
        try:
            with self._read() as connection:
                if not self._is_postgresql:
                    problems += _sqlite_problems(connection)
                problems += _problems(connection)
        except StoreCorruptError as error:
            problems.append(str(error))
        return problems

    def backup(self, path: str | Path) -> None:
        """Copy an SQLite database, even while it is being written to. A failed backup leaves no file behind.

        Checkpoints are not in the database: copy them first, because a resume needs every row that is older than its checkpoint.

        Raises:
            ConfigError: the file exists or cannot be written, or the store is not SQLite.
        """
        source, target = sqlite_path(self._url), Path(path)
        if source is None:
            raise ConfigError(
                f"backup: {self.name} is not SQLite; use its database's own tools, such as pg_dump, "
                f"and copy the checkpoints, which are in {self.folder_of_run(0).parent}"
            )
        if target.exists():
            raise ConfigError(f"backup: {target} already exists; choose a new file name")
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with (
                closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original,
                closing(sqlite3.connect(partial)) as copy,
            ):
                original.backup(copy)
            partial.replace(target)
        except (OSError, sqlite3.Error) as error:
            partial.unlink(missing_ok=True)
            raise ConfigError(
                f"backup: {target} cannot be written ({error}); choose a file in an existing folder with enough space"
            ) from error


def _sqlite_problems(connection: Connection) -> Iterator[str]:
    yield from (row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok")
    for table, row_id, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"{table}: row {row_id} refers to a missing row of {parent}"


def _problems(connection: Connection) -> Iterator[str]:
    version = read_version(connection)
    if version != HEAD:
        yield f"the tables have version {version}, not {HEAD}; open the store with the newest vlmrb"
    clips, data, scores = t.clips.c, t.clip_data.c, t.scores.c
    bare = select(func.count()).where(clips.clip_id.not_in(select(data.clip_id)))
    if count := connection.scalar(bare):
        yield f"{count} clips have no frames"
    lost = select(func.count()).where(clips.score_id.is_not(None), clips.score_id.not_in(select(scores.score_id)))
    if count := connection.scalar(lost):
        yield f"{count} clips refer to a missing score"
