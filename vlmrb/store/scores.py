"""Scores and human labels of clips. Rows are appended, never changed; a person can take back their newest label of a clip."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from vlmrb.errors import ConfigError, NotFoundError, shown
from vlmrb.panels import reads_prompt
from vlmrb.store import tables as t
from vlmrb.store.clips import no_clip
from vlmrb.store.database import Database
from vlmrb.store.records import SCORE_COLUMNS, clip_score, score_row
from vlmrb.store.text import clean
from vlmrb.types import CLIPS_PER_RUN, ClipScore, ClipSummary, HumanLabel, RunSummary


class Scores(Database):
    """The part of the store for scores."""

    def scores(self, clip_id: int) -> list[ClipScore]:
        """All scores of a clip, newest last."""
        query = select(*SCORE_COLUMNS).where(t.scores.c.clip_id == clip_id).order_by(t.scores.c.score_id)
        with self._read() as connection:
            return [clip_score(row) for row in connection.execute(query)]

    def as_judged_in(self, run: RunSummary, clip: ClipSummary) -> ClipSummary:
        """A clip as a run's own scorer judged it: one that a branch has from its parent may have another label there."""
        if clip.run_id == run.run_id or run.scorer is None:
            return clip
        asks = reads_prompt(run.scorer)  # a control scorer's answers with a prompt are about other missions
        ours = [score for score in self.scores(clip.clip_id) if score.scorer == run.scorer and (asks or score.prompt_id is None)]
        return replace(clip, score=ours[-1], human_label=None) if ours else clip

    def scores_of_run(self, run_id: int, scorer: str | None = None, prompt_id: int | None = None) -> list[ClipScore]:
        """Scores of a run's clips, oldest first, optionally of one scorer or prompt."""
        query = select(*SCORE_COLUMNS).where(t.scores.c.run_id == run_id)
        if scorer is not None:
            query = query.where(t.scores.c.scorer == clean(scorer))
        if prompt_id is not None:
            query = query.where(t.scores.c.prompt_id == prompt_id)
        with self._read() as connection:
            return [clip_score(row) for row in connection.execute(query.order_by(t.scores.c.score_id))]

    def add_scores(self, scores: Sequence[ClipScore]) -> None:
        """Add scores of clips of any runs, and leave the clips' labels alone; those of a clip that is gone are passed over."""
        clip_ids = [score.clip_id for score in scores]
        with self._write() as connection:
            existing = set(connection.scalars(select(t.clips.c.clip_id).where(t.clips.c.clip_id.in_(clip_ids))))
            rows = [score_row(score.clip_id // CLIPS_PER_RUN, score) for score in scores if score.clip_id in existing]
            if rows:
                connection.execute(insert(t.scores), rows)

    def label_clip(self, clip_id: int, agrees: bool, note: str = "", *, label: bool | None = None, annotator: str = "") -> None:
        """Store a person's verdict on the clip's label. The newest verdict decides what the label should be.

        Args:
            clip_id: the clip.
            agrees: whether the label is right.
            note: why.
            label: the label that the person saw; None for the current one.
            annotator: who it is.

        Raises:
            NotFoundError: there is no such clip.
            ConfigError: it has no label to agree with.
        """
        row = {"clip_id": clip_id, "agrees": agrees, "note": clean(note, "note"), "created_at": time.time()}
        row |= {"annotator": clean(annotator, "annotator")}
        c = t.clips.c
        with self._write() as connection:
            found = connection.execute(select(c.label).where(c.clip_id == clip_id).with_for_update()).first()
            if found is None:
                raise no_clip(clip_id)
            seen = found.label if label is None else label
            if seen is None:
                raise ConfigError(f"clip {clip_id} has no label yet; score it first")
            connection.execute(insert(t.human_labels).values(**row, label=seen))
            connection.execute(update(t.clips).where(c.clip_id == clip_id).values(human_label=seen if agrees else not seen))

    def unlabel_clip(self, clip_id: int, annotator: str = "") -> None:
        """Take back the newest verdict of a person on a clip; what is then the newest decides what the label should be.

        Raises:
            NotFoundError: there is none by this person.
        """
        c = t.human_labels.c
        newest = select(c.label_id).where(c.clip_id == clip_id).order_by(c.label_id.desc()).limit(1)
        with self._write() as connection:
            connection.execute(select(t.clips.c.clip_id).where(t.clips.c.clip_id == clip_id).with_for_update())
            label_id = connection.scalar(newest.where(c.annotator == clean(annotator)))
            if label_id is None:
                raise NotFoundError(f"clip {clip_id} has no label by {shown(annotator) if annotator else 'an unnamed person'}")
            connection.execute(delete(t.human_labels).where(c.label_id == label_id))
            left = connection.execute(
                select(c.agrees, c.label).where(c.clip_id == clip_id, c.label.is_not(None)).order_by(c.label_id.desc()).limit(1)
            ).first()
            right = None if left is None else left.label == left.agrees
            connection.execute(update(t.clips).where(t.clips.c.clip_id == clip_id).values(human_label=right))

    def labels_by_people(self, run_ids: Collection[int] = ()) -> list[HumanLabel]:
        """Each person's newest verdict on each clip of these runs (of all runs if empty), by clip, then time."""
        c = t.human_labels.c
        query = select(t.human_labels).order_by(c.label_id)
        if run_ids:  # a run is a range of ids
            query = query.where(c.clip_id.between(min(run_ids) * CLIPS_PER_RUN, (max(run_ids) + 1) * CLIPS_PER_RUN - 1))
        with self._read() as connection:
            rows = connection.execute(query).all()
        newest = {(row.clip_id, row.annotator): row for row in rows if not run_ids or row.clip_id // CLIPS_PER_RUN in run_ids}
        return [_human_label(row) for row in sorted(newest.values(), key=lambda row: (row.clip_id, row.label_id))]

    def human_labels(self, clip_id: int) -> list[HumanLabel]:
        """All human verdicts on a clip, oldest first."""
        c = t.human_labels.c
        with self._read() as connection:
            rows = connection.execute(select(t.human_labels).where(c.clip_id == clip_id).order_by(c.label_id))
            return [_human_label(row) for row in rows]


def _human_label(row: Row[Any]) -> HumanLabel:
    right = None if row.label is None else row.label == row.agrees
    return HumanLabel(row.clip_id, row.annotator, row.agrees, right, row.note, row.created_at)
