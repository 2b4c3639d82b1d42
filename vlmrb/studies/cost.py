"""What a study, or the rest of it, costs: core-hours before it starts, and time on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlmrb import jobs
from vlmrb.config import TrainConfig
from vlmrb.store import Store
from vlmrb.studies.runs import CellState

ASK_ABOVE = 1.0
"""Core-hours that a study may cost without somebody's consent."""

_STEP_S = 0.25e-3
_UPDATE_S = {"dqn": 3.5e-3, "iqn": 11e-3, "sac": 16e-3, "td3": 13e-3}
"""Seconds of one core: per step, and per update of the default size. DQN's default run was measured at 759 and 1,016 steps/s; the
others are as `assets/results/speed` reports."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What runs still cost.

    Attributes:
        runs: how many are left.
        core_hours: of training, at one core per run. A model that scores clips takes up to another core while its run trains.
        hours: until the last one ends, at as many at a time as this machine trains.
        at_most: whether some of them may end earlier: trunks end at their moment.
        basis: what it is computed from, in words.
    """

    runs: int
    core_hours: float
    hours: float
    at_most: bool
    basis: str


def cost_of(store: Store | None, states: Sequence[CellState]) -> Cost:
    """The cost of what is left of these runs; without a store, or if it has seen no run yet, from documented speeds."""
    left = [each for each in states if each.state not in ("done", "no branch") and each.of > each.steps]
    configs = [each.cell.config for each in left]
    measured = None if store is None or not left else jobs.paces(store, configs)
    if measured is None:
        paces = [jobs.Pace(_documented(config), 0.0) for config in configs]
        basis = "from the speeds that this project has measured elsewhere"
    else:
        paces, basis = measured.each, measured.basis
    seconds = [pace.seconds(config, each.of - each.steps) for each, config, pace in zip(left, configs, paces, strict=True)]
    limit = 1 if store is None else jobs.job_limit(store)
    return Cost(
        runs=len(left),
        core_hours=sum(seconds) / 3600,
        hours=jobs.until_last_ends(seconds, limit) / 3600 if seconds else 0.0,
        at_most=any(each.cell.is_trunk for each in left),
        basis=basis,
    )


def _documented(config: TrainConfig) -> float:
    """Steps per second on one core, for networks and batches of the default size."""
    return 1 / (_STEP_S + _UPDATE_S[config.algo] / config.train_freq)
