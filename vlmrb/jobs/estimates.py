"""How long a launch takes here, from the speeds of earlier runs."""

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
    """How much work a launch is.

    Attributes:
        runs: how many.
        at_a_time: how many of them train at once.
        seconds: until the last one has ended, if nothing else runs; None where no speed is known.
        basis: what that rests on, in words.
    """

    runs: int
    at_a_time: int
    seconds: float | None
    basis: str


def estimate(store: Store, configs: Sequence[TrainConfig]) -> Estimate:
    """Runs of the same environment and agent count first, then those of the same agent; speeds vary with what else runs."""
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
    for each in seconds:  # first come, first served
        lanes[lanes.index(min(lanes))] += each
    basis = "runs of the same environment and agent" if same_task else "runs of other environments or agents, so only roughly"
    return Estimate(len(configs), len(lanes), max(lanes), f"from the speed of earlier {basis}")


def _measured_from(run: RunSummary) -> int:
    """The step from which a run's speed is that of learning, not of the random play that it begins with."""
    return max(1_000, 2 * int(run.config.get("learning_starts", 0)))


def _alike(known: list[RunSummary], config: TrainConfig) -> list[RunSummary]:
    """The runs that are most like it: never empty."""
    same_algo = [run for run in known if run.algo == config.algo] or known
    same_env = [run for run in same_algo if run.env == config.env] or same_algo
    return [run for run in same_env if run.replay == config.replay] or same_env
