"""The migrations make what the code expects, in every database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from tests.store.samples import filled
from vlmrb.errors import NotFoundError, StoreCorruptError
from vlmrb.store import Store, migrations
from vlmrb.store.database import HEAD, VERSION_TABLE, read_version
from vlmrb.store.tables import metadata


def test_the_migrations_make_exactly_the_tables_of_the_code(new_url: Callable[[], str]) -> None:
    with Store(new_url()) as store, store._write() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        if store._is_postgresql:  # its schema is one of many here
            options["include_object"] = lambda table, name, kind, reflected, other: name in metadata.tables or kind != "table"
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, VERSION_TABLE}


def test_the_newest_migration_is_the_one_that_the_code_expects() -> None:
    files = sorted((Path(migrations.__file__).parent / "versions").glob("0*.py"))
    assert files[-1].name[:4] == HEAD


def test_migrations_can_be_taken_back_and_run_again(new_url: Callable[[], str]) -> None:
    with Store(new_url()) as store:
        filled(store)
        with store._write() as connection:
            command.downgrade(migrations.config_for(connection), "base")
            assert set(inspect(connection).get_table_names()) == {VERSION_TABLE}
        with pytest.raises(NotFoundError, match="no runs yet"):
            Store(store.url, create=False)
        with Store(store.url) as again:
            assert again.runs() == [] and again.check() == []
            with again._read() as connection:
                assert read_version(connection) == HEAD


def test_a_newer_version_is_refused_in_words_and_left_as_it_is(new_url: Callable[[], str]) -> None:
    with Store(new_url()) as store:
        with store._write() as connection:
            connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        with pytest.raises(StoreCorruptError, match=r"newer vlmrb.*update vlmrb"):
            Store(store.url)
        assert any("9999" in problem for problem in store.check())
        with store._read() as connection:
            assert read_version(connection) == "9999"
