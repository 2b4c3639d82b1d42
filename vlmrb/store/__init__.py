"""The store: everything about runs, in SQLite or PostgreSQL. The only package that contains SQL.

Readers return records from `vlmrb.types`; the tables never leave this package. From low to high: `tables`, `engine`,
`failures`, `database`, `records`, then one file per kind of data.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection

from vlmrb.store.browsing import Browsing
from vlmrb.store.care import Care
from vlmrb.store.clips import Clips
from vlmrb.store.curves import Curves
from vlmrb.store.database import runs_folder
from vlmrb.store.draws import DrawRecords
from vlmrb.store.engine import default_store_url
from vlmrb.store.jobs import Jobs
from vlmrb.store.live import LiveChanges
from vlmrb.store.patience import patiently
from vlmrb.store.prompts import Prompts
from vlmrb.store.runs import Runs
from vlmrb.store.scores import Scores
from vlmrb.store.sizes import Sizes
from vlmrb.store.trials import Trials
from vlmrb.store.writer import RunWriter
from vlmrb.types import IMPORTED, SUCCESS, LiveChange, RunCounters, RunStatus, RunSummary

if TYPE_CHECKING:
    from vlmrb.analysis.comparison import MeasuredRun

__all__ = ["RunWriter", "Store", "default_store_url", "patiently", "runs_folder"]


class Store(Runs, Curves, Clips, Browsing, DrawRecords, Scores, Trials, Prompts, LiveChanges, Jobs, Sizes, Care):
    """An open store: runs with their curves, clips with their scores, prompts and live changes."""

    def measured_runs(self, run_ids: Iterable[int], metric: str) -> list[MeasuredRun]:
        """Runs with their curve of `metric` and their phases, by ascending id; missing runs are skipped."""
        from vlmrb.analysis.comparison import MeasuredRun  # pulls in the configuration model, slow to import
        from vlmrb.analysis.phases import FIFTH, Phases, phases_of

        runs = sorted(self.runs(run_ids=run_ids), key=lambda run: run.run_id)
        ids = [run.run_id for run in runs]
        curves, edited = self.curves(ids, [metric, SUCCESS]), self.edited_runs(ids)
        play_steps = {run.run_id: int(run.config.get("play_steps", 0)) for run in runs}
        played, successes = self.successes_before(play_steps), self.early_successes(play_steps, (1, FIFTH))

        def phases(run: RunSummary) -> Phases:
            if IMPORTED in run.config:  # its episodes are not known
                return phases_of(None, None, [], [])
            first, fifth = successes[run.run_id]
            return phases_of(first, fifth, *_measured(*curves[run.run_id, SUCCESS]), parent_step=run.parent_step)

        return [
            MeasuredRun(
                run,
                *_measured(*curves[run.run_id, metric]),
                edited=run.run_id in edited,
                play_episodes=played[run.run_id][0],
                play_successes=played[run.run_id][1],
                phases=phases(run),
            )
            for run in runs
        ]

    def writer(self, run_id: int) -> RunWriter:
        """A writer for a live run's rows."""
        return RunWriter(run_id, partial(self.write_rows_of, run_id))

    def exchange(
        self,
        writer: RunWriter,
        step: int,
        *,
        status: RunStatus | None = None,
        steps_per_second: float | None = None,
        counters: RunCounters | None = None,
    ) -> list[LiveChange]:
        """What a live run does once a second, in one transaction: rows and a heartbeat go in, requested live changes come out.

        Raises:
            RunLostError: another process has taken the run over.
            StoreError: the rows that were not written are kept for the next time.
        """

        def beat_and_read(connection: Connection) -> list[LiveChange]:
            self._beat(connection, writer.run_id, step, status, steps_per_second, counters)
            return self._changes(connection, [writer.run_id], "requested")

        return writer.flush_and(beat_and_read)


def _measured(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop the points without a value."""
    return steps[~np.isnan(values)], values[~np.isnan(values)]
