"""Runs that have not changed since they were last read: a page with a thousand of them asks every two seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.run_rows import RunRow, run_rows
from vlmrb.store import Store
from vlmrb.types import LIVE, Job, RunListItem, RunSummary


@dataclass
class KnownRun:
    """A run as it was when its row in the store had this `mark`."""

    mark: tuple[Any, ...]
    item: RunListItem
    _drawn: tuple[Job | None, dict[str, Any], RunRow, str] | None = None

    @property
    def run(self) -> RunSummary:
        """The run."""
        return self.item.run

    def row(self, job: Job | None, extra: dict[str, Any]) -> tuple[RunRow, str]:
        """Its row in the table, and the row's version; arguments as those of `run_rows`, for one run."""
        if self._drawn is None or self._drawn[:2] != (job, extra) or self.run.status in LIVE:  # the time is in a live run's row
            run_id = self.run.run_id
            [row] = run_rows([self.item], {} if job is None else {run_id: job}, {run_id: extra})
            self._drawn = job, extra, row, row.version
        return self._drawn[2:]


@dataclass
class KnownRuns:
    """Reads only those runs from the store that may have changed."""

    store: Store
    _known: dict[int, KnownRun] = field(default_factory=dict)

    def newest(self, limit: int) -> list[KnownRun]:
        """The newest runs, newest first."""
        marks, known = self.store.run_marks(limit), self._known
        same = {run_id for run_id, mark in marks.items() if run_id in known and known[run_id].mark == mark}
        changed = [run_id for run_id in marks if run_id not in same or known[run_id].run.status in LIVE]  # these may have died
        read = {item.run.run_id: item for item in self.store.run_list(run_ids=changed)} if changed else {}
        fresh = {run_id: KnownRun(marks[run_id], item) for run_id, item in read.items()}
        found = {
            run_id: fresh[run_id] if run_id in fresh else known[run_id] for run_id in marks if run_id in fresh or run_id in same
        }
        self._known = found  # replaced, not changed: several browsers ask at a time
        return list(found.values())
