"""The compare page's data: each method's curve with its confidence band, tables, verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from app.colors import stored_tokens
from app.run_rows import describe_setting
from vlmrb.analysis import stats
from vlmrb.analysis.comparison import (
    SHOWN_PHASES,
    Comparison,
    Improvement,
    MeasuredRun,
    Method,
    MethodResult,
    beginning_of,
    by_task,
    compare,
    method_of,
    phase_name,
)
from vlmrb.analysis.downsample import downsample
from vlmrb.analysis.sweeps import Measure, Sweep, sweeps, varied_settings
from vlmrb.analysis.verdicts import Verdict, verdicts
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.store import Store
from vlmrb.types import SUCCESS, SYSTEM, RunSummary

STATISTICS = {"iqm": stats.iqm, "mean": stats.mean}
THRESHOLDS = (0.5, 0.9)
USUAL_STEPS = (50_000, 100_000, 200_000, 300_000, 500_000, 1_000_000)
MAX_RUNS = 300
MAX_POINTS = 300
MAX_CHARTS = 12
"""Maximum number of further metrics that are charted."""

CHART_POINTS = 100
"""Maximum number of points of their curves: their charts are small."""

Curve = tuple[np.ndarray, np.ndarray]  # steps, values
RESAMPLES_SEED = 0
"""Seed of the bootstrap: the same runs give the same intervals, here and on the command line."""


@dataclass(frozen=True, slots=True)
class RawCurve:
    """One run's curve, drawn faintly behind its method's curve. `steps` count from `start`, the parent step of a branch or 0."""

    run_id: int
    seed: int
    start: int
    steps: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, slots=True)
class MethodCurve:
    """A method's curve with its confidence band; `token` is its colour."""

    label: str
    token: str
    n: int
    run_ids: tuple[int, ...]
    steps: np.ndarray
    point: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray
    raw: tuple[RawCurve, ...]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One method's results over its seeds.

    Attributes:
        at: one interval per column's step; None if no run got that far.
        reaching: one summary per threshold.
        gains: relative gain in area over each baseline (0.1 is 10 % more), by the baseline's label; None if the
            baseline's area is 0.
        phases: one restricted mean per column of `Panel.phases`; None if no run got that far.
    """

    label: str
    token: str
    run_ids: tuple[int, ...]
    seeds: int
    at: tuple[stats.Interval | None, ...]
    reaching: tuple[stats.ThresholdSummary, ...]
    area: stats.Interval
    gains: dict[str, float | None]
    phases: tuple[stats.RestrictedMean | None, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One task. Areas are taken up to `horizon`, the last step that all its runs reached.

    Attributes:
        title: the task, in words.
        branched: whether its runs are branches. Then all steps count from the parent step.
        beginning: what runs start with, such as scripted play; '' if the agent acts from the start.
        steps: steps of the table's columns.
        phases: names of the columns of discovery and consolidation; empty if there is nothing to show in them.
        settings: those whose values can be drawn against the score.
    """

    title: str
    env: str
    algo: str
    branched: bool
    beginning: str
    horizon: int
    steps: tuple[int, ...]
    verdict: Verdict
    curves: tuple[MethodCurve, ...]
    rows: tuple[TableRow, ...]
    improvements: tuple[Improvement, ...]
    phases: tuple[str, ...]
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SweepView:
    """A setting against the score on the task `title`, with what the setting is and the colours by label."""

    title: str
    description: str
    sweep: Sweep
    tokens: dict[str, str]


@dataclass(frozen=True, slots=True)
class TaskCurves:
    """A metric's curves on one task, which `title` names as `Panel.title` does."""

    title: str
    branched: bool
    curves: tuple[MethodCurve, ...]


@dataclass(frozen=True, slots=True)
class MetricCurves:
    """The curves of a further metric. `as_share`: its values are fractions, shown as percentages."""

    metric: str
    as_share: bool
    tasks: tuple[TaskCurves, ...]


@dataclass(frozen=True, slots=True)
class CompareView:
    """The whole comparison.

    Attributes:
        run_ids: the requested runs that exist.
        thresholds: thresholds of the tables' columns.
        as_share: whether values are fractions, shown as percentages.
        version: changes when a run has new results.
    """

    run_ids: tuple[int, ...]
    metric: str
    statistic: str
    as_share: bool
    thresholds: tuple[float, ...]
    panels: tuple[Panel, ...]
    notes: tuple[str, ...]
    version: str


def default_runs(store: Store) -> list[int]:
    """The newest set of runs that has an evaluation; without sets, all runs of the newest such run's environment.

    Where nothing has been evaluated yet, it is the newest set or run of all. [] if there are no runs.
    """
    listed = store.run_list(limit=MAX_RUNS)
    runs = [item.run for item in listed]
    candidates = [item.run for item in listed if item.best_success is not None] or runs
    if not candidates:
        return []
    newest = next((run for run in candidates if run.set_name), candidates[0])
    if newest.set_name:
        return sorted(run.run_id for run in runs if run.set_name == newest.set_name)
    return sorted(run.run_id for run in runs if run.env == newest.env and run.status not in ("created", "queued"))


def compare_view(store: Store, run_ids: Sequence[int], metric: str = SUCCESS, statistic: str = "iqm") -> CompareView:
    """Compare runs.

    Raises:
        ConfigError: too many runs, or a metric that is not about learning.
        NotFoundError: none of them exists.
    """
    if len(run_ids) > MAX_RUNS:
        raise ConfigError(f"runs: got {len(run_ids)}; at most {MAX_RUNS} can be compared at once")
    if metric.startswith(SYSTEM):
        raise ConfigError(
            f"metric: {metric!r} says how much of the machine a run used, which is not compared; choose {SUCCESS} or another"
        )
    measured = store.measured_runs(run_ids, metric)
    if run_ids and not measured:
        raise NotFoundError("none of these runs exists any more; choose others")
    as_share = is_share(metric)
    thresholds = THRESHOLDS if as_share else ()
    result = compare(
        measured,
        at=sorted({step for task in by_task(measured).values() for step in steps_of(task)}),
        thresholds=thresholds,
        rng=np.random.default_rng(RESAMPLES_SEED),
        statistic=STATISTICS[statistic],
    )
    tokens = stored_tokens(store)
    varied = varied_settings(measured)
    return CompareView(
        run_ids=tuple(run.run.run_id for run in measured),
        metric=metric,
        statistic=statistic,
        as_share=as_share,
        thresholds=thresholds,
        panels=tuple(
            _panel(verdict, result, measured, tokens, statistic, metric, varied[verdict.task])
            for verdict in verdicts(result, metric)
        ),
        notes=(*_missing(run_ids, measured), *result.notes),
        version=version_of(run.run for run in measured),
    )


def metric_curves(store: Store, run_ids: Sequence[int], metrics: Sequence[str], statistic: str = "iqm") -> list[MetricCurves]:
    """Curves of further metrics of the same runs, which are drawn and not judged.

    Raises:
        ConfigError: too many runs or metrics.
    """
    if len(run_ids) > MAX_RUNS or len(metrics) > MAX_CHARTS:
        raise ConfigError(
            f"charts: got {len(run_ids)} runs and {len(metrics)} metrics; at most {MAX_RUNS} and {MAX_CHARTS} are allowed"
        )
    tokens = stored_tokens(store)
    found = []
    for metric in metrics:
        tasks = []
        for task, runs in by_task(store.measured_runs(run_ids, metric)).items():
            methods: dict[Method, list[MeasuredRun]] = {}
            for run in runs:
                methods.setdefault(method_of(run.run), []).append(run)
            curves = tuple(_curve(method, methods[method], tokens, statistic, CHART_POINTS) for method in sorted(methods))
            tasks.append(TaskCurves(str(task), bool(task.branched), curves))
        found.append(MetricCurves(metric, is_share(metric), tuple(tasks)))
    return found


def sweep_views(
    store: Store, run_ids: Sequence[int], metric: str, statistic: str, setting: str, measure: Measure
) -> list[SweepView]:
    """A setting against the score, on each task in which it varies.

    Raises:
        ConfigError: too many runs, or the setting does not vary.
    """
    if len(run_ids) > MAX_RUNS:
        raise ConfigError(f"runs: got {len(run_ids)}; at most {MAX_RUNS} can be compared at once")
    found = sweeps(
        store.measured_runs(run_ids, metric),
        setting,
        rng=np.random.default_rng(RESAMPLES_SEED),
        measure=measure,
        statistic=STATISTICS[statistic],
    )
    shown = [[each.label for each in sweep.lines] + [each.label for each in sweep.references] for sweep in found]
    tokens = stored_tokens(store, *(label for labels in shown for label in labels))
    return [
        SweepView(str(sweep.task), describe_setting(setting), sweep, {label: tokens[label] for label in labels})
        for sweep, labels in zip(found, shown, strict=True)
    ]


def is_share(metric: str) -> bool:
    """Whether a metric's values are fractions."""
    return metric.endswith("_rate")


def _missing(run_ids: Sequence[int], measured: Sequence[MeasuredRun]) -> list[str]:
    """A note about requested runs that do not exist."""
    missing = sorted(set(run_ids) - {run.run.run_id for run in measured})
    if not missing:
        return []
    return [f"no longer in the store and left out: run{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}"]


def version_of(runs: Iterable[RunSummary]) -> str:
    """Changes when one of the runs makes progress or ends."""
    return ",".join(f"{run.run_id}:{run.step}:{run.status}" for run in sorted(runs, key=lambda run: run.run_id))


def steps_of(measured: Sequence[MeasuredRun]) -> list[int]:
    """The last three usual steps that some run reached; if there are fewer, also the last step that all runs reached."""
    ends = [run.length for run in measured if run.length >= 0]
    if not ends:
        return []
    usual = [step for step in USUAL_STEPS if step <= max(ends)]
    return sorted({*usual[-3:], min(ends)} if len(usual) < 3 else set(usual[-3:]))


def _panel(
    verdict: Verdict,
    result: Comparison,
    measured: Sequence[MeasuredRun],
    tokens: dict[str, str],
    statistic: str,
    metric: str,
    settings: tuple[str, ...],
) -> Panel:
    task = verdict.task
    results = [each for each in result.results if each.method.task == task]
    by_method = {each.method: [run for run in measured if run.run.run_id in each.run_ids] for each in results}
    all_runs = [run for runs in by_method.values() for run in runs]
    steps = steps_of(all_runs)
    areas = {each.method: each.area.point for each in results}
    phases = _phases(results, metric)
    return Panel(
        title=str(task),
        env=task.env,
        algo=task.algo,
        branched=bool(task.branched),
        beginning=beginning_of(all_runs),
        horizon=results[0].horizon,
        steps=tuple(steps),
        verdict=verdict,
        curves=tuple(_curve(method, runs, tokens, statistic) for method, runs in by_method.items()),
        rows=tuple(_row(each, steps, phases, areas, tokens) for each in results),
        improvements=tuple(each for each in result.improvements if each.method.task == task),
        phases=tuple(phase_name(phase, bool(task.branched)) for phase in phases),
        settings=settings,
    )


def _phases(results: Sequence[MethodResult], metric: str) -> list[str]:
    """The phases to show: those that began in some run of the task."""
    if metric != SUCCESS:
        return []
    return [phase for phase in SHOWN_PHASES if any(each.phases[phase] for each in results)]


def _curve(
    method: Method, runs: Sequence[MeasuredRun], tokens: dict[str, str], statistic: str, points: int = MAX_POINTS
) -> MethodCurve:
    """A method's curve, up to the end of its shortest run: beyond that, the change in runs would make the line jump.

    Intervals at thousands of steps would take seconds and not be visible: there are at most `points`, each over all runs.
    """
    common = min(run.length for run in runs)
    measured = [(steps[steps <= common], values[steps <= common]) for steps, values in (run.elapsed for run in runs)]
    rng = np.random.default_rng(RESAMPLES_SEED)
    band = stats.aggregate_curves(_at_shared_steps(measured, points), rng=rng, statistic=STATISTICS[statistic])
    thinned = [downsample(*run.elapsed, points) for run in runs]
    raw = [RawCurve(run.run.run_id, run.run.seed, run.start, *curve) for run, curve in zip(runs, thinned, strict=True)]
    token = tokens.get(method.label, "method-other")
    ids = tuple(run.run.run_id for run in runs)
    return MethodCurve(method.label, token, len(runs), ids, band.steps, band.point, band.low, band.high, band.n, tuple(raw))


def _at_shared_steps(curves: Sequence[Curve], points: int) -> list[Curve]:
    """Curves at up to `points` steps at which all have a value; of many, those with the peaks of their mean."""
    steps = curves[0][0]
    if all(np.array_equal(others, steps) for others, _ in curves[1:]):
        shared, _ = downsample(steps, np.mean([values for _, values in curves], axis=0), points)
    else:
        curves = [(steps, values) for steps, values in stats.on_common_steps(curves, points) if steps.size]
        shared = reduce(np.intersect1d, [steps for steps, _ in curves])
    return [(shared, values[np.isin(steps, shared)]) for steps, values in curves]


def _row(
    result: MethodResult, steps: Sequence[int], phases: Sequence[str], areas: dict[Method, float], tokens: dict[str, str]
) -> TableRow:
    gains = {
        method.label: (result.area.point / area - 1 if area > 0 else None)
        for method, area in areas.items()
        if method.is_baseline and method != result.method
    }
    return TableRow(
        label=result.method.label,
        token=tokens.get(result.method.label, "method-other"),
        run_ids=result.run_ids,
        seeds=result.seeds,
        at=tuple(result.at[step] for step in steps),
        reaching=tuple(result.reaching.values()),
        area=result.area,
        gains=gains,
        phases=tuple(result.phases[phase] for phase in phases),
    )
