"""Clips. Lists read the small rows alone; frames lie in a table of their own."""

from __future__ import annotations

from typing import Literal

import numpy as np
from sqlalchemy import func, select

from vlmrb.errors import NotFoundError
from vlmrb.store import tables as t
from vlmrb.store.database import Database
from vlmrb.store.records import clip_summary, event_pattern, snapshots, summaries, whole_clip
from vlmrb.store.text import clean
from vlmrb.types import Clip, ClipSummary


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
        query = summaries()
        if run_id is not None:
            query = query.where(c.run_id == run_id)
        if not superseded:
            query = query.where(c.superseded.is_(False))
        if label is not None:
            query = query.where(c.label.is_(label))
        if event is not None:
            query = query.where(c.event_names.contains(event_pattern(clean(event)), autoescape=True))
        if min_step is not None:
            query = query.where(c.start_step >= min_step)
        if max_step is not None:
            query = query.where(c.start_step <= max_step)
        newest = order == "newest"
        if after is not None:
            query = query.where(c.clip_id < after if newest else c.clip_id > after)
        with self._read() as connection:
            rows = connection.execute(query.order_by(c.clip_id.desc() if newest else c.clip_id).limit(max(limit, 0)))
            return [clip_summary(row) for row in rows]

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
        """Ids of the clips without any score, oldest first; superseded ones left out."""
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
            row = connection.execute(summaries().where(t.clips.c.clip_id == clip_id)).one_or_none()
        if row is None:
            raise no_clip(clip_id)
        return clip_summary(row)

    def clip_snapshots(self, clip_id: int) -> np.ndarray:
        """What was seen: uint8 [T, S] snapshots or [T, H, W, 3] frames, exactly as recorded.

        Raises:
            NotFoundError: there is no such clip.
            StoreCorruptError: its data is damaged.
        """
        with self._read() as connection:
            row = connection.execute(select(t.clip_data).where(t.clip_data.c.clip_id == clip_id)).one_or_none()
        if row is None:
            raise no_clip(clip_id)
        return snapshots(row)

    def load_clip(self, clip_id: int) -> Clip:
        """The whole clip as it was recorded. Raises as `clip_snapshots` does."""
        with self._read() as connection:
            row = connection.execute(summaries().where(t.clips.c.clip_id == clip_id)).one_or_none()
            data = connection.execute(select(t.clip_data).where(t.clip_data.c.clip_id == clip_id)).one_or_none()
        if row is None or data is None:
            raise no_clip(clip_id)
        return whole_clip(clip_summary(row), row.stride, data)


def no_clip(clip_id: int) -> NotFoundError:
    """The error for a clip that is not there."""
    return NotFoundError(f"there is no clip {clip_id}; `vlmrb clips RUN` lists those of a run")
