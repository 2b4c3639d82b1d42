"""The compare page: methods side by side, with confidence intervals over their seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.checks import MAX_ID, a_choice, a_count, a_text, ids, texts
from app.clips_at import ClipsAt, clips_at
from app.clocks import RunClock, run_clocks
from app.colors import method_tokens
from app.comparing import (
    MAX_CHARTS,
    MAX_RUNS,
    STATISTICS,
    CompareView,
    MetricCurves,
    SweepView,
    compare_view,
    default_runs,
    metric_curves,
    sweep_views,
    version_of,
)
from app.reasons import Explanation, explain
from app.studio import Studio
from app.widgets import widget
from vlmrb.analysis.comparison import method_of
from vlmrb.analysis.sweeps import MEASURES, Measure
from vlmrb.store import Store
from vlmrb.types import CLOCK_S, RUNNING_S, SUCCESS, SYSTEM, TdErrorAndScore

SCATTER_POINTS = 2_000
LISTED_RUNS = 1_000


@dataclass(frozen=True, slots=True)
class RunChoice:
    """A run that can be compared."""

    run_id: int
    name: str
    env: str
    algo: str
    method: str
    token: str
    seed: int
    status: str
    set_name: str
    step: int


@dataclass(frozen=True, slots=True)
class Choices:
    """The runs to choose from, and those compared by default."""

    runs: list[RunChoice]
    default: list[int]


def build(studio: Studio) -> None:
    """Add the page's components to the open Blocks."""
    store = studio.store

    def choices(_: dict[str, Any]) -> Choices:
        """All runs, and the newest set."""
        return read_choices(store)

    def comparison(request: dict[str, Any]) -> CompareView:
        """The comparison of the chosen runs, or of the newest set."""
        chosen = ids(request, "runs") or default_runs(store)
        metric = a_text(request, "metric", 200) or SUCCESS
        return compare_view(store, chosen, metric, a_choice(request, "statistic", tuple(STATISTICS)) or "iqm")

    def metrics(request: dict[str, Any]) -> list[str]:
        """Names of the runs' curves that can be compared, without their clocks and what they use of the machine."""
        names = store.metric_names(*ids(request, "runs"))
        return [name for name in names if name not in (CLOCK_S, RUNNING_S) and not name.startswith(SYSTEM)]

    def sweep(request: dict[str, Any]) -> list[SweepView]:
        """The `setting` against the score by `measure`, 'value' or 'area'."""
        metric, statistic = a_text(request, "metric", 200) or SUCCESS, a_choice(request, "statistic", tuple(STATISTICS)) or "iqm"
        measure: Measure = "area" if a_choice(request, "measure", MEASURES) == "area" else "value"
        return sweep_views(store, ids(request, "runs"), metric, statistic, a_text(request, "setting", 100), measure)

    def charts(request: dict[str, Any]) -> list[MetricCurves]:
        """Curves of further `metrics`."""
        chosen = texts(request, "metrics", MAX_CHARTS)
        return metric_curves(store, ids(request, "runs"), chosen, a_choice(request, "statistic", tuple(STATISTICS)) or "iqm")

    def clocks(request: dict[str, Any]) -> list[RunClock]:
        """When the runs were at which step."""
        return run_clocks(store, ids(request, "runs"))

    def reasons(request: dict[str, Any]) -> list[Explanation]:
        """Why the runs differ, task by task."""
        return explain(store, ids(request, "runs"))

    def scatter(request: dict[str, Any]) -> list[TdErrorAndScore]:
        """TD error against score for clips of these runs."""
        return store.td_errors_and_scores(ids(request, "runs"), SCATTER_POINTS)

    def clips(request: dict[str, Any]) -> ClipsAt:
        """The clips of these runs nearest to `step`, by default to the last."""
        step = None if request.get("step") is None else a_count(request, "step", MAX_ID, 0)
        return clips_at(store, ids(request, "runs"), step)

    def version(request: dict[str, Any]) -> str:
        """Changes when one of the runs has new results."""
        return version_of(store.runs(run_ids=ids(request, "runs")))

    functions = (choices, comparison, metrics, sweep, charts, clocks, reasons, clips, scatter, version)
    widget("comparison", *functions, max_runs=MAX_RUNS, max_charts=MAX_CHARTS, success=SUCCESS)


def read_choices(store: Store) -> Choices:
    """All runs, newest first, with their methods' colours."""
    runs = store.runs(limit=LISTED_RUNS)
    labels = [method_of(run).label for run in runs]
    tokens = method_tokens(labels)
    return Choices(
        runs=[
            RunChoice(run.run_id, run.name, run.env, run.algo, label, tokens[label], run.seed, run.status, run.set_name, run.step)
            for run, label in zip(runs, labels, strict=True)
        ],
        default=default_runs(store),
    )
