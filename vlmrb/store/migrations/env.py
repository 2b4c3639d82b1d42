"""Alembic's entry point: runs on the connection that the store passes in."""

from __future__ import annotations

from alembic import context

from vlmrb.store.database import VERSION_TABLE
from vlmrb.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
