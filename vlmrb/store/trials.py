"""Trials: a prompt tried on a sample of stored clips. Their scores are kept apart; no clip's own score changes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from vlmrb.errors import ConfigError, NotFoundError, RunBusyError
from vlmrb.store import tables as t
from vlmrb.store.bulk import upsert
from vlmrb.store.database import Database
from vlmrb.store.liveness import database_time, holder, is_alive, watch
from vlmrb.store.records import trial_score_row, votes_of
from vlmrb.store.text import clean, plain
from vlmrb.types import CLIPS_PER_RUN, ClipScore, Trial, TrialStatus

MAX_TRIAL_CLIPS = 10_000


class Trials(Database):
    """The part of the store for trials."""

    def create_trial(
        self, *, scorer: str, prompt_id: int | None, threshold: float, options: dict[str, Any], clip_ids: Iterable[int]
    ) -> int:
        """Add a trial that has not started; returns its id, which is never reused.

        Args:
            scorer: the string that selects the back end.
            prompt_id: a stored prompt, or None for scorers that read none.
            threshold: the label is yes if P(yes) ≥ threshold.
            options: scorer options; plain JSON data.
            clip_ids: the sample; `sample_clips` draws one.

        Raises:
            ConfigError: no clips, too many, or an option that is not plain JSON data.
            NotFoundError: a clip does not exist.
        """
        ids = sorted(set(clip_ids))
        if not 0 < len(ids) <= MAX_TRIAL_CLIPS:
            raise ConfigError(f"trial: got {len(ids)} clips; allowed: 1 to {MAX_TRIAL_CLIPS}")
        row = {
            "status": "created",
            "created_at": time.time(),
            "scorer": clean(scorer, "scorer"),
            "prompt_id": prompt_id,
            "threshold": float(threshold),
            "options": plain(options, "options"),
            "run_ids": sorted({clip_id // CLIPS_PER_RUN for clip_id in ids}),
            "clip_ids": ids,
            "model": "",
            "revision": "",
            "error": "",
        }
        with self._write() as connection:
            runs = select(t.runs.c.run_id).where(t.runs.c.run_id.in_(row["run_ids"])).order_by(t.runs.c.run_id)
            connection.execute(runs.with_for_update())  # none of them is deleted in the meantime
            there = set(connection.scalars(select(t.clips.c.clip_id).where(t.clips.c.clip_id.in_(ids))))
            if missing := [clip_id for clip_id in ids if clip_id not in there]:
                raise NotFoundError(f"there is no clip {missing[0]}; `vlmrb clips RUN` lists a run's clips")
            return int(connection.execute(insert(t.trials).values(**row).returning(t.trials.c.trial_id)).scalar_one())

    def find_trial(
        self,
        *,
        scorer: str,
        prompt_id: int | None,
        options: dict[str, Any],
        clip_ids: Iterable[int],
        threshold: float | None = None,
    ) -> int | None:
        """The newest trial that asks this scorer this prompt about just these clips; None if there is none.

        Args:
            scorer, prompt_id, options, clip_ids: as for `create_trial`.
            threshold: only a trial with this one; None for any, as it does not change P(yes).
        """
        c, wanted = t.trials.c, (plain(options, "options"), sorted(set(clip_ids)))
        query = select(c.trial_id, c.options, c.clip_ids).where(
            c.scorer == clean(scorer), c.prompt_id.is_not_distinct_from(prompt_id)
        )
        if threshold is not None:
            query = query.where(c.threshold == threshold)
        with self._read() as connection:
            for row in connection.execute(query.order_by(c.trial_id.desc())):
                if (row.options, row.clip_ids) == wanted:
                    return int(row.trial_id)
        return None

    def claim_trial(self, trial_id: int, pid: int, pid_started_at: float) -> None:
        """Make a process the one that runs the trial, and set its status to 'running'.

        Raises:
            NotFoundError: there is no such trial.
            RunBusyError: a live process is running it.
        """
        self._watch_trial(trial_id)
        with self._write() as connection:
            _lock(connection, trial_id)
            values = {
                "status": "running",
                **holder(pid, pid_started_at),
                "heartbeat_at": database_time(),
                "ended_at": None,
                "error": "",
            }
            _update(connection, trial_id, values)

    def _watch_trial(self, trial_id: int) -> None:
        """See whether a machine that seems dead is: its clock, or ours, may just have been set."""
        with self._read() as connection:
            row = connection.execute(_row_of(trial_id)).one_or_none()
        if row is not None and row.status == "running":
            watch(row, lambda: self.trial(trial_id).status == "running")

    def end_trial(self, trial_id: int, status: Literal["finished", "failed", "interrupted"], error: str = "") -> None:
        """Record that the process is done with the trial.

        Raises:
            NotFoundError: there is no such trial.
        """
        with self._write() as connection:
            _update(connection, trial_id, {"status": status, "ended_at": time.time(), "error": clean(error), "pid": None})

    def trial(self, trial_id: int) -> Trial:
        """One trial.

        Raises:
            NotFoundError: there is no such trial.
        """
        with self._read() as connection:
            row = connection.execute(_trials().where(t.trials.c.trial_id == trial_id)).one_or_none()
        if row is None:
            raise _no_trial(trial_id)
        return _trial(row)

    def trials(self, limit: int = 50) -> list[Trial]:
        """Trials, newest first."""
        with self._read() as connection:
            return [_trial(row) for row in connection.execute(_trials().order_by(t.trials.c.trial_id.desc()).limit(limit))]

    def add_trial_scores(self, trial_id: int, scores: Iterable[ClipScore]) -> None:
        """Store scores of a trial; a later score of a clip replaces an earlier one.

        Raises:
            NotFoundError: there is no such trial.
            StoreError: a clip was deleted in the meantime; nothing was written.
        """
        scores = list(scores)
        if not scores:
            return
        rows = [trial_score_row(trial_id, score) for score in scores]
        values = {"heartbeat_at": database_time(), "model": clean(scores[-1].model), "revision": clean(scores[-1].revision)}
        with self._write() as connection:
            _update(connection, trial_id, values)
            upsert(connection, t.trial_scores, rows)

    def trial_scores(self, trial_id: int) -> list[ClipScore]:
        """The trial's scores so far, by clip id.

        Raises:
            NotFoundError: there is no such trial.
        """
        c = t.trial_scores.c
        with self._read() as connection:
            trial = connection.execute(select(t.trials).where(t.trials.c.trial_id == trial_id)).one_or_none()
            rows = connection.execute(select(t.trial_scores).where(c.trial_id == trial_id).order_by(c.clip_id)).all()
        if trial is None:
            raise _no_trial(trial_id)
        return [_score(trial, row) for row in rows]

    def delete_trial(self, trial_id: int) -> None:
        """Delete a trial and its scores.

        Raises:
            NotFoundError: there is no such trial.
            RunBusyError: a live process is running it.
        """
        self._watch_trial(trial_id)
        with self._write() as connection:
            _lock(connection, trial_id)
            connection.execute(delete(t.trials).where(t.trials.c.trial_id == trial_id))


def forget_run(connection: Connection, run_id: int) -> None:
    """Remove a run's clips from all trials; a trial left without clips is deleted."""
    c = t.trials.c
    for row in connection.execute(select(c.trial_id, c.run_ids, c.clip_ids).order_by(c.trial_id).with_for_update()).all():
        if run_id not in row.run_ids:
            continue
        run_ids = [each for each in row.run_ids if each != run_id]
        clip_ids = [each for each in row.clip_ids if each // CLIPS_PER_RUN != run_id]
        if run_ids:
            _update(connection, row.trial_id, {"run_ids": run_ids, "clip_ids": clip_ids})
        else:
            connection.execute(delete(t.trials).where(c.trial_id == row.trial_id))


def _trials() -> Select[Any]:
    c = t.trial_scores.c
    scored = select(func.count()).where(c.trial_id == t.trials.c.trial_id).scalar_subquery()
    return select(t.trials, database_time().label("now"), scored.label("scored"))


def _row_of(trial_id: int) -> Select[Any]:
    return select(t.trials, database_time().label("now")).where(t.trials.c.trial_id == trial_id)


def _trial(row: Row[Any]) -> Trial:
    status: TrialStatus = "interrupted" if row.status == "running" and not _is_live(row) else row.status
    return Trial(
        trial_id=row.trial_id, status=status, created_at=row.created_at, ended_at=row.ended_at, scorer=row.scorer,
        prompt_id=row.prompt_id, threshold=row.threshold, options=row.options, run_ids=tuple(row.run_ids),
        clip_ids=tuple(row.clip_ids), scored=row.scored, model=row.model, revision=row.revision, pid=row.pid, error=row.error,
    )  # fmt: skip


def _score(trial: Row[Any], row: Row[Any]) -> ClipScore:
    return ClipScore(
        row.clip_id, row.probability, row.yes_logit, row.no_logit, trial.threshold, trial.scorer, trial.model, trial.revision,
        trial.prompt_id, tuple(row.frame_indices), row.latency_s, row.error, tuple(row.answers or ()),
        row.asked, tuple((yes, no) for yes, no in row.logits or ()), votes_of(row.votes),
    )  # fmt: skip


def _is_live(row: Row[Any]) -> bool:
    return row.status == "running" and is_alive(row, row.heartbeat_at)


def _lock(connection: Connection, trial_id: int) -> None:
    """Lock the trial until this transaction ends.

    Raises:
        NotFoundError: there is no such trial.
        RunBusyError: a live process is running it.
    """
    row = connection.execute(_row_of(trial_id).with_for_update()).one_or_none()
    if row is None:
        raise _no_trial(trial_id)
    if _is_live(row):
        raise RunBusyError(f"trial {trial_id} is being run by process {row.pid} on {row.host}; wait for it to end")


def _update(connection: Connection, trial_id: int, values: dict[str, Any]) -> None:
    if connection.execute(update(t.trials).where(t.trials.c.trial_id == trial_id).values(**values)).rowcount == 0:
        raise _no_trial(trial_id)


def _no_trial(trial_id: int) -> NotFoundError:
    return NotFoundError(f"there is no trial {trial_id}; `vlmrb trial RUN --prompt …` creates one")
