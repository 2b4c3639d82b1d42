"""Upgrades a database with alembic. A new version needs a file in `versions` and a new `database.HEAD`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from vlmrb.errors import StoreCorruptError


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
    try:
        command.upgrade(config_for(connection), "head")
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):
            raise
        raise StoreCorruptError(
            f"store: {name} was written by a newer version of vlmrb ({error}); update vlmrb, or choose another store"
        ) from error
