"""Statistics over a handful of seeds: point estimates, intervals, sample efficiency. Pure NumPy.

Definitions follow rliable (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
Precipice", arXiv 2108.13264): the interquartile mean, percentile intervals from a stratified bootstrap (runs are drawn
with replacement within each task), and the probability of improvement. Times that some runs never reach are censored;
their restricted means are those of survival analysis (Royston and Parmar 2013, doi 10.1186/1471-2288-13-152). All
randomness comes from the generator that the caller passes in. With few seeds, bootstrap intervals are too narrow: always
show n next to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
"""float64 [..., N] → [...]: reduces the last axis."""

_AT_ONCE = 32  # steps of a curve that are resampled together


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate over n runs with its bootstrap interval; `low` and `high` are None if every group has only one run."""

    n: int
    point: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class CurveBand:
    """Runs of one method at S steps: int64 `steps` and `n` [S], float64 `point`, `low`, `high` [S] (NaN bounds where n = 1)."""

    steps: NDArray[np.int64]
    n: NDArray[np.int64]
    point: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, slots=True)
class ThresholdSummary:
    """Steps that runs need to reach a threshold.

    Attributes:
        n: number of runs.
        reached: number of runs that reached it; the others are censored at their last step.
        median: the step by which half of the runs had reached it; None if fewer than half ever did.
        low: lower bound of the median's bootstrap interval; None if `median` is None or n < 2.
        high: its upper bound; also None if the interval is open because too many resamples never reach the threshold.
    """

    n: int
    reached: int
    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Times:
    """Times to an event of N runs, right-censored.

    Attributes:
        times: float64 [N], in steps, at least 0: when the event happened, or how long it did not.
        reached: bool [N]: whether it happened.
        followed: float64 [N], how long each run was observed, whatever happened; at least `times`.
    """

    times: FloatArray
    reached: NDArray[np.bool_]
    followed: FloatArray

    @classmethod
    def of(cls, events: Sequence[float | None], followed: Sequence[float]) -> Times:
        """From the time of each run's event (None: never) and how long it was observed; later events count as never.

        Raises:
            ValueError: the lengths differ, or a time is negative.
        """
        limits = np.array(followed, dtype=np.float64)
        found = np.array([np.inf if event is None else float(event) for event in events], dtype=np.float64)
        if found.shape != limits.shape:
            raise ValueError(f"{found.size} events of {limits.size} runs")
        if np.any(found < 0) or not np.all(limits >= 0):
            raise ValueError("a time is negative")
        return cls(np.minimum(found, limits), found <= limits, limits)

    def __len__(self) -> int:
        return int(self.times.size)


@dataclass(frozen=True, slots=True)
class RestrictedMean:
    """Mean of the time to an event, restricted to the first `horizon` steps: the mean of min(time, horizon).

    Attributes:
        n: number of runs.
        censored: runs that never got there in the time that they were observed.
        horizon: in steps.
        point: the estimate, in [0, horizon].
        low, high: bounds of its bootstrap interval over runs; None with one run.
    """

    n: int
    censored: int
    horizon: float
    point: float
    low: float | None
    high: float | None


def mean(values: ArrayLike) -> FloatArray:
    """Arithmetic mean over the last axis."""
    means: NDArray[np.float64] = np.mean(np.asarray(values, dtype=np.float64), axis=-1)
    return means


def iqm(values: ArrayLike) -> FloatArray:
    """Interquartile mean over the last axis: the mean after dropping ⌊n/4⌋ values at each end; the mean if n < 4."""
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    cut = ordered.shape[-1] // 4
    means: NDArray[np.float64] = np.mean(ordered[..., cut : ordered.shape[-1] - cut], axis=-1)
    return means


def bootstrap_interval(
    groups: Sequence[ArrayLike],
    *,
    rng: np.random.Generator,
    statistic: Statistic = iqm,
    resamples: int = 2_000,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of `statistic` over all values, resampling with replacement within each group.

    Args:
        groups: one sequence of per-seed values for each stratum (task, environment); not empty, all finite.
        rng: random generator of the resamples.
        statistic: `iqm`, `mean` or another reduction of the last axis.
        resamples: number of bootstrap resamples.
        confidence: confidence level, in (0, 1).

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    strata = [_finite_values(group) for group in groups]
    values = np.concatenate(strata) if strata else np.empty(0)
    if not values.size:
        raise ValueError("no values to summarise; give at least one run")
    point = float(statistic(values))
    if all(len(stratum) < 2 for stratum in strata):
        return Interval(len(values), point, None, None)
    draws = np.concatenate([_resample(stratum, resamples, rng) for stratum in strata], axis=1)  # [resamples, N]
    low, high = _percentiles(statistic(draws), confidence)
    return Interval(len(values), point, low, high)


def probability_of_improvement(
    x: Sequence[ArrayLike],
    y: Sequence[ArrayLike],
    *,
    rng: np.random.Generator,
    resamples: int = 2_000,
    confidence: float = 0.95,
) -> Interval:
    """P(a run of x beats a run of y on the same task), with ties counted half, averaged over tasks.

    Args:
        x: one sequence of per-seed values for each task.
        y: the same tasks in the same order for the other method; the number of seeds may differ.

    Returns:
        An `Interval` whose `n` is the total number of runs on both sides; 0.5 means no difference.

    Raises:
        ValueError: the numbers of tasks differ, a task has no runs, or a value is not finite.
    """
    pairs = [(_finite_values(a), _finite_values(b)) for a, b in zip(x, y, strict=True)]
    if not pairs or any(not a.size or not b.size for a, b in pairs):
        raise ValueError("each task needs at least one run on both sides")
    n = sum(a.size + b.size for a, b in pairs)
    point = float(np.mean([_wins(a, b) for a, b in pairs]))
    if all(a.size < 2 and b.size < 2 for a, b in pairs):
        return Interval(n, point, None, None)
    draws = np.mean([_wins(_resample(a, resamples, rng), _resample(b, resamples, rng)) for a, b in pairs], axis=0)
    low, high = _percentiles(draws, confidence)
    return Interval(n, point, low, high)


def value_at(steps: ArrayLike, values: ArrayLike, step: int) -> float | None:
    """The latest value at or before `step`; None before the first one. Measured, never interpolated."""
    index = int(np.searchsorted(np.asarray(steps), step, side="right")) - 1
    return None if index < 0 else float(np.asarray(values, dtype=np.float64)[index])


def steps_to_threshold(steps: ArrayLike, values: ArrayLike, threshold: float) -> int | None:
    """The first evaluation whose value is at least `threshold`; None if there is none (the run is censored at its last step).

    The first crossing counts, even if the value drops again. It is not interpolated, so its resolution is the interval
    between evaluations.
    """
    reached = np.flatnonzero(np.asarray(values, dtype=np.float64) >= threshold)
    return int(np.asarray(steps)[reached[0]]) if reached.size else None


def summarise_steps(
    steps: Sequence[int | None], *, rng: np.random.Generator, resamples: int = 2_000, confidence: float = 0.95
) -> ThresholdSummary:
    """Median of `steps_to_threshold` over runs; censored runs (None) count as later than all others.

    The median is the smallest step by which at least half of the runs had reached the threshold, as in survival
    analysis; for an even number of runs this is the lower of the two middle values.
    """
    times = np.array([np.inf if step is None else float(step) for step in steps])
    reached = int(np.isfinite(times).sum())
    if not times.size:
        return ThresholdSummary(0, 0, None, None, None)
    median = _lower_median(times)
    if not np.isfinite(median) or times.size < 2:
        return ThresholdSummary(times.size, reached, _finite_or_none(median), None, None)
    medians = np.sort(_lower_median(_resample(times, resamples, rng)))
    tail = (1 - confidence) / 2
    low = medians[int(np.floor(tail * (resamples - 1)))]  # order statistics: interpolation would mix in infinities
    high = medians[int(np.ceil((1 - tail) * (resamples - 1)))]
    return ThresholdSummary(times.size, reached, float(median), _finite_or_none(low), _finite_or_none(high))


def common_horizon(groups: Sequence[Times]) -> float:
    """The horizon to compare restricted means at: what at least half of the runs of every group were observed for.

    It is the smallest of the groups' median times of observation (the lower median, for an even number of runs). The
    smallest time of observation would need no estimate beyond a run's end, but a single run that starts its phase late
    would then shrink the horizon of all to almost nothing.

    Raises:
        ValueError: a group is empty.
    """
    if not groups or not all(len(group) for group in groups):
        raise ValueError("each group needs at least one run")
    return min(float(_lower_median(group.followed)) for group in groups)


def restricted_mean(
    group: Times, horizon: float, *, rng: np.random.Generator, resamples: int = 2_000, confidence: float = 0.95
) -> RestrictedMean | None:
    """The restricted mean of a group's times, with a bootstrap interval over its runs.

    It is the area under the Kaplan-Meier curve up to `horizon`. If every run was observed that long, this is the plain
    mean of min(time, horizon). Runs observed for a shorter time count as long as they last, which is unbiased if how long
    a run was observed says nothing about how soon it gets there.

    Returns:
        None if no run was observed as long as `horizon`, or there is no run.
    """
    n = len(group)
    if not n or float(group.followed.max()) < horizon:
        return None
    censored = int(np.sum(~group.reached))
    point = float(_kaplan_meier_area(group, np.ones((1, n)), horizon)[0])
    if n < 2:
        return RestrictedMean(n, censored, horizon, point, None, None)
    low, high = _percentiles(_kaplan_meier_area(group, _counts(n, resamples, rng), horizon), confidence)
    return RestrictedMean(n, censored, horizon, point, low, high)


def restricted_difference(
    x: Times,
    y: Times,
    horizon: float,
    *,
    paired: bool = False,
    share: float = 1.0,
    rng: np.random.Generator,
    resamples: int = 2_000,
    confidence: float = 0.95,
) -> Interval:
    """Restricted mean of x minus `share` times that of y, with a bootstrap interval over runs, or over pairs if `paired`.

    Args:
        x, y: the groups; run i of one belongs to run i of the other if `paired`.
        horizon: as for `restricted_mean`.
        paired: resample both groups by the same draws.

    Returns:
        An `Interval` whose `n` is the number of pairs, or of runs on both sides.

    Raises:
        ValueError: a group is empty, or groups of different sizes are paired.
    """

    def difference(of_x: FloatArray, of_y: FloatArray) -> FloatArray:
        return _kaplan_meier_area(x, of_x, horizon) - share * _kaplan_meier_area(y, of_y, horizon)

    n = _size(len(x), len(y), paired)
    point = float(difference(np.ones((1, len(x))), np.ones((1, len(y))))[0])
    if max(len(x), len(y)) < 2:
        return Interval(n, point, None, None)
    of_x = _counts(len(x), resamples, rng)
    low, high = _percentiles(difference(of_x, of_x if paired else _counts(len(y), resamples, rng)), confidence)
    return Interval(n, point, low, high)


def difference(
    x: ArrayLike,
    y: ArrayLike,
    *,
    paired: bool = False,
    rng: np.random.Generator,
    statistic: Statistic = iqm,
    resamples: int = 2_000,
    confidence: float = 0.95,
) -> Interval:
    """How much larger x is than y: `statistic` of the pairs' differences if `paired`, else the difference of `statistic`.

    Args:
        x, y: one finite value per run; run i of one belongs to run i of the other if `paired`.
        paired: resample pairs, not runs.

    Returns:
        An `Interval` whose `n` is the number of pairs, or of runs on both sides.

    Raises:
        ValueError: a side is empty, sides of different sizes are paired, or a value is not finite.
    """
    a, b = _finite_values(x), _finite_values(y)
    n = _size(a.size, b.size, paired)
    if paired:
        return bootstrap_interval([a - b], rng=rng, statistic=statistic, resamples=resamples, confidence=confidence)
    point = float(statistic(a) - statistic(b))
    if max(a.size, b.size) < 2:
        return Interval(n, point, None, None)
    draws = statistic(_resample(a, resamples, rng)) - statistic(_resample(b, resamples, rng))
    low, high = _percentiles(draws, confidence)
    return Interval(n, point, low, high)


def probability_within_pairs(
    x: ArrayLike, y: ArrayLike, *, rng: np.random.Generator, resamples: int = 2_000, confidence: float = 0.95
) -> Interval:
    """P(x is the larger one of a pair), with ties counted half and a bootstrap interval over pairs; 0.5 is no difference.

    Raises:
        ValueError: there are no pairs, the numbers of values differ, or one is not finite.
    """
    a, b = _finite_values(x), _finite_values(y)
    _size(a.size, b.size, paired=True)
    won = (a > b) + 0.5 * (a == b)
    return bootstrap_interval([won], rng=rng, statistic=mean, resamples=resamples, confidence=confidence)


def area_under_curve(steps: ArrayLike, values: ArrayLike, *, until: float | None = None) -> float:
    """Mean height of the curve from its first step to `until` (default: its last step), by the trapezoidal rule.

    On the scale of the values: a success rate gives a number in [0, 1]. A curve that ends before `until` is
    used as far as it goes; the value at an `until` between two evaluations is interpolated.

    Raises:
        ValueError: there is no value at or before `until`, or `steps` do not ascend.
    """
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if np.any(np.diff(x) <= 0):
        raise ValueError("steps must ascend")
    if not x.size or (until is not None and until < x[0]):
        raise ValueError("no value at or before `until`")
    if until is not None and until < x[-1]:
        end = np.interp(until, x, y)
        y, x = np.append(y[x < until], end), np.append(x[x < until], until)
    if x.size == 1:
        return float(y[0])
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)) / (x[-1] - x[0]))


def on_common_steps(curves: Sequence[tuple[ArrayLike, ArrayLike]], points: int) -> list[tuple[FloatArray, FloatArray]]:
    """Curves that were measured at different steps, each as its latest value at steps that all share.

    These are multiples of the usual interval between measurements, or of a longer one. A curve ends less than an interval after
    its last measurement.

    Args:
        curves: (steps, values) of each run, steps ascending and above 0; a run may have none.
        points: number of shared steps at most.
    """
    measured = [(np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)) for steps, values in curves]
    last = max((float(x[-1]) for x, _ in measured if x.size), default=0.0)
    gaps = np.concatenate([np.diff(x, prepend=0.0) for x, _ in measured])
    interval = max(float(np.median(gaps)) if gaps.size else 0.0, last / points, 1.0)
    grid = interval * np.arange(1, points + 1, dtype=np.float64)
    found = []
    for x, y in measured:
        shared: FloatArray = grid[(grid >= x[0]) & (grid < x[-1] + interval)] if x.size else grid[:0]
        found.append((shared, y[np.searchsorted(x, shared, side="right") - 1]))
    return found


def aggregate_curves(
    curves: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    rng: np.random.Generator,
    statistic: Statistic = iqm,
    resamples: int = 1_000,
    confidence: float = 0.95,
) -> CurveBand:
    """Aggregate the curves of one method's seeds: n, point estimate and pointwise interval at each step.

    Steps are the union over the runs; a run counts only at steps where it was measured, so n falls where runs ended
    early. NaN values are ignored. Nothing is smoothed.

    Args:
        curves: (steps, values) of each run, steps ascending.
    """
    by_step: dict[int, list[float]] = {}
    for steps, values in curves:
        for step, value in zip(np.asarray(steps).tolist(), np.asarray(values, dtype=np.float64).tolist(), strict=True):
            if np.isfinite(value):
                by_step.setdefault(int(step), []).append(value)
    common = sorted(by_step)
    n = np.array([len(by_step[step]) for step in common], dtype=np.int64)
    point, low, high = np.empty(len(common)), np.full(len(common), np.nan), np.full(len(common), np.nan)
    tail = (1 - confidence) / 2
    for start, end in _alike(n):
        values = np.array([by_step[step] for step in common[start:end]], dtype=np.float64)  # [S, N]
        point[start:end] = statistic(values)
        if values.shape[1] > 1:
            drawn = rng.integers(0, values.shape[1], size=(len(values), resamples, values.shape[1]))
            resampled = np.take_along_axis(values[:, None, :], drawn, axis=2)  # [S, resamples, N]
            low[start:end], high[start:end] = np.quantile(statistic(resampled), [tail, 1 - tail], axis=1)
    return CurveBand(steps=np.array(common, dtype=np.int64), n=n, point=point, low=low, high=high)


def _alike(counts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and last index of stretches of equal counts: what is done for each of them at once fits into memory."""
    starts = np.flatnonzero(np.diff(counts, prepend=-1)).tolist()
    for start, end in pairwise([*starts, len(counts)]):
        for at in range(start, end, _AT_ONCE):
            yield at, min(at + _AT_ONCE, end)


def _finite_values(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.all(np.isfinite(array)):
        raise ValueError("a value is not finite; leave out runs without a result")
    return array


def _resample(values: FloatArray, resamples: int, rng: np.random.Generator) -> FloatArray:
    """[N] → [resamples, N], drawn with replacement."""
    return values[rng.integers(0, max(1, values.size), size=(resamples, values.size))]


def _counts(n: int, resamples: int, rng: np.random.Generator) -> FloatArray:
    """How often each of n runs is in each resample: float64 [resamples, n]."""
    drawn = rng.integers(0, n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)


def _size(n: int, m: int, paired: bool) -> int:
    """Number of pairs, or of runs on both sides."""
    if not n or not m:
        raise ValueError("each side needs at least one run")
    if paired and n != m:
        raise ValueError(f"pairs need equally many runs on both sides: got {n} and {m}")
    return n if paired else n + m


def _kaplan_meier_area(group: Times, counts: FloatArray, horizon: float) -> FloatArray:
    """Area under the Kaplan-Meier curve up to `horizon`, for R resamples: counts [R, N] → [R].

    Where a resample has no run left to observe, its curve stays level.
    """
    ends = np.unique(group.times[group.reached & (group.times < horizon)])  # [M], where the curve falls
    here = group.reached[:, None] & (group.times[:, None] == ends)  # [N, M]
    left = counts @ (group.times[:, None] >= ends)  # [R, M], runs that had not got there before
    falls = np.divide(counts @ here, left, out=np.zeros_like(left), where=left > 0)
    heights = np.cumprod(np.concatenate([np.ones((len(counts), 1)), 1 - falls], axis=1), axis=1)  # [R, M + 1]
    areas: FloatArray = heights @ np.diff(np.concatenate([[0.0], ends, [horizon]]))
    return areas


def _percentiles(draws: FloatArray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _wins(x: FloatArray, y: FloatArray) -> FloatArray:
    """[..., N], [..., M] → [...]: fraction of the pairs in which x is larger; ties count half."""
    difference = x[..., :, None] - y[..., None, :]
    probabilities: NDArray[np.float64] = np.mean((difference > 0) + 0.5 * (difference == 0), axis=(-2, -1))
    return probabilities


def _lower_median(values: FloatArray) -> FloatArray:
    return np.sort(values, axis=-1)[..., (values.shape[-1] - 1) // 2]


def _finite_or_none(value: float | FloatArray) -> float | None:
    return float(value) if np.isfinite(value) else None
