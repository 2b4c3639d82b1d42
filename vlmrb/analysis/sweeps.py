"""A setting that varies between runs against the score that they reach. Pure: records in, records out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from vlmrb.analysis import stats
from vlmrb.analysis.comparison import (
    WITHOUT_EFFECT_ON_LEARNING,
    MeasuredRun,
    Task,
    areas_of,
    by_task,
    differing_settings,
    method_of,
    unread_by,
    value_reached,
)
from vlmrb.config import TrainConfig, defaults_of_run, is_known, replay_ratio
from vlmrb.errors import ConfigError, shown

Measure = Literal["value", "area"]
"""The score: the metric at the horizon, or its mean up to there (the area under the curve)."""

MEASURES: tuple[Measure, ...] = ("value", "area")

RATIO = "replay_ratio"
"""Samples drawn per stored transition, which is no setting of its own but follows from two."""

_PARTS = {RATIO: {"batch_size", "train_freq"}}
_NO_NUMBERS = {"env", "algo", "replay", "scorer", "base", "her"}


@dataclass(frozen=True, slots=True)
class SweptRun:
    """A run's score."""

    run_id: int
    seed: int
    score: float


@dataclass(frozen=True, slots=True)
class SweptPoint:
    """The runs of a method with one value of the setting: each one's score, and the interval over them."""

    value: float
    score: stats.Interval
    runs: tuple[SweptRun, ...]


@dataclass(frozen=True, slots=True)
class SweptLine:
    """A method, named without the setting, at ascending values of it."""

    label: str
    points: tuple[SweptPoint, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A method that does not read the setting, such as a baseline, or that another program trained: a level to compare with."""

    label: str
    score: stats.Interval
    run_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A setting against the score on one task.

    Attributes:
        horizon: the number of steps that every run of the task was evaluated for; scores are taken there, or up to there.
        mixed: other settings in which runs of the same point differ; their effect is not told apart.
        left_out: runs that read the setting and have no number for it, such as None for no limit.
    """

    task: Task
    setting: str
    measure: Measure
    horizon: int
    lines: tuple[SweptLine, ...]
    references: tuple[Reference, ...]
    mixed: tuple[str, ...]
    left_out: tuple[int, ...]


def varied_settings(runs: Iterable[MeasuredRun]) -> dict[Task, tuple[str, ...]]:
    """By task, the settings with numbers of which some method of the task has several values, in the order of the settings."""
    found = {}
    for task, members in by_task(runs).items():
        names = [name for name in TrainConfig.model_fields if name not in WITHOUT_EFFECT_ON_LEARNING | _NO_NUMBERS]
        configs = [_config(run) for run in members if is_known(run.run.config)]
        varied = [name for name in names if len({repr(config[name]) for config in configs}) > 1]
        if {"batch_size", "train_freq"} & set(varied):
            varied.append(RATIO)
        found[task] = tuple(name for name in varied if any(len(values) > 1 for values in _lines(members, name).values()))
    return found


def sweeps(
    runs: Iterable[MeasuredRun],
    setting: str,
    *,
    rng: np.random.Generator,
    measure: Measure = "value",
    statistic: stats.Statistic = stats.iqm,
) -> list[Sweep]:
    """The setting against the score, on each task in which it varies.

    Args:
        runs: the runs to compare; `by_task` says which of them count.
        setting: one of `varied_settings`.
        rng: random generator of the bootstrap. One draw from it seeds every interval.
        measure: the score.
        statistic: point estimate over the runs of a point.

    Raises:
        ConfigError: the setting varies on no task; the message names those that do.
    """
    runs = list(runs)
    varied = varied_settings(runs)
    seed = int(rng.integers(2**63))
    found = [
        _sweep(task, members, setting, measure, seed, statistic)
        for task, members in sorted(by_task(runs).items())
        if setting in varied[task]
    ]
    if not found:
        names = ", ".join(dict.fromkeys(name for each in varied.values() for name in each))
        raise ConfigError(
            f"setting: {shown(setting)} is no number in which the runs of a method differ; these are: {names or 'none'}"
        )
    return found


def _sweep(
    task: Task, runs: Sequence[MeasuredRun], setting: str, measure: Measure, seed: int, statistic: stats.Statistic
) -> Sweep:
    horizon = min(run.length for run in runs)

    def score(run: MeasuredRun) -> float:
        value = areas_of([run], horizon)[0] if measure == "area" else value_reached(run, horizon)
        assert value is not None, "no run of a task is shorter than the horizon"
        return value

    def interval(scores: Sequence[float]) -> stats.Interval:
        return stats.bootstrap_interval([scores], rng=np.random.default_rng(seed), statistic=statistic)

    def point(value: float, members: Sequence[MeasuredRun]) -> SweptPoint:
        scored = tuple(SweptRun(run.run.run_id, run.run.seed, score(run)) for run in members)
        return SweptPoint(value, interval([each.score for each in scored]), scored)

    lines = _lines(runs, setting)
    groups = [members for values in lines.values() for members in values.values()]
    drawn = {run.run.run_id for members in groups for run in members}
    others: dict[str, list[MeasuredRun]] = {}
    for run in runs:
        if not _reads(run, setting):
            others.setdefault(method_of(run.run).label, []).append(run)
    own = {setting} | _PARTS.get(setting, set())
    return Sweep(
        task,
        setting,
        measure,
        horizon,
        lines=tuple(
            SweptLine(label, tuple(point(value, lines[label][value]) for value in sorted(lines[label])))
            for label in sorted(lines)
        ),
        references=tuple(
            Reference(label, interval([score(run) for run in members]), tuple(run.run.run_id for run in members))
            for label, members in sorted(others.items())
        ),
        mixed=tuple(dict.fromkeys(name for members in groups for name in differing_settings(members) if name not in own)),
        left_out=tuple(run.run.run_id for run in runs if _reads(run, setting) and run.run.run_id not in drawn),
    )


def _lines(runs: Iterable[MeasuredRun], setting: str) -> dict[str, dict[float, list[MeasuredRun]]]:
    """The runs that read the setting and have a number for it: by method, named without it, and by value."""
    found: dict[str, dict[float, list[MeasuredRun]]] = {}
    for run in runs:
        if _reads(run, setting) and (value := _number(run, setting)) is not None:
            found.setdefault(_label_without(run, setting), {}).setdefault(value, []).append(run)
    return found


def _config(run: MeasuredRun) -> dict[str, Any]:
    config = defaults_of_run(run.run.config) | run.run.config
    config["total_steps"] -= run.start
    return config


def _reads(run: MeasuredRun, setting: str) -> bool:
    """Whether the setting can change the run; of runs of other programs, nobody knows what it was."""
    return is_known(run.run.config) and (setting == RATIO or setting not in unread_by(_config(run)))


def _number(run: MeasuredRun, setting: str) -> float | None:
    value = replay_ratio(run.run.config) if setting == RATIO else _config(run).get(setting)
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def _label_without(run: MeasuredRun, setting: str) -> str:
    """The method's label as if the setting had its default."""
    config = dict(run.run.config)
    defaults = defaults_of_run(config)
    if setting in defaults:
        config[setting] = defaults[setting]
    return method_of(replace(run.run, config=config)).label
