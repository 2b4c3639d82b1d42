"""A store is upgraded while runs write to it: nobody fails, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from alembic import command
from sqlalchemy import Connection, inspect, text

from tests.store.samples import clip, new_run, score
from tests.waiting import wait_until
from vlmrb.errors import StoreError
from vlmrb.store import Store, migrations
from vlmrb.store.database import HEAD, read_version
from vlmrb.types import CLIPS_PER_RUN

BEFORE = "0011"


class Writer:
    """A run of the version before, which writes all the time."""

    def __init__(self, store: Store) -> None:
        self.store, self.run_id, self.clips = store, new_run(store), 0
        self.errors: list[str] = []
        self.held_up_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        writer = self.store.writer(self.run_id)
        while not self._over.is_set() or writer.held_bytes:
            if not self._over.is_set():
                writer.add_clip(clip(self.run_id, self.clips))
                writer.add_score(score(self.run_id * CLIPS_PER_RUN + self.clips, 0.75))
                writer.add_metric("loss", self.clips, 0.5)
                self.clips += 1
            began = time.monotonic()
            try:
                writer.flush()
                self.store.heartbeat(self.run_id, self.clips)
            except StoreError as error:
                self.errors.append(str(error))
            self.held_up_s = max(self.held_up_s, time.monotonic() - began)

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._thread.start()
        try:
            self.goes_on()
            yield
            self.goes_on()
        finally:
            self._over.set()
            self._thread.join()

    def goes_on(self) -> None:
        written = self.clips
        wait_until(lambda: self.clips > written + 5 or bool(self.errors), "the writer to go on")

    def assert_whole(self) -> None:
        assert self.errors == []
        assert self.store.count_clips(self.run_id) == len(self.store.scores_of_run(self.run_id)) == self.clips
        assert len(self.store.metrics(self.run_id, "loss")[0]) == self.clips and self.store.check() == []


@pytest.fixture
def old_store(new_url: Callable[[], str]) -> Iterator[Store]:
    """A store of the version before, open for its writers."""
    with Store(new_url()) as store:
        with store._write() as connection:
            command.downgrade(migrations.config_for(connection), BEFORE)
        yield store


def test_a_writer_goes_on_through_an_upgrade(old_store: Store) -> None:
    writer = Writer(old_store)
    with writer.writing(), Store(old_store.url) as new, new._read() as connection:
        assert read_version(connection) == HEAD
        for table, name in (("clips", "ix_clips_spread"), ("clips", "ix_clips_probability"), ("scores", "ix_scores_gap")):
            there = name in {index["name"] for index in inspect(connection).get_indexes(table)}
            assert there == (new._is_postgresql or name == "ix_clips_spread")
    writer.assert_whole()


def test_an_upgrade_that_has_to_wait_for_a_table_lets_writers_pass(
    old_store: Store, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if not old_store._is_postgresql:
        pytest.skip("SQLite has no locks of tables")
    upgrade = migrations.upgrade
    tries: list[float] = []

    def with_a_column(connection: Connection, name: str) -> None:
        tries.append(time.monotonic())
        connection.execute(text("ALTER TABLE clips ADD COLUMN of_the_future FLOAT"))
        upgrade(connection, name)

    monkeypatch.setattr(migrations, "upgrade", with_a_column)
    monkeypatch.setattr("vlmrb.store.database.LOCK_TIMEOUT_MS", 200)
    monkeypatch.setattr("vlmrb.store.migrations.build_indexes", lambda *_: None)  # it would wait for the reader
    writer = Writer(old_store)
    with writer.writing():
        reader = old_store._reading.connect()
        reader.execute(text("SELECT count(*) FROM clips"))  # and leaves its transaction open
        opened: list[Store] = []
        upgrading = threading.Thread(target=lambda: opened.append(Store(old_store.url)))
        upgrading.start()
        wait_until(lambda: len(tries) >= 3, "the upgrade to try again")
        writer.goes_on()
        reader.close()
        upgrading.join()
        opened[0].close()
    writer.assert_whole()


def test_an_index_whose_creation_was_cut_short_is_created_again(old_store: Store) -> None:
    if not old_store._is_postgresql:
        pytest.skip("SQLite creates an index or does not")
    with old_store._write() as connection:
        connection.execute(text("CREATE INDEX ix_clips_spread ON clips (spread)"))
        connection.execute(text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('ix_clips_spread')"))
    with Store(old_store.url) as new, new._read() as connection:
        made = connection.execute(text("SELECT pg_get_indexdef(to_regclass('ix_clips_spread'))")).scalar()
        assert made is not None and "(spread, clip_id) WHERE" in made


def test_two_that_upgrade_at_once_take_turns(old_store: Store) -> None:
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(Store(old_store.url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for store in opened:
        with store._read() as connection:
            assert read_version(connection) == HEAD
        store.close()


def test_the_newest_migration_only_adds(new_url: Callable[[], str]) -> None:
    def columns(connection: Connection) -> dict[tuple[str, str], dict]:
        found = inspect(connection)
        return {(table, column["name"]): column for table in found.get_table_names() for column in found.get_columns(table)}

    with Store(new_url()) as store, store._write() as connection:
        after = columns(connection)
        command.downgrade(migrations.config_for(connection), BEFORE)
        before = columns(connection)
        assert set(before) <= set(after)
        new = [after[key] for key in set(after) - set(before) if key[0] in {table for table, _ in before}]
        assert all(column["nullable"] or column["default"] is not None for column in new)
