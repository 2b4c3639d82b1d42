"""Estimates how long a launch takes on this machine from the speed of earlier runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from vlmrb.config import TrainConfig
from vlmrb.jobs.dispatching import job_limit
from vlmrb.store import Store
from vlmrb.types import RunSummary

RUNS_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated cost of a launch.

    Attributes:
        runs: number of runs.
        at_a_time: how many of them train at once.
        seconds: until the last one ends, if nothing else runs; None if no speed is known.
        basis: what the estimate is based on, in words.
    """

    runs: int
    at_a_time: int
    seconds: float | None
    basis: str


def estimate(store: Store, configs: Sequence[TrainConfig]) -> Estimate:
    """Estimate from runs of the same environment and agent, else of the same agent, else of any; other load changes the speed."""
    limit = job_limit(store)
    known = [run for run in store.runs(limit=RUNS_LOOKED_AT) if run.steps_per_second and run.step >= _measured_from(run)]
    if not configs or not known:
        return Estimate(len(configs), min(limit, len(configs)), None, "no run has been measured on this machine yet")
    seconds, same_task = [], True
    for config in configs:
        alike = _alike(known, config)
        same_task = same_task and alike[0].env == config.env and alike[0].algo == config.algo
        speed = statistics.median(run.steps_per_second or 0.0 for run in alike[:9])
        seconds.append(config.total_steps / speed)
    lanes = [0.0] * min(limit, len(configs))
    for each in seconds:  # each run takes the first free lane
        lanes[lanes.index(min(lanes))] += each
    basis = "runs of the same environment and agent" if same_task else "runs of other environments or agents: a rough guess"
    return Estimate(len(configs), len(lanes), max(lanes), f"from the speed of earlier {basis}")


def _measured_from(run: RunSummary) -> int:
    """The step from which a run's speed reflects learning rather than its initial random play."""
    return max(1_000, 2 * int(run.config.get("learning_starts", 0)))


def _alike(known: list[RunSummary], config: TrainConfig) -> list[RunSummary]:
    """The known runs most similar to this configuration; never empty."""
    same_algo = [run for run in known if run.algo == config.algo] or known
    same_env = [run for run in same_algo if run.env == config.env] or same_algo
    return [run for run in same_env if run.replay == config.replay] or same_env
