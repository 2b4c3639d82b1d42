"""The migrations create what the code expects, in every database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from tests.store.samples import filled, score, voted
from vlmrb.errors import NotFoundError, StoreCorruptError
from vlmrb.store import Store, migrations
from vlmrb.store.database import HEAD, VERSION_TABLE, read_version
from vlmrb.store.tables import metadata
from vlmrb.types import CLIPS_PER_RUN, ClipFilter

OF_POSTGRESQL = ("ix_clips_probability", "ix_clips_disagreement", "ix_scores_gap")


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # there is one on PostgreSQL alone
def test_the_migrations_create_exactly_the_tables_in_the_code(new_url: Callable[[], str]) -> None:
    with Store(new_url()) as store, store._write() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        if store._is_postgresql:  # its schema is one of many here
            options["include_object"] = lambda table, name, kind, reflected, other: name in metadata.tables or kind != "table"
        else:
            options["include_object"] = lambda table, name, kind, reflected, other: name not in OF_POSTGRESQL
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, VERSION_TABLE}
        there = {index["name"] for table in ("clips", "scores") for index in inspect(connection).get_indexes(table)}
        assert there.issuperset(OF_POSTGRESQL) == store._is_postgresql and there.isdisjoint(OF_POSTGRESQL) != store._is_postgresql


def test_the_newest_migration_is_the_one_that_the_code_expects() -> None:
    files = sorted((Path(migrations.__file__).parent / "versions").glob("0*.py"))
    assert files[-1].name[:4] == HEAD


def test_migrations_can_be_undone_and_run_again(new_url: Callable[[], str]) -> None:
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


def test_a_score_from_before_sets_of_questions_has_one_answer(new_url: Callable[[], str]) -> None:
    with Store(new_url()) as store:
        run_id = filled(store, 3)
        before = store.scores_of_run(run_id)
        with store._write() as connection:
            command.downgrade(migrations.config_for(connection), "0003")
        with Store(store.url) as after:
            assert after.scores_of_run(run_id) == before
            assert [found.answers for found in before] == [(0.9,), (0.1,), (None,)]


def test_a_newer_version_is_refused_in_words_and_left_unchanged(new_url: Callable[[], str]) -> None:
    with Store(new_url()) as store:
        with store._write() as connection:
            connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        with pytest.raises(StoreCorruptError, match=r"newer version of vlmrb.*update vlmrb"):
            Store(store.url)
        assert any("9999" in problem for problem in store.check())
        with store._read() as connection:
            assert read_version(connection) == "9999"


def test_a_store_from_before_the_studio_keeps_everything_and_its_clips_can_be_filtered(new_url: Callable[[], str]) -> None:
    with Store(new_url()) as store:
        run_id = filled(store, 12)
        first = run_id * CLIPS_PER_RUN
        writer = store.writer(run_id)
        writer.add_score(score(first + 1, 0.75, prompt_id=store.save_prompt("games", "Is it?").prompt_id))
        writer.flush()
        store.label_clip(first, True)
        store.label_clip(first + 1, True)
        store.label_clip(first + 1, False)
        writer.add_score(score(first, 0.25))
        writer.flush()  # a person had agreed with the yes before
        clips, frames = store.clips(run_id), [store.load_clip(first + number).snapshots for number in range(12)]
        orders = {order: store.find_clips(ClipFilter(), order) for order in ("disagreement", "score_high")}
        with store._write() as connection:
            command.downgrade(migrations.config_for(connection), "0001")
            assert connection.execute(text("SELECT count(*) FROM clip_data")).scalar() == 12
        with Store(store.url) as after:
            assert after.clips(run_id) == clips and after.check() == []
            assert {order: after.find_clips(ClipFilter(), order) for order in orders} == orders
            assert [after.clip(first + at).human_label for at in range(3)] == [True, False, None]
            assert [found.number for found in after.find_clips(ClipFilter(prompt_id=1))] == [1]
            assert after.run(run_id).tags == () and after.run(run_id).set_name == ""
            for number, expected in enumerate(frames):
                assert (after.load_clip(first + number).snapshots == expected).all()


def test_a_label_from_before_people_had_names_is_an_unnamed_persons(new_url: Callable[[], str]) -> None:
    with Store(new_url()) as store:
        first = filled(store, 2) * CLIPS_PER_RUN
        store.label_clip(first, True, "clearly", annotator="Ada")
        with store._write() as connection:
            command.downgrade(migrations.config_for(connection), "0008")
        with Store(store.url) as after:
            assert [(each.annotator, each.agrees, each.note) for each in after.labels_by_people()] == [("", True, "clearly")]
            assert after.check() == []


def test_a_score_from_before_votes_has_none_and_its_clip_no_spread(new_url: Callable[[], str]) -> None:
    with Store(new_url()) as store:
        run_id = filled(store, 3)
        before = store.clips(run_id)
        writer = store.writer(run_id)
        writer.add_score(voted(before[0].clip_id, (0.2,), (0.9,)))
        writer.flush()
        with store._write() as connection:
            command.downgrade(migrations.config_for(connection), "0006")
        with Store(store.url) as after:
            assert [found.score.votes for found in after.clips(run_id)] == [(), (), ()]
            assert after.clips(run_id)[1:] == before[1:]
            assert after.find_clips(ClipFilter(min_spread=0.0)) == []
            writer = after.writer(run_id)
            writer.add_score(voted(before[0].clip_id, (0.2,), (0.9,)))
            writer.flush()
            assert [found.clip_id for found in after.find_clips(ClipFilter(min_spread=0.7), "spread")] == [before[0].clip_id]


def test_a_migration_that_fails_halfway_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic.operations import Operations

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as broken:
        broken.setattr(Operations, "batch_alter_table", fail)
        with pytest.raises(RuntimeError):
            Store(str(tmp_path / "store.db"))
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    with Store(str(tmp_path / "store.db")) as store:
        assert store.check() == []
