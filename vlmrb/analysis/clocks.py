"""When a run was at which step: by the clock, and by how long it had been running. Pure: curves in, records out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmrb.types import CLOCK_S, EVALUATION_S, RUNNING_S, SPEED

TIMES = (RUNNING_S, CLOCK_S, SPEED, EVALUATION_S)
"""The metrics that tell when a run was where."""

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Steps int64 [N], ascending, and values float64 [N]."""

_NONE: Curve = (np.empty(0, np.int64), np.empty(0, np.float64))


@dataclass(frozen=True, slots=True)
class Clock:
    """The time at some steps of a run; between them it is interpolated.

    Attributes:
        running: seconds that it had been training and evaluating, without pauses and without the time between a stop and the
            resume. Empty if nobody knows.
        wall: seconds since the epoch. Empty if nobody knows.
    """

    running: Curve
    wall: Curve

    def running_at(self, step: int) -> float:
        """Seconds that the run had been running at `step`; 0 if nobody knows."""
        steps, seconds = self.running
        return float(np.interp(step, steps, seconds)) if steps.size else 0.0


def clock_of(curves: Mapping[str, Curve], start: int = 0) -> Clock:
    """The clock of a run.

    Runs of earlier versions did not record it. How long they ran is added up from their measured speeds and the time of their
    evaluations; the time by the clock stays unknown, because nobody knows when they were stopped. Imported runs may have the
    time by the clock only; then how long they ran includes all interruptions.

    Args:
        curves: whole curves of TIMES by metric; each may be missing.
        start: the step that the run began at: 0, or the parent step of a branch.
    """
    running, wall, speeds, evaluations = (_known(curves.get(name, _NONE)) for name in TIMES)
    added_up = _added_up(speeds, evaluations, start)
    if not running[0].size and not added_up[0].size and wall[0].size:
        running = wall[0], wall[1] - wall[1][0]
    elif running[0].size:  # what came before is known only if an earlier version trained it
        before = added_up[0] < running[0][0]
        running = np.append(added_up[0][before], running[0]), np.append(added_up[1][before], running[1])
    else:
        running = added_up
    return Clock(running, wall)


def _known(curve: Curve) -> Curve:
    steps, values = curve
    return steps[np.isfinite(values)], values[np.isfinite(values)]


def _added_up(speeds: Curve, evaluations: Curve, start: int) -> Curve:
    """Seconds of training up to the steps of `speeds`, and of the evaluations up to there."""
    useful = (speeds[1] > 0) & (speeds[0] > start)
    steps, speed = speeds[0][useful], speeds[1][useful]
    if not steps.size:
        return _NONE
    trained = np.cumsum(np.diff(steps, prepend=start) / speed)
    evaluated = np.append(0.0, np.cumsum(evaluations[1]))[np.searchsorted(evaluations[0], steps, side="right")]
    return np.append(start, steps), np.append(0.0, trained + evaluated)
