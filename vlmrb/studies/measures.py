"""What a study measures: one number per run, read off its line in `curves.jsonl`.

| measure | of one run | better |
|---|---|---|
| `final` | the metric at the last step that every run of the task reached | higher |
| `success_at:N` | the metric at step N: the latest value at or before it | higher |
| `area`, `area:N` | mean height of the curve up to step N, or as far as every run of the task got | higher |
| `steps_to_P` | steps until the evaluated metric first reaches P % | lower |
| `consolidation_to_P` | steps from the fifth successful training episode to there; of a branch, from its beginning | lower |
| `auc:label` | area under the ROC curve of P(yes) against the simulator's progress, over the run's clips | higher |

Steps of a branch count from where it branched off. A run that does not reach P is censored where it was last evaluated: steps
are summarised and compared by restricted means. All statistics are those of `vlmrb compare`, with the mean as its statistic,
so that both say the same about the same runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmrb.analysis import stats
from vlmrb.analysis.stats import Interval, RestrictedMean
from vlmrb.errors import ConfigError

KINDS = "final, success_at:N, area, area:N, steps_to_P, consolidation_to_P (P in %), auc:label"
SEED = int(np.random.default_rng(0).integers(2**63))
"""Of every bootstrap: the one that `compare` draws, so that the same runs have the same intervals."""

_FORM = re.compile(r"(final|area|auc:label)|(success_at|area):([0-9_]{1,12})|(steps_to|consolidation_to)_([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Line:
    """One run of a study, as its line in `curves.jsonl` tells it.

    Attributes:
        arm, task, seed: its place in the study; `arm` is 'trunk' for a run that others branched off from.
        steps, values: int64 and float64 [S]: the curve of the study's metric, as far as the study looks at it.
        start: the step at which it branched off from its trunk; 0 for a run of its own.
        branched: whether it is a branch.
        phases: 'first_success' and 'fifth_success': steps of successful training episodes, None where there was none.
        auc: of its labels; None if the study does not ask for it or it has no value.
        positive_rate: fraction of its clips labelled yes; None without labels.
        record: the whole line.
    """

    arm: str
    task: str
    seed: int
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    start: int = 0
    branched: bool = False
    phases: Mapping[str, int | None] = field(default_factory=dict)
    auc: float | None = None
    positive_rate: float | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def elapsed(self) -> NDArray[np.int64]:
        """The steps of its curve since its start."""
        found: NDArray[np.int64] = self.steps - self.start
        return found


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure, parsed.

    Attributes:
        text: as the study's file writes it.
        kind: 'final', 'success_at', 'area', 'steps_to', 'consolidation_to' or 'auc'.
        number: N in steps or P as a share; None where there is none.
    """

    text: str
    kind: str
    number: float | None = None

    @property
    def in_steps(self) -> bool:
        """Whether its values are steps: fewer are better."""
        return self.kind in ("steps_to", "consolidation_to")

    @property
    def title(self) -> str:
        """For headings."""
        if self.kind == "auc":
            return "AUC of the labels"
        if self.kind == "final":
            return "final success"
        if self.in_steps:
            start = "from the fifth success " if self.kind == "consolidation_to" else ""
            return f"steps {start}to {100 * (self.number or 0):.0f} %"
        upto = "" if self.number is None else f" {'at' if self.kind == 'success_at' else 'to'} {int(self.number):,}"
        return ("success" if self.kind == "success_at" else "area under the curve") + upto


class Value(NamedTuple):
    """What was measured of one run.

    Attributes:
        value: of a measure in steps, when the run got there; None: never while it was watched.
        watched: for how many steps it was watched; 0 where that does not matter.
    """

    value: float | None
    watched: float = 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm's mean minus that of another arm, or the mean of the differences within pairs.

    Attributes:
        seeds: number of pairs, else of runs on the side that has fewer.
        paired: whether runs of the same seed are paired.
    """

    interval: Interval
    seeds: int
    paired: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure's values of the runs of one task.

    Attributes:
        values: by arm, then by seed; runs without one are left out.
        horizon: what means of steps are restricted to, or how far curves are read; None where there is no such thing.
        paired: whether arms are paired by seed: they branched off from the same runs.
    """

    what: Measure
    values: dict[str, dict[int, Value]]
    horizon: float | None
    paired: bool

    def summary(self, arm: str) -> RestrictedMean | Interval | None:
        """The mean over an arm's runs, restricted if it is one of steps; None if nothing is known of them."""
        values = list(self.values.get(arm, {}).values())
        if not values:
            return None
        if self.what.in_steps:
            assert self.horizon is not None
            return stats.restricted_mean(_times(values), self.horizon, rng=_rng())
        return stats.bootstrap_interval([_numbers(values)], rng=_rng(), statistic=stats.mean)

    def difference(self, arm: str, other: str, *, share: float = 1.0, confidence: float = 0.95) -> Difference | None:
        """An arm's mean minus that of another arm times `share`; None if nothing is known of one of them.

        Steps are restricted to what these two arms have in common, as in `compare`.
        """
        mine, theirs = self.values.get(arm, {}), self.values.get(other, {})
        common = sorted(mine.keys() & theirs.keys()) if self.paired else []
        x, y = ([side[seed] for seed in common or sorted(side)] for side in (mine, theirs))
        if not x or not y:
            return None
        paired, rng = bool(common), _rng()
        if self.what.in_steps:
            a, b = _times(x), _times(y)
            horizon = stats.common_horizon([a, b])
            found = stats.restricted_difference(a, b, horizon, paired=paired, share=share, rng=rng, confidence=confidence)
        else:
            sides = _numbers(x), share * _numbers(y)
            found = stats.difference(*sides, paired=paired, rng=rng, statistic=stats.mean, confidence=confidence)
        return Difference(found, min(len(x), len(y)), paired)

    def excess(self, arm: str, over: float, *, confidence: float = 0.95) -> Difference | None:
        """An arm's mean minus a number; None if nothing is known of the arm."""
        values = list(self.values.get(arm, {}).values())
        if not values:
            return None
        if not self.what.in_steps:
            interval = stats.bootstrap_interval(
                [_numbers(values) - over], rng=_rng(), statistic=stats.mean, confidence=confidence
            )
            return Difference(interval, len(values), False)
        times = _times(values)
        found = stats.restricted_mean(times, stats.common_horizon([times]), rng=_rng(), confidence=confidence)
        assert found is not None, "a median run was watched for the whole horizon"
        low, high = (None if bound is None else bound - over for bound in (found.low, found.high))
        return Difference(Interval(found.n, found.point - over, low, high), len(values), False)


def _times(values: Sequence[Value]) -> stats.Times:
    return stats.Times.of([value.value for value in values], [value.watched for value in values])


def _numbers(values: Sequence[Value]) -> NDArray[np.float64]:
    return np.array([value.value for value in values], dtype=np.float64)


def _rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def parse_measure(text: str) -> Measure:
    """Read a measure.

    Raises:
        ConfigError: there is no such measure.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"measure: got {text!r}; allowed: {KINDS}")
    alone, at, step, to, percent = found.groups()
    if alone:
        return Measure(text, "auc" if alone == "auc:label" else alone)
    if at:
        return Measure(text, at, float(int(step)))
    if not 1 <= int(percent) <= 100:
        raise ConfigError(f"measure: {text!r} names {percent} %; allowed: 1 to 100")
    return Measure(text, to, int(percent) / 100)


def measure(what: Measure, lines: Sequence[Line]) -> Measured:
    """The measure of each of these runs, which are all of one task."""
    paired = bool(lines) and all(line.branched for line in lines)
    if what.in_steps:
        values = _by_arm(lines, [_time(what, line) for line in lines])
        groups = [_times(list(arm.values())) for arm in values.values() if arm]
        return Measured(what, values, stats.common_horizon(groups) if groups else None, paired)
    horizon = min((int(line.elapsed[-1]) for line in lines if line.steps.size), default=0)
    until = horizon if what.number is None else int(what.number)
    values = _by_arm(lines, [_height(what.kind, line, until) for line in lines])
    return Measured(what, values, None if what.kind == "auc" else until, paired)


def _height(kind: str, line: Line, until: int) -> Value | None:
    if kind == "auc":
        return None if line.auc is None else Value(line.auc)
    own = line.elapsed >= 0
    elapsed, values = line.elapsed[own], line.values[own]
    if not elapsed.size or elapsed[0] > until:
        return None
    if kind == "area":
        return Value(stats.area_under_curve(elapsed, values, until=until))
    return Value(stats.value_at(elapsed, values, until))


def _time(what: Measure, line: Line) -> Value | None:
    """Steps from the run's start, or from its fifth success, to the threshold; None if it was not watched from there."""
    assert what.number is not None
    own = line.elapsed >= 0
    steps, values = line.steps[own], line.values[own]
    start = line.start if line.branched or what.kind == "steps_to" else line.phases.get("fifth_success")
    if start is None or not steps.size or steps[-1] <= start:
        return None
    reached = stats.steps_to_threshold(steps, values, what.number)
    return Value(None if reached is None else float(max(reached - start, 0)), float(steps[-1] - start))


def _by_arm(lines: Iterable[Line], found: Iterable[Value | None]) -> dict[str, dict[int, Value]]:
    values: dict[str, dict[int, Value]] = {}
    for line, value in zip(lines, found, strict=True):
        arm = values.setdefault(line.arm, {})
        if value is not None:
            arm[line.seed] = value
    return values
