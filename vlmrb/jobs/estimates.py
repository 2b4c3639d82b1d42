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

_WORK = ("observation", "train_freq", "batch_size", "hidden_size")
"""Settings that change how much there is to compute per step."""


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


@dataclass(frozen=True, slots=True)
class Speeds:
    """Steps per second of several configurations, and in words what that is based on."""

    steps_per_second: list[float]
    basis: str


def estimate(store: Store, configs: Sequence[TrainConfig]) -> Estimate:
    """Estimate from runs of the same environment and agent, else of the same agent, else of any; other load changes the speed."""
    limit, found = job_limit(store), speeds(store, configs)
    if not configs or found is None:
        return Estimate(len(configs), min(limit, len(configs)), None, "no run has been measured on this machine yet")
    seconds = [config.total_steps / speed for config, speed in zip(configs, found.steps_per_second, strict=True)]
    return Estimate(len(configs), min(limit, len(configs)), until_last_ends(seconds, limit), found.basis)


def speeds(store: Store, configs: Sequence[TrainConfig]) -> Speeds | None:
    """Steps per second of each configuration, from the most similar earlier runs; None if no run has been measured yet."""
    known = [run for run in store.runs(limit=RUNS_LOOKED_AT) if run.steps_per_second and run.step >= _measured_from(run)]
    if not known:
        return None
    found, same_task = [], True
    for config in configs:
        alike = _alike(known, config)
        same_task = same_task and alike[0].env == config.env and alike[0].algo == config.algo
        found.append(statistics.median(run.steps_per_second or 0.0 for run in alike[:9]))
    basis = "runs of the same environment and agent" if same_task else "runs of other environments or agents: a rough guess"
    return Speeds(found, f"from the speed of earlier {basis}")


def until_last_ends(seconds: Sequence[float], at_a_time: int) -> float:
    """How long these runs take if each takes the first place that becomes free."""
    lanes = [0.0] * max(1, min(at_a_time, len(seconds)))
    for each in seconds:
        lanes[lanes.index(min(lanes))] += each
    return max(lanes)


def _measured_from(run: RunSummary) -> int:
    """The step from which a run's speed reflects learning rather than its initial random play."""
    return max(1_000, 2 * int(run.config.get("learning_starts", 0)))


def _alike(known: list[RunSummary], config: TrainConfig) -> list[RunSummary]:
    """The known runs most similar to this configuration; never empty."""
    same_algo = [run for run in known if run.algo == config.algo] or known
    same_env = [run for run in same_algo if run.env == config.env] or same_algo
    same_work = [run for run in same_env if all(run.config.get(name) == getattr(config, name) for name in _WORK)] or same_env
    return [run for run in same_work if run.replay == config.replay] or same_work
