"""Upgrades a database with alembic. A new version needs a file in `versions` and a new `database.HEAD`.

Runs of the version before go on writing while a store is upgraded. So a migration only adds: columns that may be NULL or have
a default of the server, tables, and indexes, which it names in `CONCURRENTLY` if they are on tables that exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from vlmrb.errors import StoreCorruptError
from vlmrb.store.migrations.indexes import create_concurrently


def config_for(connection: Connection) -> Config:
    """Alembic's configuration, on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, name: str) -> None:
    """Run the missing migrations in the connection's transaction: all of them or none.

    Raises:
        StoreCorruptError: the database was written by a newer version.
    """
    with _known_versions(name):
        command.upgrade(config_for(connection), "head")


def build_indexes(connection: Connection, version: str, name: str) -> None:
    """Build the indexes of the migrations after `version` in a PostgreSQL database, while others write. Raises like `upgrade`.

    Args:
        connection: in no transaction.
        version: of the database.
        name: of the store.
    """
    with _known_versions(name):
        missing = list(ScriptDirectory.from_config(config_for(connection)).iterate_revisions("head", version))
    for script in reversed(missing):
        create_concurrently(connection, getattr(script.module, "CONCURRENTLY", ()))


@contextmanager
def _known_versions(name: str) -> Iterator[None]:
    try:
        yield
    except (CommandError, ResolutionError) as error:
        if isinstance(error, CommandError) and not isinstance(error.__cause__, ResolutionError):
            raise
        raise StoreCorruptError(
            f"store: {name} was written by a newer version of vlmrb ({error}); update vlmrb, or choose another store"
        ) from error
