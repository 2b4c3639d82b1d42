"""Clips. Lists read only the small rows; frames are in a separate table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, Row, false, func, or_, select

from vlmrb.errors import NotFoundError, StoreCorruptError
from vlmrb.store import tables as t
from vlmrb.store.clip_query import conditions, count, page
from vlmrb.store.database import Database
from vlmrb.store.records import clip_summary, snapshots, summaries, whole_clip
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipFilter, ClipSpan, ClipSummary


class Clips(Database):
    """The part of the store for clips."""

    def clips(
        self,
        run_id: int | None = None,
        *,
        label: bool | None = None,
        event: str | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        min_spread: float | None = None,
        superseded: bool = False,
        limit: int = 50,
        after: int | None = None,
        order: Literal["newest", "oldest"] = "newest",
    ) -> list[ClipSummary]:
        """A page of clips.

        Args:
            run_id: only clips of this run.
            label: only clips whose newest score has this label.
            event: a simulator event's name ('opened') or name and object ('opened door').
            min_step, max_step: only clips that start within this range.
            min_spread: only clips whose voters' P(yes) are at least this far apart.
            superseded: include clips that a resumed run left behind.
            limit: maximum number of clips.
            after: clip id at which the previous page ended.
            order: by clip id.
        """
        wanted = ClipFilter(
            run_ids=() if run_id is None else (run_id,),
            min_step=min_step,
            max_step=max_step,
            label=None if label is None else "yes" if label else "no",
            event=event,
            min_spread=min_spread,
            superseded=superseded,
        )
        matching = conditions(wanted)
        if after is not None:
            matching.append(t.clips.c.clip_id < after if order == "newest" else t.clips.c.clip_id > after)
        with self._read() as connection:
            return page(connection, matching, order, max(limit, 0))

    def count_clips(self, run_id: int) -> int:
        """Number of a run's clips, not counting superseded ones."""
        with self._read() as connection:
            return count(connection, conditions(ClipFilter(run_ids=(run_id,))))

    def next_clip_number(self, run_id: int) -> int:
        """One more than the largest number a clip of the run has ever had."""
        with self._read() as connection:
            largest = connection.execute(select(func.max(t.clips.c.number)).where(t.clips.c.run_id == run_id)).scalar()
        return 0 if largest is None else largest + 1

    def unscored_clips(self, run_id: int) -> list[int]:
        """Ids of the run's clips without any score, oldest first, without superseded ones."""
        matching = conditions(ClipFilter(run_ids=(run_id,), label="unscored"))
        query = select(t.clips.c.clip_id).where(*matching).order_by(t.clips.c.clip_id)
        with self._read() as connection:
            return list(connection.scalars(query))

    def clip_spans(self, sources: Sequence[tuple[int, int]], since_step: int) -> list[ClipSpan]:
        """Which items the clips of some runs cover, by clip id, without superseded ones.

        Args:
            sources: runs, each with the number of clips that count, from its first.
            since_step: clips that end before this step are left out.
        """
        c = t.clips.c
        columns = (c.clip_id, c.start_step, c.stride, c.length, c.label, c.progress)
        of_source = [c.clip_id.between(run_id * CLIPS_PER_RUN, run_id * CLIPS_PER_RUN + count - 1) for run_id, count in sources]
        reaches = c.start_step + (c.length - 1) * c.stride >= since_step
        query = select(*columns).where(or_(false(), *of_source), c.superseded.is_(False), reaches).order_by(c.clip_id)
        with self._read() as connection:
            return [ClipSpan(*row) for row in connection.execute(query)]

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
        """Snapshots uint8 [T, S] or frames uint8 [T, H, W, 3], exactly as recorded.

        Raises:
            NotFoundError: there is no such clip.
            StoreCorruptError: its data is damaged.
        """
        with self._read() as connection:
            row = connection.execute(summaries().where(t.clips.c.clip_id == clip_id)).one_or_none()
            if row is None:
                raise no_clip(clip_id)
            return _pictures(connection, row, _data(connection, clip_id))

    def load_clip(self, clip_id: int) -> Clip:
        """The whole clip as recorded. Raises like `clip_snapshots`."""
        [clip] = self.load_clips([clip_id])
        return clip

    def load_clips(self, clip_ids: Sequence[int]) -> list[Clip]:
        """Whole clips in the requested order, in one transaction. Raises like `clip_snapshots`."""
        with self._read() as connection:
            rows = {row.clip_id: row for row in connection.execute(summaries().where(t.clips.c.clip_id.in_(clip_ids)))}
            stored = {
                row.clip_id: row for row in connection.execute(select(t.clip_data).where(t.clip_data.c.clip_id.in_(clip_ids)))
            }
            if missing := [clip_id for clip_id in clip_ids if clip_id not in rows or clip_id not in stored]:
                raise no_clip(missing[0])
            found = []
            for clip_id in clip_ids:
                row, data = rows[clip_id], stored[clip_id]
                found.append(whole_clip(clip_summary(row), row.stride, _pictures(connection, row, data), data))
            return found

    def clips_by_id(self, clip_ids: Sequence[int]) -> dict[int, ClipSummary]:
        """Those of these clips that exist, by id."""
        with self._read() as connection:
            rows = connection.execute(summaries().where(t.clips.c.clip_id.in_(clip_ids)))
            return {row.clip_id: clip_summary(row) for row in rows}

    def clip_summaries(self, clip_ids: Sequence[int]) -> list[ClipSummary]:
        """Clips in the requested order.

        Raises:
            NotFoundError: one of them does not exist.
        """
        found = self.clips_by_id(clip_ids)
        if missing := [clip_id for clip_id in clip_ids if clip_id not in found]:
            raise no_clip(missing[0])
        return [found[clip_id] for clip_id in clip_ids]


def _data(connection: Connection, clip_id: int) -> Row[Any]:
    row = connection.execute(select(t.clip_data).where(t.clip_data.c.clip_id == clip_id)).one_or_none()
    if row is None:
        raise no_clip(clip_id)
    return row


def _pictures(connection: Connection, row: Row[Any], data: Row[Any]) -> np.ndarray:
    """All pictures of a clip: its own, after those that the clips before it in its episode have stored.

    Args:
        row: of `clips`.
        data: of `clip_data`.

    Raises:
        StoreCorruptError: they are damaged, or the clip before it is gone.
    """
    parts, c = [snapshots(data)], t.clips.c
    missing, number = row.length - len(parts[0]), row.clip_id
    if missing <= 0:
        return parts[0]
    same = [c.run_id == row.run_id, c.env_index == row.env_index, c.episode == row.episode]
    same += [] if row.superseded else [c.superseded.is_(False)]  # a resume counts episodes on from the checkpoint
    ends = row.start_step + row.stride * (missing - 1)  # the last step that is missing
    while missing > 0:
        query = select(c.clip_id, c.start_step, c.length).where(*same, c.clip_id < number).order_by(c.clip_id.desc()).limit(1)
        before = connection.execute(query).one_or_none()
        if before is None or before.start_step + row.stride * (before.length - 1) != ends:
            raise StoreCorruptError(
                f"clip {row.clip_id} is damaged: the clip before it, which has its first {missing} frames, is missing. "
                "Restore a backup"
            )
        part = snapshots(_data(connection, before.clip_id))[-missing:]
        parts.insert(0, part)
        missing, number, ends = missing - len(part), before.clip_id, ends - row.stride * len(part)
    width = max(part.shape[1] for part in parts)  # texts differ in length
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) if part.ndim == 2 else part for part in parts])


def no_clip(clip_id: int) -> NotFoundError:
    """The error for a clip that does not exist."""
    return NotFoundError(f"there is no clip {clip_id}; `vlmrb clips RUN` lists a run's clips")
