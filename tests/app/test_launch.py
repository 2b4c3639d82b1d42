"""The launch form: built from the configuration model, checked by field, and launched once per press."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.launch_form import (
    Filled,
    check,
    command,
    destination_of,
    filled_from,
    filled_from_preset,
    filled_from_run,
    lambda_schedule,
    lambda_schedules,
    settings_of_form,
)
from app.pages.launch import Launcher, verdict_on
from vlmrb import jobs
from vlmrb.__main__ import build_parser
from vlmrb.cli.jobs import _configs
from vlmrb.config import TrainConfig
from vlmrb.errors import ConfigError, EnvironmentSetupError
from vlmrb.store import Store

FORM: dict[str, Any] = {
    "settings": {"env": "CartPole-v1", "total_steps": "200", "scorer": "reward", "eval_episodes": "1"},
    "methods": ["vlm", "uniform"],
    "seeds": "0-1",
    "set_name": "first λ",
    "tags": "a, b",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "runs.db")) as store:
        yield store


def form(**changes: Any) -> Filled:
    settings = FORM["settings"] | changes.pop("settings", {})
    return filled_from(FORM | {"settings": settings} | changes)


def test_every_setting_but_replay_and_seed_is_in_the_form_with_description_and_range() -> None:
    settings = {setting.name: setting for setting in settings_of_form()}
    assert set(settings) == set(TrainConfig.model_fields) - {"replay", "seed"}
    assert all(setting.description for setting in settings.values())
    assert (settings["double"].kind, settings["double"].default) == ("flag", True)
    assert settings["algo"].choices == ("dqn", "iqn", "sac", "td3")
    assert (settings["train_freq"].default, settings["train_freq"].by_agent) == ("4", {"sac": "1", "td3": "1"})
    assert settings["importance_weights"].by_method["per"] is True
    assert (settings["td_boost"].default, settings["td_boost"].by_agent["td3"]) == (False, True)
    lambda_max = settings["lambda_max"]
    assert (lambda_max.kind, lambda_max.range, lambda_max.optional) == ("number", "0 to 1", True)
    assert settings["base"].choices == ("uniform", "per", "laber", "reaper", "relo")
    assert (settings["quantiles"].readers, settings["gamma"].readers) == (("iqn",), ())
    assert (settings["total_steps"].kind, settings["total_steps"].default) == ("whole", "200000")


def test_a_form_is_the_product_of_methods_and_seeds() -> None:
    checked = check(form())
    assert checked.problems == {}
    assert [(c.replay, c.seed, c.total_steps) for c in checked.configs] == [
        (r, s, 200) for s in (0, 1) for r in ("vlm", "uniform")
    ]


def test_the_command_contains_what_differs_from_the_defaults_of_its_agent() -> None:
    shown = command(form(settings={"env": "Pendulum-v1", "algo": "sac", "batch_size": "256", "train_freq": "4"}))
    assert "--train-freq 4" in shown
    assert "--batch-size" not in shown


def test_each_value_of_a_varied_setting_is_a_method() -> None:
    checked = check(form(methods=["vlm"], vary="lambda_max", values="0.25, none", seeds="3"))
    assert [c.lambda_max for c in checked.configs] == [0.25, None]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"settings": {"lambda_max": "1.5"}}, "lambda_max", "1.5"),
        ({"settings": {"lambda_max": "nan"}}, "lambda_max", "finite"),
        ({"settings": {"total_steps": "-3"}}, "total_steps", "≥ 1"),
        ({"settings": {"total_steps": "many"}}, "total_steps", "many"),
        ({"settings": {"prompt": "  "}}, "prompt", "empty"),
        ({"settings": {"epsilon_end": "0.9", "epsilon_start": "0.5"}}, "epsilon_end", "above"),
        ({"seeds": "x"}, "seeds", "numbers and ranges"),
        ({"seeds": " "}, "seeds", "at least one"),
        ({"methods": []}, "methods", "at least one"),
        ({"methods": ["vlm"], "vary": "lambda_max", "values": ""}, "values", "at least one"),
        ({"methods": ["vlm"], "vary": "lambda_max", "values": "0.5, 2"}, "values", "2"),
    ],
)
def test_a_problem_is_reported_at_its_field(changes: dict[str, Any], field: str, words: str) -> None:
    problems = check(form(**changes)).problems
    assert set(problems) == {field}
    assert words in problems[field]


def test_several_problems_are_reported_together() -> None:
    problems = check(form(settings={"gamma": "7", "tau": "x"}, seeds="?")).problems
    assert set(problems) == {"gamma", "tau", "seeds"}


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"nonsense": "1"}},
        {"settings": {"seed": "1"}},
        {"settings": {"gamma": 0.5}},
        {"methods": ["x"]},
        {"vary": "x"},
        {"seeds": 5},
    ],
)
def test_a_malformed_request_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        form(**changes)


@pytest.mark.parametrize("preset", jobs.presets(), ids=lambda preset: preset.key)
def test_a_preset_in_the_form_gives_exactly_the_runs_of_the_preset(preset: jobs.LaunchPreset) -> None:
    checked = check(filled_from_preset(preset))
    assert checked.problems == {}
    key = TrainConfig.model_dump_json
    assert sorted(map(key, checked.configs)) == sorted(map(key, preset.configs()))


@pytest.mark.parametrize(
    ("chosen", "method"),
    [
        ({}, {"replay": "uniform"}),
        ({"algo": "td3", "env": "Pendulum-v1", "total_steps": 5_000, "double": True}, {"replay": "per"}),
        ({"replay_ratio": 8, "lambda_max": None, "strata": True, "her": "off"}, {"replay": "vlm", "base": "per"}),
        ({"importance_weights": False, "per_alpha": 0.7}, {"replay": "per"}),
        ({"scorer": "random:0.3", "importance_weights": True, "prompt": "Is it\nso?"}, {"replay": "vlm", "base": "relo"}),
    ],
)
def test_launching_again_gives_the_run_that_there_was(store: Store, chosen: dict[str, Any], method: dict[str, str]) -> None:
    [config] = jobs.matched_set(chosen, [method], [7])
    run_id = store.create_run(config.model_dump(), render_spec={}, success_rule="")
    checked = check(filled_from_run(store.run(run_id)))
    assert checked.problems == {}
    assert checked.configs == [config]


@pytest.mark.parametrize(
    "filled",
    [
        form(settings={"double": False, "env": "DoorKey-6x6", "prompt": "Does it; rm -rf $HOME 'open'?"}),
        form(settings={"importance_weights": False}, methods=["uniform", "per"]),  # the field's default is not the method's
        form(settings={"lambda_max": "none"}, tags="", set_name=""),
        form(methods=["vlm"], vary="lambda_max", values="0.25, none"),
    ],
)
def test_the_command_launches_what_the_form_launches(filled: Filled) -> None:
    configs = []
    for line in command(filled).splitlines():
        configs += _configs(build_parser().parse_args(shlex.split(line)[3:]))
    key = TrainConfig.model_dump_json
    assert sorted(map(key, configs)) == sorted(map(key, check(filled).configs))


def test_the_lambda_chart_shows_the_schedule_used_in_training() -> None:
    config = check(
        form(methods=["vlm"], seeds="0", settings={"lambda_max": "0.4", "lambda_warmup": "0.25", "total_steps": "1000"})
    ).configs[0]
    points = dict(lambda_schedule(config))
    assert (points[0], points[250], points[1000]) == (0.0, 0.4, 0.4)
    assert points[100] == pytest.approx(0.16)
    assert lambda_schedule(config.model_copy(update={"lambda_max": None})) == []


def test_the_lambda_chart_has_a_line_for_each_distinct_schedule() -> None:
    checked = check(form(methods=["vlm", "uniform"], vary="lambda_max", values="0.25, 0.5, none", seeds="0-2"))
    assert [schedule[-1] for schedule in lambda_schedules(checked.configs)] == [(200, 0.25), (200, 0.5)]
    assert lambda_schedules(check(form(methods=["uniform"])).configs) == []


def test_the_verdict_counts_runs_and_writes_nothing(store: Store) -> None:
    verdict = verdict_on(store, form(), {})
    assert verdict.size is not None
    assert verdict.size.runs == 4
    assert "no run has been measured" in verdict.size.basis
    assert store.runs() == []


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"settings": {"env": "NoSuch-v0"}}, "env", "NoSuch"),
        ({"vary": "env", "values": "DoorKey-5x5, NoSuch-v0"}, "values", "NoSuch"),
        ({"settings": {"env": "Pendulum-v1"}}, "algo", "needs discrete actions"),
        ({"settings": {"scorer": "embeded"}, "methods": ["vlm"]}, "scorer", "'embeded' is unknown"),
        (
            {"settings": {"curriculum": "steps:9", "scorer": "embedded"}, "methods": ["vlm"]},
            "curriculum",
            "at least 2 questions",
        ),
    ],
)
def test_what_a_press_would_refuse_is_told_at_the_field_while_typing(store: Store, changes: dict, field: str, words: str) -> None:
    problems = verdict_on(store, form(**changes), {}).problems
    assert list(problems) == [field] and words in problems[field]


def test_labels_that_would_mean_nothing_are_told_before_the_press(store: Store) -> None:
    tried: jobs.Tried = {}
    verdict = verdict_on(store, form(settings={"env": "CartPole-v1", "scorer": "embedded"}, methods=["vlm"]), tried)
    assert verdict.problems == {} and "trained only on pictures of MiniGrid" in verdict.notices[0]
    assert len(tried) == 1
    assert verdict_on(store, form(settings={"env": "DoorKey-5x5", "scorer": "embedded"}, methods=["vlm"]), tried).notices == []


def test_one_press_launches_once(store: Store) -> None:
    jobs.set_job_limit(store, 1)
    launcher = Launcher(store)
    first = launcher.launch(form(), "press-1")
    assert launcher.launch(form(), "press-1") == first
    runs = store.runs()
    assert [run.run_id for run in reversed(runs)] == first.run_ids
    assert {(run.set_name, run.tags) for run in runs} == {("first λ", ("a", "b"))}
    for run_id in first.run_ids[1:]:
        jobs.stop(store, run_id)
    while store.jobs(status="running") or store.jobs(status="starting"):
        pass


def test_an_environment_that_cannot_be_created_is_reported_and_nothing_is_written(store: Store) -> None:
    with pytest.raises(EnvironmentSetupError, match="NoSuch"):
        Launcher(store).launch(form(settings={"env": "NoSuch-v0"}), "press-1")
    assert store.runs() == []


def test_the_form_says_where_runs_train(store: Store) -> None:
    filled = form(on="ray", cpus="2", gpus="0.2", resources="licence=1, disk=5")
    assert destination_of(filled) == jobs.destination("ray", cpus=2, gpus=0.2, other=["licence=1", "disk=5"])
    words = shlex.split(command(filled))
    where = "--on ray --cpus 2 --gpus 0.2 --resource licence=1 --resource disk=5"
    assert words[words.index("--on") : words.index("--tag")] == where.split()
    assert (destination_of(form()), destination_of(form(on="local", cpus="2"))) == (None, jobs.destination("local"))
    assert check(form(on="ray", cpus="two")).problems == {"cpus": "got 'two'; allowed: a number, such as 1 or 0.2"}
    assert check(form(on="ray", gpus="-1")).problems == {"gpus": "got -1.0; allowed: a number from 0 to 10,000, such as 1 or 0.2"}
    with pytest.raises(ConfigError, match="jobs --launcher"):  # the store's address would be shown to whoever runs it
        Launcher(store).launch(form(on="ray:10.0.0.5:6379"), "press")
    assert store.runs() == []


def test_the_form_offers_the_stores_own_cluster_first(store: Store) -> None:
    assert jobs.known_destinations(store)[0] == "local"
    jobs.set_default_destination(store, "ray:10.0.0.5:6379")
    assert jobs.known_destinations(store)[:2] == ["ray:10.0.0.5:6379", "local"]
