"""Rows of a live run, collected in memory and written in short transactions."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Float, bindparam, case, func, select, text, update

from vlmrb.errors import StoreBusyError
from vlmrb.store import tables as t
from vlmrb.store.bulk import add, add_returning, recordset, upsert
from vlmrb.store.records import clip_replay_row, clip_rows, draws_rows, episode_row, event_row, score_row, spread_of
from vlmrb.store.text import clean, finite, to_json
from vlmrb.types import Clip, ClipReplay, ClipScore, Draws, Episode, Event

BATCH_ROWS = 1_000
"""Rows of a kind per transaction: everybody else waits while it lasts, and there are many rows after a store was busy."""

BATCH_BYTES = 8 * 2**20
"""Bytes of clip data per transaction."""

_ROW_BYTES = 1_000
"""What a row without its clip data takes in memory, roughly."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that are written in one transaction."""

    metrics: list[tuple[tuple[str, int], float | None]]
    episodes: list[dict[str, Any]]
    events: list[dict[str, Any]]
    clips: list[dict[str, Any]]
    clip_data: list[dict[str, Any]]
    scores: list[dict[str, Any]]
    replay: list[dict[str, Any]]
    draws: list[dict[str, Any]] = field(default_factory=list)  # rows that an earlier version set aside have none
    drawn_clips: list[dict[str, Any]] = field(default_factory=list)


class RunWriter:
    """Collects a run's rows; `flush` writes them. Not thread-safe.

    Args:
        run_id: the run.
        begin: opens a writing transaction.
    """

    def __init__(self, run_id: int, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self.run_id, self._begin = run_id, begin
        self._clear()

    def _clear(self) -> None:
        self._metrics: dict[tuple[str, int], float | None] = {}
        self._episodes: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._clips: list[dict[str, Any]] = []
        self._clip_data: list[dict[str, Any]] = []
        self._scores: list[dict[str, Any]] = []
        self._clip_replay: dict[int, dict[str, Any]] = {}
        self._draws: list[dict[str, Any]] = []
        self._drawn_clips: list[dict[str, Any]] = []
        self._data_bytes = 0
        self._uncertain: _Batch | None = None  # the connection was lost while it was written: perhaps it is stored

    @property
    def held_bytes(self) -> int:
        """About how much memory the rows take that are not written yet."""
        kinds = (self._metrics, self._episodes, self._events, self._clips, self._scores, self._clip_replay, self._draws)
        return self._data_bytes + sum(map(len, (*kinds, self._drawn_clips))) * _ROW_BYTES

    def add_metric(self, name: str, step: int, value: float) -> None:
        """One point of a curve; the last value for a step wins. NaN and infinities are stored as 'no value'."""
        self._metrics[clean(name), int(step)] = finite(value)

    def add_episode(self, episode: Episode) -> None:
        """An episode that has ended."""
        self._episodes.append(episode_row(self.run_id, episode))

    def add_event(self, step: int, env_index: int, event: Event) -> None:
        """A simulator event."""
        self._events.append(event_row(self.run_id, step, env_index, event))

    def add_clip(self, clip: Clip) -> None:
        """A clip with its snapshots or frames, which are encoded here."""
        row, data = clip_rows(self.run_id, clip)
        self._clips.append(row)
        self._clip_data.append(data)
        self._data_bytes += len(data["data"])

    def add_score(self, score: ClipScore) -> None:
        """A score of a clip that is already stored or added."""
        self._scores.append(score_row(self.run_id, score))

    def add_clip_replay(self, replay: ClipReplay) -> None:
        """How replay treated a clip that is already stored or added; the last record of a clip wins."""
        self._clip_replay[int(replay.clip_id)] = clip_replay_row(replay)

    def add_draws(self, draws: Draws) -> None:
        """What replay drew before a step; the last record for a step wins."""
        row, clips = draws_rows(self.run_id, draws)
        self._draws.append(row)
        self._drawn_clips += clips

    def flush(self) -> None:
        """Write everything collected. Up to BATCH_ROWS and BATCH_BYTES it is one transaction: all of it or nothing.

        Raises:
            StoreError: the rows that were not written are kept for the next flush.
        """
        if self.held_bytes:
            self.flush_and(lambda _: None)

    def flush_and(self, work: Callable[[Connection], _T]) -> _T:
        """Write everything collected, and do some work with the store in the same transaction; without rows, in one of its own.

        Args:
            work: gets the transaction. It may be repeated: rows beyond BATCH_ROWS and BATCH_BYTES take more transactions, each
                of which ends with it, and one that failed is tried again by the next flush.

        Returns:
            what the work in the last transaction has returned.

        Raises:
            StoreError: the rows that were not written are kept for the next flush.
        """
        while True:
            batch = self._uncertain
            if batch is not None and self._is_written(batch):
                self._settle(batch)
                continue
            batch = batch or self._oldest(BATCH_ROWS, BATCH_BYTES)
            found = self._write(batch, work)
            self._settle(batch)
            if not self.held_bytes:
                return found

    def _settle(self, batch: _Batch) -> None:
        self._uncertain = None
        self._forget(batch)

    def _oldest(self, rows: int, size: int) -> _Batch:
        """The oldest rows of each kind. A clip comes before its scores, and in no later batch."""
        count = _within(self._clip_data[:rows], size)
        if count < len(self._clips):  # scores and replay records may belong to any clip
            scores, replay = [], []
        else:
            scores, replay = self._scores[:rows], list(islice(self._clip_replay.values(), rows))
        return _Batch(
            list(islice(self._metrics.items(), rows)),
            self._episodes[:rows],
            self._events[:rows],
            self._clips[:count],
            self._clip_data[:count],
            scores,
            replay,
            self._draws[:rows],
            self._drawn_clips[:rows],
        )

    def _write(self, batch: _Batch, work: Callable[[Connection], _T]) -> _T:
        """Write a batch and do the work in one transaction."""
        try:
            with self._begin() as connection:
                if batch.metrics:
                    upsert(connection, t.metrics, [self._metric_row(*metric) for metric in batch.metrics])
                for table, rows in (
                    (t.episodes, batch.episodes),
                    (t.events, batch.events),
                    (t.clips, batch.clips),
                    (t.clip_data, batch.clip_data),
                ):
                    if rows:
                        add(connection, table, rows)
                if batch.scores:
                    _write_scores(connection, batch.scores)
                for table, rows in ((t.clip_replay, batch.replay), (t.draws, batch.draws), (t.drawn_clips, batch.drawn_clips)):
                    if rows:
                        upsert(connection, table, rows)
                return work(connection)
        except StoreBusyError:
            self._uncertain = batch
            raise

    def _forget(self, batch: _Batch) -> None:
        """Drop the rows of a batch that is stored; newer values that have replaced some of them stay."""
        for key, value in batch.metrics:
            if key in self._metrics and self._metrics[key] == value:
                del self._metrics[key]
        for row in batch.replay:
            if self._clip_replay.get(row["clip_id"]) is row:
                del self._clip_replay[row["clip_id"]]
        for kept, written in (
            (self._episodes, batch.episodes),
            (self._events, batch.events),
            (self._clips, batch.clips),
            (self._clip_data, batch.clip_data),
            (self._scores, batch.scores),
            (self._draws, batch.draws),
            (self._drawn_clips, batch.drawn_clips),
        ):
            del kept[: len(written)]
        self._data_bytes -= sum(len(row["data"]) for row in batch.clip_data)

    def _is_written(self, batch: _Batch) -> bool:
        """Whether the store has the batch, whose rows go in together: judged by the first row that can be told apart."""
        c, e, h, s = t.clips.c, t.episodes.c, t.events.c, t.scores.c
        if batch.clips:
            known = select(c.clip_id).where(c.clip_id == batch.clips[0]["clip_id"])
        elif batch.episodes:
            known = select(e.step).where(e.run_id == self.run_id, e.step == batch.episodes[0]["step"])
        elif batch.scores:
            row = batch.scores[0]
            known = select(s.score_id).where(s.clip_id == row["clip_id"], s.created_at == row["created_at"])
        elif batch.events:
            known = select(h.event_id).where(*(h[name] == value for name, value in batch.events[0].items()))
        else:  # rows that replace themselves
            return False
        with self._begin() as connection:
            return connection.execute(known).first() is not None

    def _metric_row(self, key: tuple[str, int], value: float | None) -> dict[str, Any]:
        return {"run_id": self.run_id, "name": key[0], "step": key[1], "value": value}

    # -- a store that stays away

    def set_aside(self, path: Path) -> None:
        """Move the rows to a file, from which `take_back` writes them to the store. Does nothing without rows.

        Raises:
            OSError: it cannot be written; the rows are kept.
        """
        batches = []
        while self.held_bytes:
            batch, self._uncertain = self._uncertain or self._oldest(BATCH_ROWS, BATCH_BYTES), None
            self._forget(batch)
            batches.append(batch)
        if not batches:
            return
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(batch), default=_bytes_as_text) + "\n" for batch in batches)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            for batch in batches:
                self._keep(batch)
            raise

    def _keep(self, batch: _Batch) -> None:
        self._metrics |= dict(batch.metrics)
        self._episodes += batch.episodes
        self._events += batch.events
        self._clips += batch.clips
        self._clip_data += batch.clip_data
        self._scores += batch.scores
        self._clip_replay |= {row["clip_id"]: row for row in batch.replay}
        self._draws += batch.draws
        self._drawn_clips += batch.drawn_clips
        self._data_bytes += sum(len(row["data"]) for row in batch.clip_data)

    def take_back(self, path: Path) -> None:
        """Write the rows that `set_aside` left in a file, then remove it. Does nothing without a file; can be repeated.

        Raises:
            StoreError: the rest was not written, and the file is kept.
            ValueError, KeyError, TypeError: the file is damaged.
        """
        if not path.exists():
            return
        with path.open(encoding="utf-8") as file:
            for line in file:
                batch = _batch(json.loads(line))
                try:
                    if not self._is_written(batch):
                        self._write(batch, lambda _: None)
                finally:
                    self._uncertain = None  # the file has it
        path.unlink()


def _batch(stored: dict[str, Any]) -> _Batch:
    """The batch that `set_aside` has written as JSON."""
    metrics = [((str(name), int(step)), value) for (name, step), value in stored["metrics"]]
    data = [{**row, **{name: base64.b64decode(row[name]) for name in ("data", "rewards")}} for row in stored["clip_data"]]
    return _Batch(**{**stored, "metrics": metrics, "clip_data": data})


def _within(rows: list[dict[str, Any]], size: int) -> int:
    """How many of the rows stay within a size in bytes; at least one."""
    for count, row in enumerate(rows):
        size -= len(row["data"])
        if size < 0:
            return max(count, 1)
    return len(rows)


def _bytes_as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)


def _write_scores(connection: Connection, rows: list[dict[str, Any]]) -> None:
    score_ids = add_returning(connection, t.scores, rows, "score_id")
    newest: dict[int, dict[str, Any]] = {}  # by clip; the last one wins
    for row, score_id in zip(rows, score_ids, strict=True):
        of_clip = {name: row[name] for name in ("clip_id", "label", "probability", "prompt_id")}
        newest[row["clip_id"]] = {"score_id": score_id, "spread": spread_of(row), **of_clip}
    in_order = [newest[clip_id] for clip_id in sorted(newest)]  # every writer uses this order, so that two hardly ever deadlock
    if connection.dialect.name == "postgresql":
        connection.execute(_NEWEST_SCORES, {"rows": to_json(in_order)})
    else:
        connection.execute(_NEWEST_SCORE, [{**row, "of_clip": row["clip_id"]} for row in in_order])


_OF_SCORE = ("score_id", "label", "probability", "prompt_id", "spread")  # columns of clips
_NEWEST_SCORE = (
    update(t.clips)
    .where(t.clips.c.clip_id == bindparam("of_clip"))
    .values(
        **{name: bindparam(name) for name in _OF_SCORE},
        disagreement=func.abs(bindparam("probability", type_=Float) - case((t.clips.c.progress, 1.0), else_=0.0)),
    )
)
_NEWEST_SCORES = text(
    f"UPDATE clips SET {', '.join(f'{name} = given.{name}' for name in _OF_SCORE)}, "
    "disagreement = abs(given.probability - CASE WHEN clips.progress THEN 1.0 ELSE 0.0 END) "
    f"FROM {recordset(t.clips, ('clip_id', *_OF_SCORE))} WHERE clips.clip_id = given.clip_id"
)
