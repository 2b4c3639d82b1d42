"""The same store tests over SQLite and, where a server is given, PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlmrb.store import Store

POSTGRES = os.environ.get("VLMRB_TEST_POSTGRES")
"""URL of an empty PostgreSQL database that tests may fill and empty."""


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        with Store(str(tmp_path / "store.db")) as opened:
            yield opened
        return
    if POSTGRES is None:
        pytest.skip("VLMRB_TEST_POSTGRES names no PostgreSQL database")
    pytest.importorskip("psycopg")
    with Store(POSTGRES) as opened:
        with opened._write() as connection:
            tables = "runs, metrics, episodes, events, clips, clip_data, prompts, scores, controls, human_labels"
            connection.exec_driver_sql(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        yield opened
