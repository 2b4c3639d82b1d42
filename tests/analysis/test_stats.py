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


# -- censored times


def times(events: list[float | None], followed: list[float] | float) -> stats.Times:
    return stats.Times.of(events, followed if isinstance(followed, list) else [followed] * len(events))


def slow_area(events: list[float | None], followed: list[float], horizon: float) -> float:
    """Area under the Kaplan-Meier curve, one time after the other."""
    pairs = [(min(t, f) if t is not None else f, t is not None and t <= f) for t, f in zip(events, followed, strict=True)]
    area, height, last = 0.0, 1.0, 0.0
    for time in sorted({t for t, reached in pairs if reached and t < horizon}):
        area += height * (time - last)
        at_risk = sum(t >= time for t, _ in pairs)
        height *= 1 - sum(t == time and reached for t, reached in pairs) / at_risk
        last = time
    return area + height * (horizon - last)


def test_a_restricted_mean_counts_a_run_that_never_got_there_with_the_horizon() -> None:
    found = stats.restricted_mean(times([20, 60, None, None], 100), 100, rng=rng())
    assert (found.n, found.censored, found.horizon, found.point) == (4, 2, 100, (20 + 60 + 100 + 100) / 4)
    assert 20 <= found.low < found.point < found.high <= 100
    assert stats.restricted_mean(times([20, 60, None, None], 100), 50, rng=rng()).point == (20 + 50 + 50 + 50) / 4


def test_a_run_that_ends_before_the_horizon_counts_as_long_as_it_lasted() -> None:
    # Kaplan-Meier: 1 up to 20, 3/4 up to 60 (one run of four is there), then, of the two runs left, one gets there: 3/8 up to 100
    group = times([20, None, 60, None], [100, 40, 100, 100])
    assert stats.restricted_mean(group, 100, rng=rng()).point == pytest.approx(20 * 1 + 40 * 3 / 4 + 40 * 3 / 8)


def test_an_event_after_the_end_of_observation_counts_as_never() -> None:
    assert stats.restricted_mean(times([90, 10], 50), 50, rng=rng()) == stats.restricted_mean(
        times([None, 10], 50), 50, rng=rng()
    )


def test_without_a_run_that_was_observed_long_enough_there_is_no_restricted_mean() -> None:
    assert stats.restricted_mean(times([20, None], [60, 80]), 100, rng=rng()) is None
    assert stats.restricted_mean(times([], []), 0, rng=rng()) is None
    assert stats.restricted_mean(times([20], 60), 60, rng=rng()) == stats.RestrictedMean(1, 0, 60, 20.0, None, None)


censored_times = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 50)), st.integers(1, 50)), min_size=2, max_size=10)


@given(censored_times, st.integers(1, 50))
def test_a_restricted_mean_is_the_area_under_the_kaplan_meier_curve(runs: list[tuple[int | None, int]], horizon: int) -> None:
    events, followed = [event for event, _ in runs], [float(limit) for _, limit in runs]
    found = stats.restricted_mean(times(events, followed), horizon, rng=rng(), resamples=20)
    if max(followed) < horizon:
        assert found is None
        return
    assert found.point == pytest.approx(slow_area(events, followed, horizon))
    assert -1e-9 <= found.low <= found.high <= horizon + 1e-9
    if min(followed) >= horizon:
        assert found.point == pytest.approx(np.mean([min(horizon if e is None else e, horizon) for e in events]))


def test_the_interval_of_a_restricted_mean_is_that_of_resampled_runs() -> None:
    events, followed = [10, 30, None, 45, None, 20], [60.0, 60.0, 25.0, 60.0, 60.0, 60.0]
    found = stats.restricted_mean(times(events, followed), 60, rng=rng(), resamples=4_000)
    generator, slow = np.random.default_rng(1), []
    for _ in range(4_000):
        drawn = generator.integers(0, 6, 6)
        slow.append(slow_area([events[i] for i in drawn], [followed[i] for i in drawn], 60))
    np.testing.assert_allclose([found.low, found.high], np.quantile(slow, [0.025, 0.975]), atol=1.5)


def test_the_common_horizon_is_what_half_of_the_runs_of_every_group_were_observed_for() -> None:
    groups = [times([None] * 4, [5, 90, 100, 100]), times([None] * 3, [80, 120, 130])]
    assert stats.common_horizon(groups) == 90
    with pytest.raises(ValueError, match="at least one run"):
        stats.common_horizon([*groups, times([], [])])


def test_negative_times_and_unequal_lengths_are_rejected() -> None:
    for events, followed in (([-1], [5.0]), ([1], [-5.0]), ([1], [5.0, 6.0])):
        with pytest.raises(ValueError, match=r"negative|events of"):
            stats.Times.of(events, followed)


# -- differences


def test_a_difference_of_restricted_means_has_the_interval_of_both_sides() -> None:
    x, y = times([10, 20, 30, None, 25], 50), times([40, 35, None, None, 45], 50)
    found = stats.restricted_difference(x, y, 50, rng=rng())
    assert (found.n, found.point) == (10, pytest.approx((10 + 20 + 30 + 50 + 25) / 5 - (40 + 35 + 50 + 50 + 45) / 5))
    assert found.low < found.point < found.high < 0


def test_pairs_take_out_what_both_runs_of_a_pair_share() -> None:
    x, y = times([10, 110, 210, 310, 410], 500), times([20, 119, 221, 320, 421], 500)
    apart = stats.restricted_difference(x, y, 500, rng=rng())
    paired = stats.restricted_difference(x, y, 500, paired=True, rng=rng())
    assert (paired.n, paired.point) == (5, pytest.approx(apart.point)) and apart.low < 0 < apart.high
    assert -11 <= paired.low <= paired.high <= -9
    # nothing is censored, so these are plain differences
    plain = stats.difference([10, 110, 210, 310, 410], [20, 119, 221, 320, 421], paired=True, rng=rng(), statistic=stats.mean)
    assert (plain.n, plain.point) == (5, pytest.approx(paired.point))
    assert (plain.low, plain.high) == pytest.approx((paired.low, paired.high))


def test_a_difference_is_that_of_the_statistics_and_paired_that_of_the_pairs() -> None:
    x, y = [1.0, 2.0, 3.0, 50.0], [0.0, 2.0, 2.0, 2.0]
    assert stats.difference(x, y, rng=rng()).point == 2.5 - 2.0  # interquartile means
    assert stats.difference(x, y, paired=True, rng=rng()).point == 1.0  # of 1, 0, 1, 48
    assert stats.difference([1.0], [3.0], rng=rng()) == stats.Interval(2, -2.0, None, None)
    assert stats.difference([1.0], [3.0], paired=True, rng=rng()) == stats.Interval(1, -2.0, None, None)


def test_differences_agree_with_scipys_bootstrap() -> None:
    bootstrap = pytest.importorskip("scipy.stats").bootstrap
    generator = np.random.default_rng(3)
    x, y = generator.normal(1, 2, 12), generator.normal(0, 1, 9)
    found = stats.difference(x, y, rng=rng(), statistic=stats.mean, resamples=10_000)
    theirs = bootstrap((x, y), lambda a, b, axis: a.mean(axis) - b.mean(axis), method="percentile", rng=4).confidence_interval
    np.testing.assert_allclose([found.low, found.high], theirs, atol=0.06)
    paired = stats.difference(x[:9], y, paired=True, rng=rng(), statistic=stats.mean, resamples=10_000)
    theirs = bootstrap((x[:9] - y,), np.mean, method="percentile", rng=4).confidence_interval
    np.testing.assert_allclose([paired.low, paired.high], theirs, atol=0.06)


def test_the_probability_within_pairs_counts_pairs_and_half_ties() -> None:
    found = stats.probability_within_pairs([3, 2, 5, 1], [1, 2, 4, 9], rng=rng())
    assert (found.n, found.point) == (4, (1 + 0.5 + 1 + 0) / 4)


@pytest.mark.parametrize(("x", "y", "paired"), [([], [1.0], False), ([1.0, 2.0], [1.0], True)])
def test_empty_sides_and_unequal_pairs_are_rejected(x: list[float], y: list[float], paired: bool) -> None:
    with pytest.raises(ValueError, match=r"on both sides|at least one run"):
        stats.difference(x, y, paired=paired, rng=rng())
    with pytest.raises(ValueError, match=r"on both sides|at least one run"):
        stats.restricted_difference(times(x, 9), times(y, 9), 9, paired=paired, rng=rng())


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


def test_curves_measured_at_different_steps_share_the_latest_values_at_common_ones() -> None:
    curves = [([5, 15, 25], [0.1, 0.2, 0.3]), ([14, 24], [0.6, 0.8]), ([10, 20], [0.4, 0.5])]
    first, second, third = ((x.tolist(), y.tolist()) for x, y in stats.on_common_steps(curves, 60))
    assert first == ([10, 20, 30], [0.1, 0.2, 0.3])
    assert second == ([20, 30], [0.6, 0.8])  # nothing is made up before its first value
    assert third == ([10, 20], [0.4, 0.5])  # or an interval after its last one


def test_many_common_steps_are_thinned_evenly_and_keep_the_end() -> None:
    steps = np.arange(1, 1_001)
    ((x, values),) = stats.on_common_steps([(steps, steps / 1_000)], 50)
    assert (len(x), x[0], x[-1]) == (50, 20, 1_000)
    np.testing.assert_allclose(values, x / 1_000)


def test_curves_without_a_measurement_stay_empty() -> None:
    (x, _), (_, second) = stats.on_common_steps([([], []), ([100, 200], [0.5, 0.7])], 60)
    assert (x.tolist(), second.tolist()) == ([], [0.5, 0.7])
    assert [len(steps) for steps, _ in stats.on_common_steps([([], [])], 60)] == [0]


def test_single_points_share_the_last_one() -> None:
    (_, first), (_, second) = stats.on_common_steps([([90], [0.5]), ([100], [0.7])], 60)
    assert (first.tolist(), second.tolist()) == ([0.5], [0.7])


def test_no_curves_give_an_empty_band() -> None:
    band = stats.aggregate_curves([], rng=rng())
    assert band.steps.shape == band.point.shape == (0,)
