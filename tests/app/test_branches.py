"""Branches in the studio: the dialog's form, what it makes of it, and how a run shows its family."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.branch_form import HIDDEN, Asked, asked_from, branch_form, changes_of, check_branches, make_branches, points_of
from app.family import altered, family_of, relatives_of
from app.pages.run import facts_of
from app.pages.runs import read_table
from app.presses import Launched, Presses
from vlmrb import Store, jobs, make_config
from vlmrb.branching import FIXED, branch
from vlmrb.config import TrainConfig
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.jobs import delete_run
from vlmrb.store import runs_folder
from vlmrb.train import train
from vlmrb.types import Lineage

AT, TOTAL = 600, 1_000


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two finished runs that kept checkpoints: 1 (uniform) and 2 (vlm over per, oracle). Nobody changes it."""
    path = tmp_path_factory.mktemp("parents") / "runs.db"
    common = {"env": "CartPole-v1", "success_return": 20.0, "total_steps": TOTAL, "n_envs": 4, "learning_starts": 100,
              "batch_size": 16, "train_freq": 8, "hidden_size": 16, "clip_length": 8, "eval_interval": 500, "eval_episodes": 2,
              "buffer_size": 5_000, "sync_scoring": True, "keep_checkpoints": f"fifth-success,every:{AT}"}  # fmt: skip
    with Store(str(path)) as store:
        train(make_config(**common, replay="uniform", keep_clips=False), store=store)
        train(make_config(**common, replay="vlm", base="per", scorer="reward", lambda_max=0.25), store=store)
    return path


@pytest.fixture
def store(parents: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of that store."""
    path = tmp_path / "runs.db"
    with Store(str(parents)) as opened:
        opened.backup(path)
    shutil.copytree(runs_folder(parents), runs_folder(path))
    with Store(str(path)) as opened:
        yield opened


def asked(run: int = 1, at: Any = AT, **form: Any) -> Asked:
    return asked_from({"run": run, "at": at, "methods": ["per"], "seeds": "0", "steps": "40"} | form)


# -- the form


@pytest.mark.slow
def test_kept_checkpoints_are_offered_with_moment_step_and_size(store: Store) -> None:
    points = points_of(store, 1)
    assert [point.at for point in points] == ["fifth-success", AT]
    assert points[0].step == next(point for point in branch_form(store, 1).points if point.moment == "fifth-success").step
    assert all(point.kept and point.size > 10_000 for point in points)


def test_the_dialog_offers_what_a_branch_can_change_with_the_parents_values(store: Store) -> None:
    form = branch_form(store, 2)
    offered = {setting.name for setting in form.settings}
    assert offered == set(TrainConfig.model_fields) - {*FIXED, "replay", "total_steps"}
    assert (form.method, form.now["base"], form.now["lambda_max"], form.now["train_freq"]) == ("vlm", "per", "0.25", "8")
    assert form.now["keep_checkpoints"] == "none"  # a branch does not inherit it
    assert set(HIDDEN) >= set(FIXED)


def test_values_that_the_parents_method_does_not_read_are_not_shown_as_its_values(store: Store) -> None:
    now = branch_form(store, 1).now
    assert not {"lambda_max", "scorer", "base", "importance_weights"} & set(now)
    assert now["train_freq"] == "8"


def test_each_method_and_each_value_is_a_branch_with_only_the_settings_that_it_reads(store: Store) -> None:
    form = asked(
        methods=["uniform", "per", "vlm"], settings={"base": "per", "scorer": "oracle", "gamma": "0.9"},
        vary="importance_weights", values="yes, no",
    ).form  # fmt: skip
    assert changes_of(form, store.run(1)) == [
        {"replay": "uniform", "gamma": "0.9"},
        {"replay": "per", "gamma": "0.9", "importance_weights": "yes"},
        {"replay": "per", "gamma": "0.9", "importance_weights": "no"},
        {"replay": "vlm", "base": "per", "scorer": "oracle", "gamma": "0.9", "importance_weights": "yes"},
        {"replay": "vlm", "base": "per", "scorer": "oracle", "gamma": "0.9", "importance_weights": "no"},
    ]
    assert changes_of(asked(methods=["vlm"], settings={"per_alpha": "0.5"}).form, store.run(2)) == [
        {"replay": "vlm", "per_alpha": "0.5"}  # the parent's base reads it
    ]


def test_a_check_counts_branches_and_writes_nothing(store: Store) -> None:
    verdict = check_branches(store, asked(methods=["per", "uniform", "vlm"], seeds="0-2", settings={"scorer": "oracle"}))
    assert verdict.problems == {}
    assert verdict.size is not None
    assert verdict.size.runs == 9
    assert [run.run_id for run in store.runs()] == [2, 1]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"methods": []}, "methods", "at least one"),
        ({"seeds": "x"}, "seeds", "numbers and ranges"),
        ({"seeds": ""}, "seeds", "at least one"),
        ({"steps": "0"}, "steps", "at least 1"),
        ({"steps": "-5"}, "steps", "at least 1"),
        ({"settings": {"per_alpha": "7"}}, "per_alpha", "7"),
        ({"settings": {"train_freq": "often"}}, "train_freq", "often"),
        ({"vary": "per_alpha", "values": ""}, "values", "at least one"),
        ({"vary": "per_alpha", "values": "0.5, 2"}, "values", "2"),
        ({"methods": ["vlm"], "settings": {"prompt": "gone@7"}}, "prompt", "gone"),
    ],
)
def test_a_problem_is_reported_at_its_field_and_nothing_is_written(
    store: Store, changes: dict[str, Any], field: str, words: str
) -> None:
    request = asked(**changes)
    assert words in check_branches(store, request).problems[field]
    assert words in make_branches(store, request).problems[field]
    assert [run.run_id for run in store.runs()] == [2, 1]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"at": 50}, "", f"it can be branched off at .*{AT}"),
        ({"at": "first-success"}, "", "no checkpoint"),
        ({"settings": {"env": "DoorKey-5x5"}}, "env", "cannot change it"),
        ({"settings": {"total_steps": "900"}}, "", "either how many steps more"),
        ({"seeds": "1, 1"}, "seeds", "duplicate"),
        ({"methods": ["vlm"], "settings": {"scorer": "nonsense"}}, "scorer", "nonsense"),
        ({"methods": ["vlm"], "settings": {"scorer": "reward", "net_progress": "yes"}}, "net_progress", "only the scorer oracle"),
        ({"run": 99}, "", "no run 99"),
    ],
)
def test_what_the_engine_refuses_is_reported_at_the_dialog_and_nothing_is_written(
    store: Store, changes: dict[str, Any], field: str, words: str
) -> None:
    made = make_branches(store, asked(**changes))
    assert made.run_ids == []
    assert re.search(words, made.problems[field])
    assert [run.run_id for run in store.runs()] == [2, 1]
    assert store.jobs() == []


def test_a_parent_that_ends_where_the_branch_starts_needs_a_number_of_steps(store: Store) -> None:
    config = store.run(1).config | {"total_steps": AT}
    run_id = store.create_run(config, render_spec={}, success_rule="")
    shutil.copytree(store.folder_of_run(1) / "kept", store.folder_of_run(run_id) / "kept")
    assert "give more steps" in make_branches(store, asked(run_id, steps="")).problems["steps"]


@pytest.mark.parametrize(
    "changes",
    [
        {"run": "x"}, {"at": "third-success"}, {"at": -1}, {"at": 1.5}, {"at": ["x"]}, {"steps": 5}, {"methods": ["x"]},
        {"settings": {"nonsense": "1"}}, {"settings": {"seed": "1"}}, {"seeds": "1" * 500},
    ],
)  # fmt: skip
def test_a_malformed_request_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        asked(**changes)


def test_a_press_makes_queued_branches_with_lineage(store: Store) -> None:
    jobs.set_job_limit(store, 1)
    request = asked(methods=["per", "uniform"], seeds="0, 3", at="fifth-success", steps="1,000", set_name="from here", tags="a")
    made = make_branches(store, request)
    assert (made.problems, made.set_name) == ({}, "from here")
    runs = [store.run(run_id) for run_id in made.run_ids]
    assert [(run.replay, run.continuation_seed) for run in runs] == [("per", 0), ("uniform", 0), ("per", 3), ("uniform", 3)]
    assert {(run.parent_id, run.parent_moment, run.set_name, run.tags) for run in runs} == {
        (1, "fifth-success", "from here", ("a",))
    }
    assert {run.total_steps - (run.parent_step or 0) for run in runs} == {1_000}
    assert {job.target_id for job in store.jobs()} == set(made.run_ids)
    for run_id in reversed(made.run_ids):
        jobs.stop(store, run_id)
    while store.jobs(status="running") or store.jobs(status="starting"):
        pass


def test_a_press_acts_once_but_an_error_is_not_remembered() -> None:
    presses, done = Presses(), []

    def launch() -> Launched:
        done.append(1)
        if len(done) == 1:
            raise ConfigError("not now")
        return Launched([7], "", {})

    with pytest.raises(ConfigError, match="not now"):
        presses.once("a", launch)
    assert presses.once("a", launch).run_ids == [7]
    assert presses.once("a", launch).run_ids == [7]
    assert len(done) == 2
    with pytest.raises(ConfigError, match="press"):
        presses.once("", launch)


# -- the family


def test_a_run_shows_its_branches_and_a_branch_its_parent_and_siblings(store: Store) -> None:
    store.rename_run(1, "<b>trunk</b>")
    ids = branch(store, 1, "fifth-success", [{"replay": "per"}, {"replay": "uniform"}], [0, 4])
    (other,) = branch(store, 1, AT, [{}])
    trunk = family_of(store, 1)
    assert trunk.origin is None
    assert [row.run_id for row in trunk.relatives] == [1, *ids, other]
    assert {row.method for row in trunk.relatives} == set(trunk.colors) == {"per", "uniform"}
    assert [point.at for point in trunk.points] == ["fifth-success", AT]
    origin = family_of(store, ids[2]).origin
    assert origin is not None
    assert (origin.parent_id, origin.name, origin.moment) == (1, "<b>trunk</b>", "fifth-success")
    assert (origin.siblings, origin.continuation_seed) == (ids, 4)
    assert [(each.name, each.value, each.before) for each in origin.altered] == [("", "per", "uniform")]
    rows = {row.run_id: row for row in read_table(store, {}).rows}
    assert (rows[other].parent_id, rows[other].parent_step, rows[other].parent_moment) == (1, AT, "step")
    assert (rows[1].parent_id, rows[1].parent_step, rows[1].parent_moment) == (None, None, "")


def test_relatives_are_ancestors_siblings_and_descendants_and_nobody_else(store: Store) -> None:
    config = make_config(env="DoorKey-5x5", scorer="oracle").model_dump()
    places = {3: None, 4: (3, 500), 5: (4, 500), 6: (5, 500), 7: (4, 500), 8: (4, 900), 9: (6, 500)}  # by run: parent and step
    for run_id, place in places.items():
        lineage = None if place is None else Lineage(*place, "step", 0)
        assert store.create_run(config, render_spec={}, success_rule="", lineage=lineage) == run_id
    # 5 and its sibling 7 branch off 4, as does 8 later on
    assert [row.run_id for row in family_of(store, 5).relatives] == [3, 4, 5, 6, 7, 9]
    assert [row.run_id for row in family_of(store, 8).relatives] == [3, 4, 8]
    assert [row.run_id for row in family_of(store, 3).relatives] == [3, 4, 5, 6, 7, 8, 9]
    assert [row.run_id for row in family_of(store, 1).relatives] == [1]
    store.release_run(4, "finished")
    store.delete_run(4)
    assert [row.run_id for row in family_of(store, 5).relatives] == [5, 6, 7, 9]


def test_runs_that_name_each_other_as_parents_are_relatives_and_end_the_search() -> None:
    run = SimpleNamespace
    runs: Any = {1: run(run_id=1, parent_id=2, parent_step=5), 2: run(run_id=2, parent_id=1, parent_step=5)}
    assert relatives_of(1, runs) == relatives_of(2, runs) == {1, 2}


def test_a_branch_outlives_its_parent(store: Store) -> None:
    (run_id,) = branch(store, 1, AT, [{"replay": "per"}])
    delete_run(store, 1)
    origin = family_of(store, run_id).origin
    assert origin is not None
    assert (origin.parent_id, origin.name, origin.step, origin.altered) == (1, None, AT, [])


def test_changes_name_the_method_and_what_its_defaults_do_not_say(store: Store) -> None:
    changes = [
        {"replay": "per", "train_freq": 4, "importance_weights": False},
        {"lambda_max": 0.5},
        {"scorer": "oracle"},
        {"gamma": 0.9, "keep_checkpoints": "every:100"},
        {"replay": "uniform"},
        {},
    ]
    ids = branch(store, 2, AT, changes, steps=2_000)
    found = [[(each.name, each.value) for each in altered(store.run(run_id), store.run(2))] for run_id in ids]
    assert found == [
        [("", "per (no weights)"), ("train_freq", "4")],
        [("", "vlm (reward, base per, L=8)")],
        [("", "vlm (oracle, base per, λ=0.25, L=8)")],
        [("gamma", "0.9")],
        [("", "uniform")],
        [],
    ]


def test_successes_are_measured_in_training_and_discovery_is_the_parents(store: Store) -> None:
    successes = [episode.step for episode in store.episodes(1) if episode.success]
    trunk = family_of(store, 1)
    assert (trunk.first_success, trunk.fifth_success) == (successes[0], successes[4])
    (run_id,) = branch(store, 1, AT, [{}])
    found = family_of(store, run_id)
    assert (found.first_success, found.fifth_success) == (None, None)


def test_a_run_without_checkpoints_has_nothing_to_branch_off_at(store: Store) -> None:
    run_id = store.create_run(make_config(env="DoorKey-5x5", scorer="oracle").model_dump(), render_spec={}, success_rule="")
    assert (family_of(store, run_id).points, branch_form(store, run_id).points) == ([], [])
    with pytest.raises(NotFoundError, match="no run 99"):
        family_of(store, 99)


def test_the_replay_ratio_is_samples_drawn_per_stored_transition(store: Store) -> None:
    assert facts_of(store, 1).replay_ratio == 2.0
    config = make_config(env="DoorKey-5x5", scorer="oracle").model_dump()
    assert facts_of(store, store.create_run(config, render_spec={}, success_rule="")).replay_ratio == 32.0
