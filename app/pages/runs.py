"""The start page: all runs, live, with their actions, and the queue."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.checks import a_count, ids, texts
from app.colors import method_tokens
from app.known_runs import KnownRuns
from app.run_actions import jobs_of_idle, run_actions
from app.run_columns import MAX_COLUMNS, ColumnChoices, Figures, column_choices, extra_values
from app.run_rows import Difference, RunRow, differences
from app.studio import Studio
from app.widgets import widget
from vlmrb import jobs
from vlmrb.errors import ConfigError
from vlmrb.store import Store
from vlmrb.types import LIVE

MAX_RUNS = 1_000
"""Maximum number of runs in the table, newest first."""

MAX_DIFF = 12
"""Maximum number of runs whose settings are shown side by side."""


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A run by id and name."""

    run_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Queue:
    """The number of running runs, the queued runs in the order they will start, and how many may run at a time."""

    running: int
    waiting: list[NamedRun]
    limit: int
    cores: int


@dataclass(frozen=True, slots=True)
class RunTable:
    """Changes in the run table since the browser last asked.

    Attributes:
        order: ids of all runs, newest first.
        rows: the rows that are new or changed.
        versions: versions of these rows, by run id.
        colors: colour tokens by method.
        more: whether there are older runs that are not shown.
    """

    order: list[int]
    rows: list[RunRow]
    versions: dict[int, str]
    colors: dict[str, str]
    more: bool
    queue: Queue


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Settings that differ between runs; each difference has one value per run, in the order of `runs`."""

    runs: list[NamedRun]
    differences: list[Difference]


def build(studio: Studio) -> None:
    """Add the page's components to the open Blocks."""

    figures, runs = Figures(studio.store), KnownRuns(studio.store)

    def table(request: dict[str, Any]) -> RunTable:
        """Changes in the table; `known` has the row versions that the browser knows, by run id, `columns` the added columns."""
        return read_table(studio.store, known_versions(request), texts(request, "columns", MAX_COLUMNS), figures, runs)

    def columns(_: dict[str, Any]) -> ColumnChoices:
        """What can be added as a column."""
        return column_choices(studio.store, MAX_RUNS)

    def set_limit(request: dict[str, Any]) -> int:
        """Set how many runs may train at a time; returns it."""
        limit = a_count(request, "limit", 1_000, 0)
        jobs.set_job_limit(studio.store, limit)
        return limit

    def diff(request: dict[str, Any]) -> SideBySide:
        """The settings that differ between the runs `ids`."""
        return side_by_side(studio.store, ids(request, "ids"))

    widget(
        "run_list", table, columns, set_limit, diff, *run_actions(studio), quick=jobs.presets()[0].key, max_columns=MAX_COLUMNS
    )


def known_versions(request: Mapping[str, Any]) -> dict[int, str]:
    """The row versions that a browser says it has.

    Raises:
        ConfigError: the request is malformed.
    """
    known = request.get("known") or {}
    if not isinstance(known, dict) or len(known) > 2 * MAX_RUNS:
        raise ConfigError("known: expected an object of versions by run; reload the page")
    return {int(key): str(version) for key, version in known.items() if str(key).isdecimal() and len(str(key)) < 12}


def read_table(
    store: Store,
    known: Mapping[int, str],
    columns: Sequence[str] = (),
    figures: Figures | None = None,
    runs: KnownRuns | None = None,
) -> RunTable:
    """Changes since the row versions that a browser knows.

    Args:
        store: where the runs are.
        known: these versions, by run id.
        columns: added ones.
        figures: what is known of curves; needed for columns of metrics.
        runs: what is known of the runs; None for nothing.

    Raises:
        ConfigError: one of the added `columns` is invalid; see `extra_values`.
    """
    shown = (KnownRuns(store) if runs is None else runs).newest(MAX_RUNS + 1)
    shown, more = shown[:MAX_RUNS], len(shown) > MAX_RUNS
    summaries = [each.run for each in shown]
    extra = extra_values(summaries, columns, figures) if columns else {}
    of_idle = jobs_of_idle(store, summaries)
    drawn = [each.row(of_idle.get(each.run.run_id), extra.get(each.run.run_id, {})) for each in shown]
    rows = [row for row, _ in drawn]
    versions = {row.run_id: version for row, version in drawn}
    changed = [row for row in rows if known.get(row.run_id) != versions[row.run_id]]
    return RunTable(
        order=[row.run_id for row in rows],
        rows=changed,
        versions={row.run_id: versions[row.run_id] for row in changed},
        colors=method_tokens(row.method for row in rows),
        more=more,
        queue=queue_of(store, rows),
    )


def queue_of(store: Store, rows: Sequence[RunRow]) -> Queue:
    """The queue as the strip above the table shows it."""
    waiting = [row for row in rows if row.state == "queued"]
    place = {job.target_id: job.job_id for job in store.jobs(status="queued") if job.kind == "train"} if waiting else {}
    waiting.sort(key=lambda row: place.get(row.run_id, 0))  # runs about to start come first
    return Queue(
        running=sum(row.state in LIVE for row in rows),
        waiting=[NamedRun(row.run_id, row.name) for row in waiting],
        limit=jobs.job_limit(store),
        cores=os.cpu_count() or 1,
    )


def side_by_side(store: Store, run_ids: Sequence[int]) -> SideBySide:
    """The settings that differ between runs.

    Raises:
        ConfigError: fewer than 2 of the runs exist, or more than MAX_DIFF.
    """
    found = {run.run_id: run for run in store.runs(run_ids=run_ids)}
    runs = [found[run_id] for run_id in run_ids if run_id in found]
    if not 2 <= len(runs) <= MAX_DIFF:
        raise ConfigError(f"settings: {len(runs)} of these runs exist; choose 2 to {MAX_DIFF}")
    return SideBySide([NamedRun(run.run_id, run.name) for run in runs], differences(runs))
