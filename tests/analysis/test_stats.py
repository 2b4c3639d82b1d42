"""Statistics over runs: hand-computed values, and properties that hold for any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmrb.analysis import stats

numbers = st.floats(-1e3, 1e3, allow_nan=False)
seeds_of_a_method = st.lists(numbers, min_size=1, max_size=12)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# -- point estimates


def test_iqm_drops_a_quarter_from_each_end() -> None:
    assert stats.iqm([100, 1, 2, 3, 4, 5, 6, -50]) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_iqm_of_ten_values_drops_two_from_each_end() -> None:
    assert stats.iqm(np.arange(10.0)) == pytest.approx(np.mean([2, 3, 4, 5, 6, 7]))


def test_iqm_of_fewer_than_four_values_is_their_mean() -> None:
    assert stats.iqm([0.0, 0.0, 3.0]) == pytest.approx(1.0)


def test_iqm_works_along_the_last_axis() -> None:
    table = np.array([[0, 1, 2, 30], [5, 5, 5, 5]])
    np.testing.assert_allclose(stats.iqm(table), [1.5, 5])
    np.testing.assert_allclose(stats.mean(table), [8.25, 5])


@given(seeds_of_a_method, st.randoms(use_true_random=False))
def test_iqm_does_not_depend_on_the_order_and_stays_between_the_extremes(values: list[float], shuffler) -> None:
    estimate = stats.iqm(values)
    shuffled = values.copy()
    shuffler.shuffle(shuffled)
    assert stats.iqm(shuffled) == estimate
    assert min(values) - 1e-9 <= estimate <= max(values) + 1e-9


# -- bootstrap


@settings(max_examples=40)
@given(st.lists(seeds_of_a_method, min_size=1, max_size=3))
def test_bounds_are_ordered_and_within_the_data(groups: list[list[float]]) -> None:
    interval = stats.bootstrap_interval(groups, rng=rng(), statistic=stats.mean, resamples=200)
    everything = [value for group in groups for value in group]
    assert interval.n == len(everything)
    assert interval.point == pytest.approx(np.mean(everything))
    if all(len(group) == 1 for group in groups):
        assert interval.low is None
        assert interval.high is None
    else:
        assert interval.low <= interval.high
        assert min(everything) - 1e-9 <= interval.low
        assert interval.high <= max(everything) + 1e-9


def test_interval_matches_the_normal_approximation_for_many_normal_values() -> None:
    values = rng().normal(10.0, 2.0, size=400)
    interval = stats.bootstrap_interval([values], rng=rng(), statistic=stats.mean)
    half = 1.96 * values.std(ddof=1) / np.sqrt(values.size)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)


def test_resampling_is_done_within_each_stratum() -> None:
    interval = stats.bootstrap_interval([[0.0] * 5, [1.0] * 5], rng=rng(), statistic=stats.mean)
    assert (interval.low, interval.point, interval.high) == (0.5, 0.5, 0.5)
    pooled = stats.bootstrap_interval([[0.0] * 5 + [1.0] * 5], rng=rng(), statistic=stats.mean)
    assert pooled.low < 0.5 < pooled.high


def test_one_run_has_no_interval() -> None:
    assert stats.bootstrap_interval([[0.8]], rng=rng()) == stats.Interval(1, 0.8, None, None)


def test_equal_generators_give_equal_intervals_and_the_global_one_is_untouched() -> None:
    before = np.random.get_state()[1].copy()
    values = [0.1, 0.4, 0.9, 0.7, 0.3]
    assert stats.bootstrap_interval([values], rng=rng()) == stats.bootstrap_interval([values], rng=rng())
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("groups", [[], [[]], [[1.0, float("nan")]]])
def test_no_values_or_nan_values_are_rejected(groups: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"at least one run|not finite"):
        stats.bootstrap_interval(groups, rng=rng())


# -- probability of improvement


def test_probability_of_improvement_counts_pairs_and_half_ties() -> None:
    # pairs: 3>1, 3>2, 2>1, 2=2  →  3.5 of 4
    assert stats.probability_of_improvement([[3, 2]], [[1, 2]], rng=rng()).point == pytest.approx(3.5 / 4)


def test_probability_of_improvement_is_averaged_over_tasks() -> None:
    result = stats.probability_of_improvement([[2, 2], [0]], [[1], [1, 1, 1]], rng=rng())
    assert result.point == pytest.approx((1 + 0) / 2)
    assert result.n == 7


@settings(max_examples=40)
@given(seeds_of_a_method, seeds_of_a_method)
def test_probability_of_improvement_of_both_sides_adds_up_to_one(x: list[float], y: list[float]) -> None:
    there = stats.probability_of_improvement([x], [y], rng=rng(), resamples=50)
    back = stats.probability_of_improvement([y], [x], rng=rng(), resamples=50)
    assert there.point + back.point == pytest.approx(1.0)
    if there.low is not None:
        assert 0.0 <= there.low <= there.high <= 1.0


def test_probability_of_improvement_needs_the_same_tasks() -> None:
    with pytest.raises(ValueError):
        stats.probability_of_improvement([[1.0]], [[1.0], [2.0]], rng=rng())


# -- steps to a threshold


def test_the_first_crossing_counts_even_if_the_value_drops_again() -> None:
    assert stats.steps_to_threshold([10, 20, 30, 40], [0.1, 0.5, 0.2, 0.9], 0.5) == 20


def test_steps_to_a_threshold_that_is_never_reached_are_none() -> None:
    assert stats.steps_to_threshold([10, 20], [0.1, np.nan], 0.5) is None
    assert stats.steps_to_threshold([], [], 0.5) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_is_never_reached_sooner(values: list[float], a: float, b: float) -> None:
    steps = np.arange(1, len(values) + 1) * 100
    low, high = (stats.steps_to_threshold(steps, values, threshold) for threshold in sorted((a, b)))
    assert high is None or (low is not None and low <= high)


def test_median_steps_treats_censored_runs_as_later_than_all_others() -> None:
    summary = stats.summarise_steps([100, None, 300, 200, None], rng=rng())
    assert (summary.n, summary.reached, summary.median) == (5, 3, 300)
    assert summary.low == 100
    assert summary.high is None  # many resamples contain three censored runs


def test_median_steps_is_none_if_fewer_than_half_of_the_runs_reached_the_threshold() -> None:
    summary = stats.summarise_steps([100, None, None, 200, None], rng=rng())
    assert (summary.reached, summary.median, summary.low) == (2, None, None)


def test_median_steps_of_an_even_number_of_runs_is_the_lower_middle_value() -> None:
    assert stats.summarise_steps([100, 200, None, None], rng=rng()).median == 200
    assert stats.summarise_steps([400, 100, 200, 300], rng=rng()).median == 200


def test_median_steps_of_none_or_one_run_has_no_interval() -> None:
    assert stats.summarise_steps([], rng=rng()) == stats.ThresholdSummary(0, 0, None, None, None)
    assert stats.summarise_steps([500], rng=rng()) == stats.ThresholdSummary(1, 1, 500.0, None, None)


@given(st.lists(st.one_of(st.none(), st.integers(1, 1000)), min_size=2, max_size=9))
def test_median_steps_is_within_its_interval(steps: list[int | None]) -> None:
    summary = stats.summarise_steps(steps, rng=rng(), resamples=100)
    assert summary.reached == sum(step is not None for step in steps)
    assert (summary.median is None) == (2 * summary.reached < summary.n)
    if summary.median is not None and summary.low is not None:
        assert summary.low <= summary.median
        assert summary.high is None or summary.median <= summary.high


# -- curves


def test_area_is_the_mean_height_of_the_curve() -> None:
    assert stats.area_under_curve([0, 10, 30], [0, 1, 1]) == pytest.approx((5 + 20) / 30)
    assert stats.area_under_curve([50], [0.3]) == 0.3


def test_area_until_a_step_interpolates_the_end() -> None:
    assert stats.area_under_curve([0, 10, 20], [0, 1, 0], until=15) == pytest.approx((5 + 5 * 0.75) / 15)
    assert stats.area_under_curve([0, 10], [0, 1], until=99) == pytest.approx(0.5)


@pytest.mark.parametrize(("steps", "until"), [([], None), ([10, 20], 5), ([20, 10], None)])
def test_area_of_an_empty_or_unordered_curve_is_rejected(steps: list[int], until: float | None) -> None:
    with pytest.raises(ValueError, match=r"no value|ascend"):
        stats.area_under_curve(steps, np.zeros(len(steps)), until=until)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_area_stays_between_the_lowest_and_the_highest_value(values: list[float]) -> None:
    area = stats.area_under_curve(np.arange(len(values)) * 7 + 3, values)
    assert min(values) - 1e-12 <= area <= max(values) + 1e-12


def test_value_at_returns_the_latest_measured_value() -> None:
    steps, values = [100, 200], [0.1, 0.2]
    assert stats.value_at(steps, values, 199) == 0.1
    assert stats.value_at(steps, values, 200) == 0.2
    assert stats.value_at(steps, values, 99) is None


def test_curves_are_aligned_on_their_steps_with_n_at_each() -> None:
    band = stats.aggregate_curves(
        [([10, 20, 30], [0.0, 0.5, 1.0]), ([10, 20], [1.0, 0.5]), ([20], [np.nan])], rng=rng(), statistic=stats.mean
    )
    np.testing.assert_array_equal(band.steps, [10, 20, 30])
    np.testing.assert_array_equal(band.n, [2, 2, 1])
    np.testing.assert_allclose(band.point, [0.5, 0.5, 1.0])
    np.testing.assert_allclose(band.low, [0.0, 0.5, np.nan])
    np.testing.assert_allclose(band.high, [1.0, 0.5, np.nan])


def test_no_curves_give_an_empty_band() -> None:
    band = stats.aggregate_curves([], rng=rng())
    assert band.steps.shape == band.point.shape == (0,)
