"""When runs were at which step, for charts over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlmrb.analysis.clocks import TIMES, Clock, Curve, clock_of
from vlmrb.analysis.downsample import downsample
from vlmrb.store import Store
from vlmrb.types import CLOCK_S, RUNNING_S, RunSummary

MAX_POINTS = 300


@dataclass(frozen=True, slots=True)
class RunClock:
    """A run's clock, as steps and seconds; empty where nobody knows. See `Clock`."""

    run_id: int
    running: Curve
    wall: Curve


def read_clocks(store: Store, runs: Sequence[RunSummary]) -> dict[int, Clock]:
    """The clocks of runs by run id."""
    curves = store.curves([run.run_id for run in runs], TIMES)
    return {run.run_id: clock_of({name: curves[run.run_id, name] for name in TIMES}, run.parent_step or 0) for run in runs}


def run_clocks(store: Store, run_ids: Sequence[int]) -> list[RunClock]:
    """The clocks of runs, thinned out: between two points of a curve, time is interpolated anyway."""
    found = read_clocks(store, store.runs(run_ids=run_ids))
    return [
        RunClock(run_id, downsample(*clock.running, MAX_POINTS), downsample(*clock.wall, MAX_POINTS))
        for run_id, clock in sorted(found.items())
    ]


def clock_curves(store: Store, run: RunSummary) -> dict[str, Curve]:
    """A run's clock as curves by metric: RUNNING_S also for runs of earlier versions, which did not record it."""
    clock = read_clocks(store, [run])[run.run_id]
    return {name: curve for name, curve in ((RUNNING_S, clock.running), (CLOCK_S, clock.wall)) if np.size(curve[0])}
