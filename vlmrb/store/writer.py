"""Rows of a live run, collected in memory and written in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Float, bindparam, case, func, insert, update

from vlmrb.store import tables as t
from vlmrb.store.records import clip_replay_row, clip_rows, episode_row, event_row, score_row, upsert
from vlmrb.store.text import clean, finite
from vlmrb.types import Clip, ClipReplay, ClipScore, Episode, Event


class RunWriter:
    """Collects a run's rows; `flush` writes all of them or none. Not thread-safe.

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
        self._clip_replay: dict[int, dict[str, Any]] = {}

    def add_metric(self, name: str, step: int, value: float) -> None:
        """One point of a curve; the last value for a step wins. NaN and infinities are stored as 'no value'."""
        self._metrics[clean(name), int(step)] = finite(value)

    def add_episode(self, episode: Episode) -> None:
        """An episode that has ended."""
        self._episodes.append(episode_row(self._run_id, episode))

    def add_event(self, step: int, env_index: int, event: Event) -> None:
        """A simulator event."""
        self._events.append(event_row(self._run_id, step, env_index, event))

    def add_clip(self, clip: Clip) -> None:
        """A clip with its snapshots or frames, which are encoded here."""
        row, data = clip_rows(self._run_id, clip)
        self._clips.append(row)
        self._clip_data.append(data)

    def add_score(self, score: ClipScore) -> None:
        """A score of a clip that is already stored or added."""
        self._scores.append(score_row(self._run_id, score))

    def add_clip_replay(self, replay: ClipReplay) -> None:
        """How replay treated a clip that is already stored or added; the last record of a clip wins."""
        self._clip_replay[int(replay.clip_id)] = clip_replay_row(replay)

    def flush(self) -> None:
        """Write everything collected, in one transaction.

        Raises:
            StoreError: nothing was written; the rows are kept for the next flush.
        """
        if not any((self._metrics, self._episodes, self._events, self._clips, self._scores, self._clip_replay)):
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
            if self._clip_replay:
                upsert(connection, t.clip_replay, list(self._clip_replay.values()))
        self._clear()

    def _write_metrics(self, connection: Connection) -> None:
        if not self._metrics:
            return
        rows = [
            {"run_id": self._run_id, "name": name, "step": step, "value": value} for (name, step), value in self._metrics.items()
        ]
        upsert(connection, t.metrics, rows)

    def _write_scores(self, connection: Connection) -> None:
        if not self._scores:
            return
        returned = connection.execute(insert(t.scores).returning(t.scores.c.score_id, sort_by_parameter_order=True), self._scores)
        newest: dict[int, dict[str, Any]] = {}  # by clip; the last one wins
        for row, score_id in zip(self._scores, returned.scalars(), strict=True):
            of_clip = {name: row[name] for name in ("label", "probability", "prompt_id")}
            newest[row["clip_id"]] = {"of_clip": row["clip_id"], "score_id": score_id, **of_clip}
        in_order = [newest[clip_id] for clip_id in sorted(newest)]  # every writer uses this order, so that two never deadlock
        connection.execute(_NEWEST_SCORE, in_order)


_NEWEST_SCORE = (
    update(t.clips)
    .where(t.clips.c.clip_id == bindparam("of_clip"))
    .values(
        **{name: bindparam(name) for name in ("score_id", "label", "probability", "prompt_id")},
        disagreement=func.abs(bindparam("probability", type_=Float) - case((t.clips.c.progress, 1.0), else_=0.0)),
    )
)
