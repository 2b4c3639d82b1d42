"""Rows of a live run, collected in memory and written in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, bindparam, insert, update

from vlmrb.store import tables as t
from vlmrb.store.records import clip_rows, episode_row, event_row, score_row
from vlmrb.store.text import clean, finite
from vlmrb.types import Clip, ClipScore, Episode, Event


class RunWriter:
    """Collects what a run has to say; `flush` writes all of it or nothing. For one thread.

    Args:
        run_id: the run.
        begin: opens a writing transaction.
    """

    def __init__(self, run_id: int, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._run_id, self._begin = run_id, begin
        self._clear()

    def _clear(self) -> None:
        self._metrics: dict[tuple[str, int], float | None] = {}
        self._episodes: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._clips: list[dict[str, Any]] = []
        self._clip_data: list[dict[str, Any]] = []
        self._scores: list[dict[str, Any]] = []

    def add_metric(self, name: str, step: int, value: float) -> None:
        """One point of a curve; the last one written for a step stays. NaN and infinities are stored as 'no value'."""
        self._metrics[clean(name), int(step)] = finite(value)

    def add_episode(self, episode: Episode) -> None:
        """An episode that has ended."""
        self._episodes.append(episode_row(self._run_id, episode))

    def add_event(self, step: int, env_index: int, event: Event) -> None:
        """A simulator event."""
        self._events.append(event_row(self._run_id, step, env_index, event))

    def add_clip(self, clip: Clip) -> None:
        """A clip with its frames (or the recipes for them), which are encoded here."""
        row, data = clip_rows(self._run_id, clip)
        self._clips.append(row)
        self._clip_data.append(data)

    def add_score(self, score: ClipScore) -> None:
        """A score of a clip that is stored or was added before."""
        self._scores.append(score_row(self._run_id, score))

    def flush(self) -> None:
        """Write everything collected, in one transaction.

        Raises:
            StoreError: nothing was written; the rows are kept for the next flush.
        """
        if not any((self._metrics, self._episodes, self._events, self._clips, self._scores)):
            return
        with self._begin() as connection:
            self._write_metrics(connection)
            for table, rows in (
                (t.episodes, self._episodes),
                (t.events, self._events),
                (t.clips, self._clips),
                (t.clip_data, self._clip_data),
            ):
                if rows:
                    connection.execute(insert(table), rows)
            self._write_scores(connection)
        self._clear()

    def _write_metrics(self, connection: Connection) -> None:
        if not self._metrics:
            return
        if connection.dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert as upsert
        else:
            from sqlalchemy.dialects.sqlite import insert as upsert  # type: ignore[assignment]
        statement = upsert(t.metrics)
        statement = statement.on_conflict_do_update(
            index_elements=list(t.metrics.primary_key), set_={"value": statement.excluded.value}
        )
        rows = [
            {"run_id": self._run_id, "name": name, "step": step, "value": value} for (name, step), value in self._metrics.items()
        ]
        connection.execute(statement, rows)

    def _write_scores(self, connection: Connection) -> None:
        if not self._scores:
            return
        returned = connection.execute(insert(t.scores).returning(t.scores.c.score_id, sort_by_parameter_order=True), self._scores)
        newest: dict[int, dict[str, Any]] = {}  # by clip; the last one wins
        for row, score_id in zip(self._scores, returned.scalars(), strict=True):
            of_clip = {"score_id": score_id, "label": row["label"], "probability": row["probability"]}
            newest[row["clip_id"]] = {"of_clip": row["clip_id"], **of_clip}
        in_order = [newest[clip_id] for clip_id in sorted(newest)]  # as every other writer, so that two never wait for each other
        values: dict[str, Any] = {name: bindparam(name) for name in ("score_id", "label", "probability")}
        connection.execute(update(t.clips).where(t.clips.c.clip_id == bindparam("of_clip")).values(**values), in_order)
