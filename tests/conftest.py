"""Setup for every test: one thread per process, no display, and a separate store, never the user's."""

from __future__ import annotations

import math
import os
import sys

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of hundreds of processes would compile the project anew
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy or torch is imported
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from functools import cache

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Connection, create_engine

import vlmrb.store.migrations
from tests.forked import FORKED
from vlmrb.store.migrations import upgrade

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test is timed
settings.load_profile("any machine")

_LONGEST = (
    "browser/test_journey.py", "jobs/test_ray.py", "test_train.py", "jobs/test_jobs.py", "test_branching.py",
    "studies/test_runs.py", "pretrain/test_recipe.py", "envs/test_ogbench.py", "test_cli.py", "test_checkpoint.py",
    "browser/test_every_page.py", "test_hindsight.py", "test_train_labels.py", "store/test_processes.py",
    "studies/test_branches.py", "scoring/test_worker.py", "app/test_start.py",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Let xdist hand out the files in the order of `pytest_collection_modifyitems`, not by their number of tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left with one while the others have nothing to do."""
    if hasattr(config, "workerinput"):
        places = {str(config.rootpath / "tests" / name): place for place, name in enumerate(_LONGEST)}
        items.sort(key=lambda item: places.get(str(item.path), len(places)))


@pytest.fixture(autouse=True)
def _never_touch_the_users_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset VLMRB_STORE and move the user's data folder, so that a test that names no store gets an empty one."""
    monkeypatch.delenv("VLMRB_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("user-data")))


@cache
def _statements_of_a_new_store() -> tuple[str, ...]:
    """What the migrations make of an empty SQLite database, as SQL."""
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection, "a store to copy")
        made = connection.connection.driver_connection
        assert made is not None
        return tuple(line for line in made.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;"))


def _copied_if_new(connection: Connection, name: str) -> None:
    """Bring a store up to date; a new SQLite store is copied."""
    if connection.dialect.name != "sqlite" or connection.exec_driver_sql("SELECT 1 FROM sqlite_master").first():
        upgrade(connection, name)
        return
    for statement in _statements_of_a_new_store():
        connection.exec_driver_sql(statement)


@pytest.fixture(autouse=True)
def _new_stores_are_copied(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of tests begin with a new store, whose migrations take longer than many of them; tests of migrations run them."""
    if "migrations" not in request.path.name:
        monkeypatch.setattr(vlmrb.store.migrations, "upgrade", _copied_if_new)


@pytest.fixture(autouse=True)
def _stores_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a run would come to its store less often, and tests wait for what it does there."""
    if trainer := sys.modules.get("vlmrb.train.trainer"):
        monkeypatch.setattr(trainer, "SLOW_S", math.inf)


@pytest.fixture(autouse=True)
def _scoring_processes_are_forked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of runs start a scoring process, whose imports take longer than many of the runs."""
    if "capfd" not in request.fixturenames:
        monkeypatch.setattr("vlmrb.scoring.worker._PROCESSES", FORKED)
