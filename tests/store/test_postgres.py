"""Failures that only a database server can cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.store.samples import clip, filled, new_run
from vlmrb.config import make_config
from vlmrb.creation import create_run
from vlmrb.errors import ConfigError, StoreCorruptError, StoreUnavailableError
from vlmrb.jobs import launch
from vlmrb.places import RESUME, place_of, set_default_place
from vlmrb.store import Store
from vlmrb.store.engine import CLAIM_LOCK, CREATION_LOCK, UPGRADE_LOCK
from vlmrb.train import resume, train


def test_an_unreachable_server_is_named_without_the_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    for place in ("127.0.0.1:9/db", f"/db?host={tmp_path}"):
        with pytest.raises(StoreUnavailableError, match="cannot be reached") as caught:
            Store(f"postgresql://me:secret@{place}")
        assert "secret" not in str(caught.value) and "me:***@" in str(caught.value)


def test_a_missing_database_is_named(postgres: str) -> None:
    with pytest.raises(StoreUnavailableError, match='"nowhere" does not exist'):
        Store(make_url(postgres).set(database="nowhere").render_as_string(hide_password=False))


def test_its_runs_need_a_place_for_checkpoints(new_schema: Callable[[], str], tmp_path: Path) -> None:
    with Store(new_schema()) as store:
        with pytest.raises(ConfigError, match=r"--checkpoints with a folder .* s3://bucket/folder; 'local' keeps them") as caught:
            launch(store, [make_config(env="CartPole-v1", replay="uniform", keep_clips=False)])
        assert "jobs --checkpoints PLACE" in str(caught.value) and store.runs() == []
        set_default_place(store, str(tmp_path / "shared"))
        settings = {"env": "CartPole-v1", "replay": "uniform", "keep_clips": False, "total_steps": 64, "eval_episodes": 1}
        run_ids = [create_run(make_config(**settings, **more), store=store) for more in ({}, {"checkpoints": "local"})]
        for run_id in run_ids:
            assert resume(run_id, store=store).status == "finished"
        shared, local = (place_of(store, store.run(run_id)) for run_id in run_ids)
        assert shared.folder.parent == tmp_path / "shared" and local.folder == store.folder_of_run(run_ids[1])
        assert [place.checkpoints(RESUME)[0].step for place in (shared, local)] == [64, 64]


def test_a_run_in_training_has_one_connection(
    new_schema: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    counted = []

    def count(step: int, *_: object) -> None:
        name, connections = "current_setting('application_name')", "SELECT count(*) FROM pg_stat_activity WHERE application_name"
        with administrator._reading.connect() as connection:
            counted.append((step, connection.exec_driver_sql(f"{connections} = {name} AND pid <> pg_backend_pid()").scalar_one()))

    with Store(new_schema()) as store, Store(store.url) as administrator:
        settings = {"env": "CartPole-v1", "replay": "uniform", "keep_clips": False, "total_steps": 96, "eval_episodes": 1}
        train(make_config(**settings, eval_interval=32, checkpoints=str(tmp_path)), store=store, progress=count)
    assert {number for step, number in counted if 0 < step < 96} == {1}


def cut_connections(store: Store) -> None:
    """Do what a restarted server or a dropped network does."""
    with store._reading.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND application_name = current_setting('application_name')"
        )


def test_a_run_continues_after_its_connections_were_cut(new_schema: Callable[[], str]) -> None:
    with Store(new_schema()) as store, Store(store.url) as administrator:
        run_id = filled(store)
        cut_connections(administrator)
        store.heartbeat(run_id, 7)  # idle connections are tested before use
        assert store.run(run_id).step == 7
        writer = store.writer(run_id)
        writer.add_clip(clip(run_id, 6))
        begin = writer._begin
        writer._begin = lambda: cut_after(begin(), administrator)
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            writer.flush()
        assert store.count_clips(run_id) == 6
        writer._begin = begin
        writer.flush()
        assert store.count_clips(run_id) == 7


class cut_after:
    """A transaction whose connection is cut after it has started."""

    def __init__(self, transaction, administrator: Store) -> None:
        self._transaction, self._administrator = transaction, administrator

    def __enter__(self):
        connection = self._transaction.__enter__()
        cut_connections(self._administrator)
        return connection

    def __exit__(self, *failure: object) -> object:
        return self._transaction.__exit__(*failure)


def test_a_row_that_stays_locked_is_named(new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    url = new_schema()
    with Store(url) as store:
        run_id = new_run(store)
    monkeypatch.setattr("vlmrb.store.engine.BUSY_TIMEOUT_MS", 100)
    with Store(url) as store, store._write() as holder:
        holder.exec_driver_sql(f"SELECT * FROM runs WHERE run_id = {run_id} FOR UPDATE")
        with pytest.raises(StoreUnavailableError, match="locked by another process"):
            store.heartbeat(run_id, 1)


def test_a_store_does_not_wait_for_one_in_another_schema(new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmrb.store.engine.BUSY_TIMEOUT_MS", 500)
    with Store(new_schema()) as busy, busy._write() as holder:
        for lock in (CREATION_LOCK, CLAIM_LOCK, UPGRADE_LOCK):
            holder.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")
        with Store(new_schema()) as store:  # made while the other one is
            assert store.enqueue_jobs("run", [new_run(store)])


def test_a_read_only_role_gets_a_clear_error(new_schema: Callable[[], str]) -> None:
    url = new_schema()
    with Store(url) as store:
        run_id = filled(store)
    read_only = url.replace("options=", "options=-cdefault_transaction_read_only%3Don%20")
    with Store(read_only, create=False) as store:
        assert len(store.clips(run_id)) == 6
        with pytest.raises(StoreUnavailableError, match="is not writable"):
            store.rename_run(run_id, "x")


def test_tables_of_another_program_are_left_alone(new_schema: Callable[[], str]) -> None:
    url = new_schema()
    with Store(url) as store, store._write() as connection:
        connection.exec_driver_sql("DROP TABLE vlmrb_version")
    with pytest.raises(StoreCorruptError, match="another program's tables"):
        Store(url)


def test_a_missing_table_counts_as_damage(new_schema: Callable[[], str]) -> None:
    with Store(new_schema()) as store:
        with store._write() as connection:
            connection.exec_driver_sql("DROP TABLE metrics")
        with pytest.raises(StoreCorruptError, match="metrics"):
            store.metric_names(1)


def test_a_run_keeps_its_files_in_the_users_data_folder(new_schema: Callable[[], str]) -> None:
    with Store(new_schema()) as store:
        folder = store.folder_of_run(3)
        assert folder.name == "3" and folder.is_absolute() and "vlmrb" in folder.parts
        with pytest.raises(ConfigError, match="pg_dump"):
            store.backup("copy.db")
