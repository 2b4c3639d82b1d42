"""Columns of the run table that its user chooses: a metric's last, smallest or largest value, or a setting."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from app.run_rows import all_settings, describe_setting, setting_of
from vlmrb.errors import ConfigError, shown
from vlmrb.store import Store
from vlmrb.types import CLOCK_S, LIVE, CurveFigures, RunSummary

SETTING = "setting"
FIGURES = ("last", "min", "max")
MAX_COLUMNS = 22
"""Maximum number of added columns; the table may be grouped and sorted by two that it does not show."""

MAX_KEPT = 200_000
"""Figures that are kept in memory: whatever names browsers ask for, it stays bounded."""

Value = float | int | str | bool | None


@dataclass(frozen=True, slots=True)
class SettingChoice:
    """A setting that can be a column. `varies`: whether the runs differ in it."""

    name: str
    description: str
    varies: bool


@dataclass(frozen=True, slots=True)
class ColumnChoices:
    """What can be a column: metrics, and settings, those in which the runs differ first."""

    metrics: list[str]
    settings: list[SettingChoice]


class _Kept(NamedTuple):
    """Figures of a curve, and what the run was like when they were read."""

    mark: tuple[Any, ...]
    process: tuple[Any, ...]
    figures: CurveFigures | None


@dataclass
class Figures:
    """Figures of the runs' curves. Those of runs that do not train are read once, of the others what is new."""

    store: Store
    _known: dict[tuple[int, str], _Kept] = field(default_factory=dict)

    def of(self, runs: Sequence[RunSummary], names: Sequence[str]) -> dict[tuple[int, str], CurveFigures | None]:
        """By run id and metric; None for a run without values of it."""
        known, by_id = self._known, {run.run_id: run for run in runs}
        marks = {run.run_id: _mark(run) for run in runs}
        fresh = {key: kept for key, kept in known.items() if marks.get(key[0]) == kept.mark}
        missing = {run_id for run_id in marks if any((run_id, name) not in fresh for name in names)}
        longer = {run_id for run_id in missing if all(_goes_on(by_id[run_id], known.get((run_id, name))) for name in names)}
        whole = sorted(missing - longer)
        found: dict[tuple[int, str], CurveFigures | None] = dict(self.store.curve_figures(whole, names)) if whole else {}
        if longer:
            kept = {(run_id, name): known[run_id, name].figures for run_id in longer for name in names}
            since = {key: figures.step for key, figures in kept.items() if figures}
            curves = self.store.curves(sorted(longer), names, since=since)
            found |= {key: _with(kept[key], *points) for key, points in curves.items()}
        for run_id in missing:
            mark, process = marks[run_id], _process(by_id[run_id])
            fresh.update({(run_id, name): _Kept(mark, process, found.get((run_id, name))) for name in names})
        self._known = fresh if len(fresh) < MAX_KEPT else {}  # replaced, not changed: several browsers ask at a time
        return {(run_id, name): fresh[run_id, name].figures for run_id in marks for name in names}


def _mark(run: RunSummary) -> tuple[Any, ...]:
    """Changes when the run's curves can have changed."""
    return (run.status, run.step, run.started_at, run.ended_at, run.heartbeat_at if run.status in LIVE else None)


def _process(run: RunSummary) -> tuple[Any, ...]:
    """While this stays the same, curves only get longer; a resume removes points."""
    return (run.pid, run.started_at) if run.status in LIVE else ()


def _goes_on(run: RunSummary, kept: _Kept | None) -> bool:
    return kept is not None and bool(kept.process) and kept.process == _process(run)


def _with(figures: CurveFigures | None, steps: np.ndarray, values: np.ndarray) -> CurveFigures | None:
    """The figures of a curve that has got these points."""
    steps, values = steps[~np.isnan(values)], values[~np.isnan(values)]
    if not len(values):
        return figures
    low, high = float(values.min()), float(values.max())
    if figures:
        low, high = min(low, figures.low), max(high, figures.high)
    return CurveFigures(float(values[-1]), low, high, int(steps[-1]))


def extra_values(runs: Sequence[RunSummary], columns: Sequence[str], figures: Figures | None) -> dict[int, dict[str, Value]]:
    """The values of chosen columns, by run id and column; a setting that a run does not have is missing.

    Args:
        runs: the runs.
        columns: such as 'last:train/td_loss', 'min:train/td_loss', 'max:train/td_loss' and 'setting:gamma'.
        figures: of the curves; needed for columns of metrics.

    Raises:
        ConfigError: a column is none of these, or there are too many.
    """
    if len(columns) > MAX_COLUMNS:
        raise ConfigError(f"columns: got {len(columns)}; at most {MAX_COLUMNS} can be added")
    parts = [(column, *_parts(column)) for column in columns]
    metrics = [name for _, kind, name in parts if kind != SETTING]
    known = figures.of(runs, metrics) if metrics and figures is not None else {}
    found: dict[int, dict[str, Value]] = {}
    for run in runs:
        values: dict[str, Value] = {}
        for column, kind, name in parts:
            if kind != SETTING:
                values[column] = _figure(known.get((run.run_id, name)), kind)
                continue
            with contextlib.suppress(KeyError):
                values[column] = _plain(setting_of(run, name))
        found[run.run_id] = values
    return found


def _parts(column: str) -> tuple[str, str]:
    kind, _, name = column.partition(":")
    if kind not in (SETTING, *FIGURES) or not name:
        raise ConfigError(
            f"columns: got {shown(column)}; expected last:METRIC, min:METRIC, max:METRIC or setting:NAME, such as setting:gamma"
        )
    return kind, name


def _figure(figures: CurveFigures | None, kind: str) -> float | None:
    return None if figures is None else {"last": figures.last, "min": figures.low, "max": figures.high}[kind]


def _plain(value: Any) -> Value:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def column_choices(store: Store, limit: int) -> ColumnChoices:
    """What can be a column for the newest `limit` runs."""
    runs = store.runs(limit=limit)
    values: dict[str, set[str]] = {}
    for run in runs:
        for name, value in all_settings(run).items():
            values.setdefault(name, set()).add(repr(value))
    settings = [SettingChoice(name, describe_setting(name), len(values[name]) > 1) for name in values]
    return ColumnChoices(
        metrics=[name for name in store.metric_names(*_ids(runs)) if name != CLOCK_S],
        settings=sorted(settings, key=lambda setting: not setting.varies),
    )


def _ids(runs: Iterable[RunSummary]) -> list[int]:
    return [run.run_id for run in runs]
