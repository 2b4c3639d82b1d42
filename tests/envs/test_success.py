"""The rule of success: which steps decide, and what is unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.odd_environments import LENGTH, env_id
from vlmrb.config import make_config
from vlmrb.envs import make_env
from vlmrb.envs.success import SuccessRule, as_success
from vlmrb.store import Store
from vlmrb.train import train
from vlmrb.types import SUCCESS


@pytest.mark.parametrize(
    ("reported", "success"),
    [
        *((yes, True) for yes in (True, np.bool_(True), 1, 1.0, np.float32(1), np.array(True), np.array([1.0]), [1])),
        *((no, False) for no in (False, np.bool_(False), 0, 0.0, np.array([0]))),
        *((what, None) for what in (float("nan"), np.nan, float("inf"), 0.5, 2, -1, "False", "yes", [], [1, 1], {}, object())),
    ],
)
def test_only_truth_values_are_a_success_or_none(reported: object, success: bool | None) -> None:
    assert as_success(reported) is success


@pytest.mark.parametrize(
    ("step", "reports", "success"),
    [
        ("last", [True, False], False),
        ("any", [True, False], True),
        ("last", [False, True], True),
        ("last", [True, np.nan], None),
        ("any", [False, np.nan, False], None),
        ("any", [np.nan, True], True),
        ("any", [None, False, None], False),
        ("last", [False, None], None),
        ("any", [None, None], None),
    ],
)
def test_the_last_step_decides_or_any(step: str, reports: list, success: bool | None) -> None:
    rule = SuccessRule("reported", success_step=step)
    for _ in range(2):  # an episode leaves nothing for the next
        rule.begin()
        answers = [rule.step(reported, 0.0, at == len(reports) - 1) for at, reported in enumerate(reports)]
        assert answers[-1] is success
    assert ("nan" in rule.notice) == (np.nan in reports and (step == "any" or reports[-1] is np.nan))


@pytest.mark.parametrize(("step", "success"), [("last", False), ("any", True)])
def test_a_return_that_was_reached_in_between_counts_where_any_step_does(step: str, success: bool) -> None:
    rule = SuccessRule("reported", 2.0, step)
    assert [rule.step(False, reward, reward < 0) for reward in (1.0, 1.0, -1.0)][-1] is success
    assert "a return of at least 2" in rule.words and ("any step" in rule.words) == success


def play(name: str, **settings: object):
    env = make_env(make_config(env=env_id(name), replay="uniform", **settings))
    env.reset(0)
    return env, [env.step(0) for _ in range(LENGTH)]


def test_an_environments_success_is_read_at_its_last_step_or_at_any() -> None:
    env, steps = play("PassingSuccess")
    assert steps[-1].success is False and not any(step.events for step in steps) and "at the last step" in env.success_rule
    env, steps = play("PassingSuccess", success_step="any")
    assert steps[-1].success is True and "at any step" in env.success_rule
    assert [at for at, step in enumerate(steps, 1) for event in step.events if event.name == "success"] == [3]
    assert play("GoodSuccess")[1][-1].success is True


def test_a_grid_follows_the_rule_that_was_chosen_too() -> None:
    chosen = {"success_return": 0.5, "success_step": "any"}
    for settings, words in (({}, "positive reward (at the last step"), (chosen, "at least 0.5 (at any step")):
        env = make_env(make_config(env="DoorKey-5x5", replay="uniform", **settings))
        assert words in env.success_rule
    assert env.time_limit == 250


def test_a_success_that_is_no_truth_value_is_unknown_and_the_run_says_so(tmp_path: Path) -> None:
    settings = {"replay": "uniform", "scorer": None, "keep_clips": False, "total_steps": 60, "n_envs": 2, "hidden_size": 8,
                "eval_interval": 60, "eval_episodes": 2}  # fmt: skip
    with Store(str(tmp_path / "store.db")) as store:
        result = train(make_config(env=env_id("NanSuccess"), **settings), store=store)
        assert result.final_success_rate is None and SUCCESS not in store.metric_names(1)
        assert {episode.success for episode in store.episodes(1)} == {None}
        assert "success as nan" in store.run(1).counters.environment_notice
