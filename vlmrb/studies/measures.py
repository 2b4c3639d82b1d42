"""What a study measures: one number per run, read off its line in `curves.jsonl`.

| measure | of one run | better |
|---|---|---|
| `final` | the metric at the last step that every run of the task reached | higher |
| `success_at:N` | the metric at step N: the latest value at or before it | higher |
| `area`, `area:N` | mean height of the curve up to step N, or as far as every run of the task got | higher |
| `steps_to_P` | steps until the evaluated metric first reaches P % | lower |
| `consolidation_to_P` | steps from the fifth successful training episode to there; of a branch, from its beginning | lower |
| `auc:label` | area under the ROC curve of P(yes) against the simulator's progress, over the run's clips | higher |

Steps of a branch count from where it branched off. A run that does not reach P is censored: its steps are restricted to the
shortest time for which such a run was watched, and so are everybody else's, so that means compare like with like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmrb.analysis import stats
from vlmrb.errors import ConfigError

KINDS = "final, success_at:N, area, area:N, steps_to_P, consolidation_to_P (P in %), auc:label"
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


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure's values of the runs of one task.

    Attributes:
        values: by arm, then by seed.
        censored: number of runs of each arm that never got there; their values are restricted.
        horizon: the steps that values are restricted to, or that the curve is read up to; None where there is no such thing.
        left_out: for each arm, the seeds that have no value.
    """

    values: dict[str, dict[int, float]]
    censored: dict[str, int]
    horizon: int | None
    left_out: dict[str, list[int]]


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
    """The measure of each of these runs, which are all of one task. A run without a value is left out."""
    if what.in_steps:
        return _times(what, lines)
    lines_with_curve = [line for line in lines if line.steps.size]
    horizon = min((int(line.elapsed[-1]) for line in lines_with_curve), default=0)
    until = horizon if what.number is None else int(what.number)
    found = {id(line): _height(what.kind, line, until) for line in lines}
    return _sorted(lines, found, set(), None if what.kind == "auc" else until)


def _height(kind: str, line: Line, until: int) -> float | None:
    if kind == "auc":
        return line.auc
    if not line.steps.size or line.elapsed[0] > until:
        return None
    if kind == "area":
        return stats.area_under_curve(line.elapsed, line.values, until=until)
    return stats.value_at(line.elapsed, line.values, until)


def _times(what: Measure, lines: Sequence[Line]) -> Measured:
    """Steps from each run's start to the threshold, restricted to the time for which every censored run was watched."""
    assert what.number is not None
    times: dict[int, float | None] = {}
    watched: dict[int, int] = {}
    for line in lines:
        start = _start(what.kind, line)
        if start is None or not line.steps.size:
            continue
        reached = stats.steps_to_threshold(line.steps, line.values, what.number)
        times[id(line)] = None if reached is None else max(0.0, float(reached - start))
        watched[id(line)] = max(0, int(line.steps[-1]) - start)
    censored = {key for key, time in times.items() if time is None}
    longest = max((time for time in times.values() if time is not None), default=0.0)
    horizon = min((watched[key] for key in censored), default=int(longest))
    restricted = {key: float(horizon) if time is None else min(time, float(horizon)) for key, time in times.items()}
    return _sorted(lines, restricted, censored, horizon)


def _start(kind: str, line: Line) -> int | None:
    if line.branched or kind == "steps_to":
        return line.start
    return line.phases.get("fifth_success")


def _sorted(lines: Sequence[Line], found: Mapping[int, float | None], censored: set[int], horizon: int | None) -> Measured:
    values: dict[str, dict[int, float]] = {}
    never: dict[str, int] = {}
    missing: dict[str, list[int]] = {}
    for line in lines:
        value = found.get(id(line))
        values.setdefault(line.arm, {})
        never.setdefault(line.arm, 0)
        missing.setdefault(line.arm, [])
        if value is None:
            missing[line.arm].append(line.seed)
        else:
            values[line.arm][line.seed] = value
            never[line.arm] += id(line) in censored
    return Measured(values, never, horizon, missing)
