"""Indexes of migrations: on PostgreSQL they are built while others write, before the transaction of the migrations."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Index, inspect, text
from sqlalchemy.schema import CreateIndex


def create_missing(connection: Connection, indexes: Iterable[Index]) -> None:
    """Create the indexes that do not exist, in the connection's transaction."""
    for index in indexes:
        connection.execute(CreateIndex(index, if_not_exists=True))


def create_concurrently(connection: Connection, indexes: Iterable[Index]) -> None:
    """Create PostgreSQL indexes that do not exist, or whose creation was cut short; rows can be written in the meantime.

    Those on tables or columns that a migration has yet to add are left to it: nobody writes to these.

    Args:
        connection: in no transaction.
        indexes: what there should be.
    """
    for index in indexes:
        assert index.table is not None and index.name is not None
        table = inspect(connection)
        if not table.has_table(index.table.name):
            continue
        if not {column.name for column in index.table.c} <= {column["name"] for column in table.get_columns(index.table.name)}:
            continue
        query = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
        valid = connection.execute(query, {"name": index.name}).scalar()
        if valid is False:
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {index.name}")
        if not valid:
            statement = str(CreateIndex(index).compile(connection))
            connection.exec_driver_sql(statement.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1))
