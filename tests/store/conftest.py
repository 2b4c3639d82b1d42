"""Runs store tests on SQLite and PostgreSQL: a given database, or our own server if Debian's package is installed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres import BINARIES, Server
from vlmrb.store import Store
from vlmrb.store.tables import metadata


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL database: $VLMRB_TEST_POSTGRES, else on a server that runs as long as the tests."""
    pytest.importorskip("psycopg", reason="psycopg is not installed; pip install -e '.[postgres]' brings it")
    if given := os.environ.get("VLMRB_TEST_POSTGRES"):
        yield given
        return
    if not BINARIES:
        pytest.skip("no PostgreSQL: name one in VLMRB_TEST_POSTGRES, or install Debian's package postgresql")
    server = Server()
    try:
        server.start()
        yield server.url
        server.stop("immediate")
    finally:
        server.remove()


@pytest.fixture(scope="session")
def new_schema(postgres: str) -> Iterator[Callable[[], str]]:
    """Creates empty schemas and returns their URLs, so that several test processes can share a database."""
    import psycopg

    made = []

    def make() -> str:
        made.append(f"vlmrb_{uuid.uuid4().hex[:12]}")
        execute(f"CREATE SCHEMA {made[-1]}")
        return f"{postgres}{'&' if '?' in postgres else '?'}application_name={made[-1]}&options=-csearch_path%3D{made[-1]}"

    def execute(statement: str) -> None:
        with psycopg.connect(postgres.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement)

    yield make
    for schema in made:
        execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Returns URLs of empty databases."""
    if request.param == "postgresql":
        return request.getfixturevalue("new_schema")
    return lambda: str(tmp_path / f"{uuid.uuid4().hex[:12]}.db")


@pytest.fixture(scope="session")
def postgres_store(new_schema: Callable[[], str]) -> Iterator[Store]:
    with Store(new_schema()) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    if request.param == "sqlite":
        with Store(str(tmp_path / "store.db")) as opened:
            yield opened
        return
    opened = request.getfixturevalue("postgres_store")
    with opened._write() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY CASCADE")
    opened._owned.clear()  # its runs have the ids of earlier ones
    yield opened
    opened.close()
