"""Estimates how long a launch takes on this machine from the speed of earlier runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

from vlmrb.config import TrainConfig
from vlmrb.jobs.dispatching import job_limit
from vlmrb.store import Store
from vlmrb.types import EVALUATION_S, RunSummary

RUNS_LOOKED_AT = 200

_WORK = ("observation", "train_freq", "batch_size", "hidden_size")
"""Settings that change how much there is to compute per step."""

_SCORING = ("scorer", "sync_scoring")
"""Settings that change how long labels take."""


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
class Pace:
    """What a run's time is made of: steps per second, and seconds per evaluation (0 if none was measured)."""

    steps_per_second: float
    evaluation_s: float

    def seconds(self, config: TrainConfig, steps: int) -> float:
        """How long a run of this configuration takes for its last `steps` steps, evaluations included."""
        return steps / self.steps_per_second + math.ceil(steps / config.eval_interval) * self.evaluation_s


@dataclass(frozen=True, slots=True)
class Paces:
    """The pace of several configurations, and in words what that is based on."""

    each: list[Pace]
    basis: str


def estimate(store: Store, configs: Sequence[TrainConfig]) -> Estimate:
    """Estimate from runs of the same environment and agent, else of the same agent, else of any; other load changes the speed."""
    limit, found = job_limit(store), paces(store, configs)
    if not configs or found is None:
        return Estimate(len(configs), min(limit, len(configs)), None, "no run has been measured on this machine yet")
    seconds = [pace.seconds(config, config.total_steps) for config, pace in zip(configs, found.each, strict=True)]
    return Estimate(len(configs), min(limit, len(configs)), until_last_ends(seconds, limit), found.basis)


def paces(store: Store, configs: Sequence[TrainConfig]) -> Paces | None:
    """The pace of each configuration, from the most similar earlier runs; None if no run has been measured yet."""
    known = [run for run in store.runs(limit=RUNS_LOOKED_AT) if run.steps_per_second and run.step >= _measured_from(run)]
    if not known:
        return None
    found, same_task, evaluation_s = [], True, cache(partial(_evaluation_s, store))
    for config in configs:
        alike = _alike(known, config)
        same_task = same_task and alike[0].env == config.env and alike[0].algo == config.algo
        alike = alike[:9]
        speed = statistics.median(run.steps_per_second or 0.0 for run in alike)
        per_episode = [
            seconds / run.config["eval_episodes"] for run in alike if (seconds := evaluation_s(run.run_id)) is not None
        ]
        found.append(Pace(speed, config.eval_episodes * statistics.median(per_episode) if per_episode else 0.0))
    basis = "runs of the same environment and agent" if same_task else "runs of other environments or agents: a rough guess"
    return Paces(found, f"from the speed of earlier {basis}")


def _evaluation_s(store: Store, run_id: int) -> float | None:
    """Mean seconds per evaluation of a run; None if none was measured, as in runs of earlier versions."""
    _, seconds = store.metrics(run_id, EVALUATION_S)
    return float(seconds.mean()) if len(seconds) else None


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
    same_replay = [run for run in same_work if run.replay == config.replay] or same_work
    return [run for run in same_replay if all(run.config.get(name) == getattr(config, name) for name in _SCORING)] or same_replay
