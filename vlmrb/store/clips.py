"""Clips and their scores. Lists read the small rows alone; frames lie in a table of their own."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from sqlalchemy import Row, Select, func, insert, select

from vlmrb import video
from vlmrb.errors import NotFoundError, StoreCorruptError
from vlmrb.store import tables as t
from vlmrb.store.database import Database
from vlmrb.store.text import clean
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore, ClipSummary, Event

_SCORE_COLUMNS = [
    t.scores.c[name]
    for name in (
        "clip_id",
        "probability",
        "yes_logit",
        "no_logit",
        "threshold",
        "scorer",
        "model",
        "revision",
        "prompt_id",
        "frame_indices",
        "latency_s",
        "error",
    )
]


class Clips(Database):
    """The part of the store that knows clips."""

    def clips(
        self,
        run_id: int | None = None,
        *,
        label: bool | None = None,
        event: str | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        superseded: bool = False,
        limit: int = 50,
        after: int | None = None,
        order: Literal["newest", "oldest"] = "newest",
    ) -> list[ClipSummary]:
        """A page of clips.

        Args:
            run_id: of this run alone.
            label: of the newest score.
            event: a simulator event's name ('opened') or name and object ('opened door').
            min_step, max_step: clips that start within.
            superseded: also those that a resumed run has left behind.
            limit: clips at most.
            after: clip id at which the page before ended.
            order: by clip id.
        """
        c = t.clips.c
        query = _summaries()
        if run_id is not None:
            query = query.where(c.run_id == run_id)
        if not superseded:
            query = query.where(c.superseded.is_(False))
        if label is not None:
            query = query.where(c.label.is_(label))
        if event is not None:
            query = query.where(c.event_names.contains(f" {event} ", autoescape=True))
        if min_step is not None:
            query = query.where(c.start_step >= min_step)
        if max_step is not None:
            query = query.where(c.start_step <= max_step)
        newest = order == "newest"
        if after is not None:
            query = query.where(c.clip_id < after if newest else c.clip_id > after)
        with self._read() as connection:
            rows = connection.execute(query.order_by(c.clip_id.desc() if newest else c.clip_id).limit(limit))
            return [_clip_summary(row) for row in rows]

    def count_clips(self, run_id: int) -> int:
        """Clips of a run, superseded ones not counted."""
        query = select(func.count()).select_from(t.clips).where(t.clips.c.run_id == run_id, t.clips.c.superseded.is_(False))
        with self._read() as connection:
            return connection.execute(query).scalar_one()

    def next_clip_number(self, run_id: int) -> int:
        """One more than the largest number that a clip of the run ever had."""
        with self._read() as connection:
            largest = connection.execute(select(func.max(t.clips.c.number)).where(t.clips.c.run_id == run_id)).scalar()
        return 0 if largest is None else largest + 1

    def unscored_clips(self, run_id: int) -> list[int]:
        """Ids of the clips without any score, oldest first."""
        c = t.clips.c
        query = select(c.clip_id).where(c.run_id == run_id, c.superseded.is_(False), c.score_id.is_(None)).order_by(c.clip_id)
        with self._read() as connection:
            return list(connection.scalars(query))

    def clip(self, clip_id: int) -> ClipSummary:
        """One clip.

        Raises:
            NotFoundError: there is no such clip.
        """
        with self._read() as connection:
            row = connection.execute(_summaries().where(t.clips.c.clip_id == clip_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no clip {clip_id}; `vlmrb clips RUN` lists those of a run")
        return _clip_summary(row)

    def clip_snapshots(self, clip_id: int) -> np.ndarray:
        """What was seen: uint8 [T, S] snapshots or [T, H, W, 3] frames, exactly as recorded."""
        return _decode(self._clip_data(clip_id))

    def load_clip(self, clip_id: int) -> Clip:
        """The whole clip as it was recorded."""
        summary, data = self.clip(clip_id), self._clip_data(clip_id)
        with self._read() as connection:
            stride = connection.execute(select(t.clips.c.stride).where(t.clips.c.clip_id == clip_id)).scalar_one()
        item_ids = summary.start_step + stride * np.arange(summary.length, dtype=np.int64)
        rewards = np.frombuffer(data.rewards, "<f4").astype(np.float32)
        return Clip(
            clip_id, summary.env_index, summary.episode, item_ids, _decode(data), rewards, summary.events, summary.closed_by
        )  # type: ignore[arg-type]

    def _clip_data(self, clip_id: int) -> Row[Any]:
        with self._read() as connection:
            row = connection.execute(select(t.clip_data).where(t.clip_data.c.clip_id == clip_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no clip {clip_id}; `vlmrb clips RUN` lists those of a run")
        return row

    def scores(self, clip_id: int) -> list[ClipScore]:
        """Everything that was ever said about a clip, newest last."""
        query = select(*_SCORE_COLUMNS).where(t.scores.c.clip_id == clip_id).order_by(t.scores.c.score_id)
        with self._read() as connection:
            return [_score(row) for row in connection.execute(query)]

    def scores_of_run(self, run_id: int, scorer: str | None = None, prompt_id: int | None = None) -> list[ClipScore]:
        """Scores of a run's clips in the order in which they were given, of one scorer or prompt if asked."""
        query = select(*_SCORE_COLUMNS).where(t.scores.c.run_id == run_id)
        if scorer is not None:
            query = query.where(t.scores.c.scorer == scorer)
        if prompt_id is not None:
            query = query.where(t.scores.c.prompt_id == prompt_id)
        with self._read() as connection:
            return [_score(row) for row in connection.execute(query.order_by(t.scores.c.score_id))]

    def label_clip(self, clip_id: int, agrees: bool, note: str = "") -> None:
        """Store a person's word on the clip's label."""
        self.clip(clip_id)
        row = {"clip_id": clip_id, "agrees": agrees, "note": clean(note, "note"), "created_at": time.time()}
        with self._write() as connection:
            connection.execute(insert(t.human_labels).values(**row))

    def human_labels(self, clip_id: int) -> list[tuple[bool, str, float]]:
        """What people said: (agrees, note, when), oldest first."""
        c = t.human_labels.c
        query = select(c.agrees, c.note, c.created_at).where(c.clip_id == clip_id).order_by(c.label_id)
        with self._read() as connection:
            return [tuple(row) for row in connection.execute(query)]


def clip_rows(run_id: int, clip: Clip) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows of `clips` and `clip_data` that hold a clip."""
    names = {
        name for _, event in clip.events for name in (event.name, f"{event.name} {event.object}" if event.object else event.name)
    }
    stride = int(clip.item_ids[1] - clip.item_ids[0]) if len(clip) > 1 else 1
    row = {
        "clip_id": clip.clip_id,
        "run_id": run_id,
        "number": clip.clip_id % CLIPS_PER_RUN,
        "env_index": clip.env_index,
        "episode": clip.episode,
        "start_step": clip.start_step,
        "stride": stride,
        "length": len(clip),
        "episodic_reward": float(clip.rewards.sum()),
        "closed_by": clip.closed_by,
        "events": [[at, event.name, event.object, event.color] for at, event in clip.events],
        "event_names": " " + "  ".join(sorted(names)) + " " if names else "",
        "superseded": False,
    }
    codec, encode = ("snapshots", video.encode_snapshots) if clip.snapshots.ndim == 2 else ("frames", video.encode_frames)
    data = {
        "clip_id": clip.clip_id,
        "codec": codec,
        "shape": list(clip.snapshots.shape),
        "data": encode(clip.snapshots),
        "rewards": clip.rewards.astype("<f4").tobytes(),
    }
    return row, data


def score_row(run_id: int, score: ClipScore) -> dict[str, Any]:
    """The row of `scores` that holds a score."""
    return {
        "clip_id": score.clip_id,
        "run_id": run_id,
        "created_at": time.time(),
        "probability": score.probability,
        "yes_logit": score.yes_logit,
        "no_logit": score.no_logit,
        "threshold": score.threshold,
        "label": score.label,
        "scorer": score.scorer,
        "model": clean(score.model),
        "revision": clean(score.revision),
        "prompt_id": score.prompt_id,
        "frame_indices": list(score.frame_indices),
        "latency_s": score.latency_s,
        "error": clean(score.error),
    }


def _summaries() -> Select[Any]:
    c = t.clips.c
    columns = [
        c.clip_id,
        c.run_id,
        c.number,
        c.env_index,
        c.episode,
        c.start_step,
        c.stride,
        c.length,
        c.episodic_reward,
        c.closed_by,
        c.superseded,
        c.events,
        c.score_id,
    ]
    score = [column.label(f"s_{column.name}") for column in _SCORE_COLUMNS]
    return select(*columns, *score).outerjoin(t.scores, t.scores.c.score_id == c.score_id)


def _clip_summary(row: Row[Any]) -> ClipSummary:
    score = None
    if row.s_clip_id is not None:
        values = {column.name: getattr(row, f"s_{column.name}") for column in _SCORE_COLUMNS}
        score = ClipScore(**{**values, "frame_indices": tuple(values["frame_indices"])})
    return ClipSummary(
        row.clip_id,
        row.run_id,
        row.number,
        row.env_index,
        row.episode,
        row.start_step,
        row.start_step + (row.length - 1) * row.stride,
        row.length,
        row.episodic_reward,
        row.closed_by,
        row.superseded,
        tuple((at, Event(*rest)) for at, *rest in row.events),
        score,
    )


def _score(row: Row[Any]) -> ClipScore:
    values = row._asdict()
    return ClipScore(**{**values, "frame_indices": tuple(values["frame_indices"])})


def _decode(row: Row[Any]) -> np.ndarray:
    shape = tuple(int(side) for side in row.shape)
    if row.codec == "snapshots" and len(shape) == 2:
        return video.decode_snapshots(row.data, shape)
    if row.codec == "frames" and len(shape) == 4:
        return video.decode_frames(row.data, shape)
    raise StoreCorruptError(f"clip {row.clip_id} is stored as {row.codec!r} of shape {shape}, which this vlmrb cannot read")
