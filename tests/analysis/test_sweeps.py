"""A setting against the score: which settings vary, and what the runs with each value reach."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.test_comparison import measured
from vlmrb.analysis import stats
from vlmrb.analysis.comparison import MeasuredRun, Task
from vlmrb.analysis.sweeps import Sweep, sweeps, varied_settings
from vlmrb.errors import ConfigError
from vlmrb.types import IMPORTED

TASK = Task("MiniGrid-DoorKey-8x8-v0", "dqn")


def swept(runs: list[MeasuredRun], setting: str, **options) -> Sweep:
    (found,) = sweeps(runs, setting, rng=np.random.default_rng(0), statistic=stats.mean, **options)
    return found


def at_lambdas(*weights: float | None) -> list[MeasuredRun]:
    """Two seeds with each λ, and two of uniform."""
    runs = [
        measured(10 * i + seed, [0.0, (weight or 0.0) + seed / 10], lambda_max=weight, seed=seed)
        for i, weight in enumerate(weights)
        for seed in (0, 1)
    ]
    return [*runs, *(measured(90 + seed, [0.0, 0.1], replay="uniform", seed=seed) for seed in (0, 1))]


def test_a_setting_varies_if_a_method_has_several_values_of_it() -> None:
    assert varied_settings(at_lambdas(0.25, 0.5)) == {TASK: ("lambda_max",)}
    assert varied_settings(at_lambdas(0.5)) == {TASK: ()}  # the seed varies, too, and so does the replay method
    ratios = [measured(1, [1.0], batch_size=32), measured(2, [1.0], batch_size=64)]
    assert varied_settings(ratios) == {TASK: ("batch_size", "replay_ratio")}
    between = [measured(1, [1.0], learning_rate=1e-3), measured(2, [1.0], replay="per", learning_rate=1e-4)]
    assert varied_settings(between) == {TASK: ()}  # of one method there is a single value


def test_settings_that_are_no_numbers_are_left_out() -> None:
    runs = [measured(1, [1.0], td_boost=True, prompt="games"), measured(2, [1.0], td_boost=False, prompt="milestones")]
    assert varied_settings(runs) == {TASK: ()}


def test_each_value_has_its_runs_and_the_interval_over_them() -> None:
    found = swept(at_lambdas(0.5, 0.25), "lambda_max")
    (line,) = found.lines
    assert (found.horizon, line.label, [point.value for point in line.points]) == (200_000, "vlm (oracle)", [0.25, 0.5])
    point = line.points[1]
    assert [(run.run_id, run.seed, run.score) for run in point.runs] == [(0, 0, 0.5), (1, 1, 0.6)]
    assert (point.score.n, point.score.point) == (2, pytest.approx(0.55))
    assert point.score.low is not None and point.score.low >= 0.5 and found.mixed == ()


def test_methods_that_do_not_read_the_setting_are_levels_to_compare_with() -> None:
    (reference,) = swept(at_lambdas(0.25, 0.5), "lambda_max").references
    assert (reference.label, reference.run_ids, reference.score.point) == ("uniform", (90, 91), pytest.approx(0.1))


def test_a_run_without_a_number_is_left_out_and_named() -> None:
    found = swept(at_lambdas(None, 0.25, 0.5), "lambda_max")
    assert found.left_out == (0, 1) and [point.value for point in found.lines[0].points] == [0.25, 0.5]


def test_other_settings_that_differ_at_one_value_are_named() -> None:
    runs = [*at_lambdas(0.25, 0.5), measured(50, [0.0, 0.9], lambda_max=0.5, learning_rate=1e-2)]
    assert swept(runs, "lambda_max").mixed == ("learning_rate",)
    ratios = [measured(1, [1.0], batch_size=32, train_freq=4), measured(2, [1.0], batch_size=64, train_freq=8),
              measured(3, [1.0], batch_size=64, train_freq=4)]  # fmt: skip
    found = swept(ratios, "replay_ratio")
    assert [point.value for point in found.lines[0].points] == [8.0, 16.0] and found.mixed == ()


def test_the_score_is_taken_where_the_shortest_run_ends_or_as_the_area_up_to_there() -> None:
    runs = [measured(1, [0.2, 0.4, 1.0], learning_rate=1e-3), measured(2, [0.0, 0.8], learning_rate=1e-4)]
    found = {measure: swept(runs, "learning_rate", measure=measure) for measure in ("value", "area")}
    scores = {measure: [point.score.point for point in each.lines[0].points] for measure, each in found.items()}
    assert scores["value"] == [0.8, 0.4]
    assert scores["area"] == pytest.approx(
        [stats.area_under_curve([100_000, 200_000], values, until=200_000) for values in ([0.0, 0.8], [0.2, 0.4])]
    )
    assert found["value"].lines[0].points[0].score.low is None  # a single run has no interval


def test_a_run_of_another_program_is_a_level_too() -> None:
    foreign = measured(5, [0.0, 0.7], replay="uniform")
    foreign.run.config.clear()
    foreign.run.config.update({"env": TASK.env, "algo": "dqn", "replay": "uniform", IMPORTED: "elsewhere"})
    assert [each.run_ids for each in swept([*at_lambdas(0.25, 0.5), foreign], "lambda_max").references] == [(90, 91, 5)]


def test_a_setting_that_does_not_vary_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match="'gamma' is no number in which the runs of a method differ; these are: lambda_max"):
        swept(at_lambdas(0.25, 0.5), "gamma")
    with pytest.raises(ConfigError, match="these are: none"):
        swept(at_lambdas(0.5), "lambda_max")
