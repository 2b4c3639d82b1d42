"""What runs take in the store, and which of their clips nothing needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, LargeBinary, Table, cast, func, select

from vlmrb.retention import Retention
from vlmrb.store import tables as t
from vlmrb.store.batches import delete_some
from vlmrb.store.database import Database
from vlmrb.types import CLIPS_PER_RUN, Surplus, TableSize

_OF_RUNS = (t.metrics, t.episodes, t.events, t.clips, t.scores, t.draws, t.drawn_clips, t.controls)
_OF_CLIPS = (t.clip_data, t.clip_replay, t.human_labels, t.trial_scores)
_WITH_A_CLIP = (t.clips, t.clip_data, t.scores, t.clip_replay)

_ROW_BYTES = 24
"""What either database takes for a row besides its values, roughly."""

_PART = 500  # clips whose size is read at a time


class Sizes(Database):
    """The part of the store for sizes and for clips that are not kept."""

    def table_sizes(self, run_id: int) -> dict[str, TableSize]:
        """Rows and bytes of a run, by table; tables without any are left out."""
        found = {}
        with self._read() as connection:
            for table in (*_OF_RUNS, *_OF_CLIPS):
                ours = _of_run(table, run_id) if table in _OF_CLIPS else table.c.run_id == run_id
                rows, size = connection.execute(select(func.count(), self._bytes(table)).where(ours)).one()
                if rows:
                    found[table.name] = TableSize(rows, int(size))
        return found

    def last_run_id(self) -> int:
        """The largest id that a run of this store has ever had; 0 for none."""
        query = "SELECT last_value FROM runs_run_id_seq WHERE is_called" if self._is_postgresql else _SQLITE_LAST
        with self._read() as connection:
            return int(connection.exec_driver_sql(query).scalar() or 0)

    def surplus_clips(
        self,
        run_id: int,
        retention: Retention,
        windows: Iterable[tuple[float, float]],
        family: Collection[int],
        *,
        awaits_scores: bool,
    ) -> Surplus:
        """The clips of a run that a retention does not keep and nothing needs.

        Args:
            run_id: the run.
            retention: which clips stay by themselves. Superseded ones do not, unless all do.
            windows: first and last steps whose clips are needed by checkpoints or live runs.
            family: runs whose draws can be of these clips: this one and those that descend from it.
            awaits_scores: whether the run may go on, so that clips without a score may still get one.
        """
        if not retention.removes:
            return Surplus(run_id)
        c, windows = t.clips.c, list(windows)
        columns = (
            c.clip_id,
            c.number,
            c.env_index,
            c.episode,
            c.start_step,
            c.stride,
            c.length,
            c.superseded,
            c.score_id,
            c.label,
        )
        with self._read() as connection:
            rows = connection.execute(select(*columns).where(_of_run(t.clips, run_id)).order_by(c.clip_id)).all()
            marked = {
                "labelled by people": _ids(connection, t.human_labels, run_id),
                "in trials": _in_trials(connection, run_id),
                "in records of draws": _drawn(connection, run_id, family),
            }
            going, needed = _sort_out(rows, retention, windows, marked, awaits_scores)
            size = sum(self._size_of_clips(connection, going[at : at + _PART]) for at in range(0, len(going), _PART))
        return Surplus(run_id, tuple(going), size, needed)

    def _size_of_clips(self, connection: Connection, clip_ids: Sequence[int]) -> int:
        sizes = (select(self._bytes(table)).where(table.c.clip_id.in_(clip_ids)) for table in _WITH_A_CLIP)
        return sum(int(connection.scalar(query) or 0) for query in sizes)

    def delete_clips(self, clip_ids: Sequence[int]) -> int:
        """Delete some clips with their scores, in one transaction; returns how many of them were there."""
        with self._write() as connection:
            return delete_some(connection, t.clips, t.clips.c.clip_id.in_(clip_ids), len(clip_ids))

    def _bytes(self, table: Table) -> ColumnElement[int]:
        """What the rows of a query take."""
        values = [func.coalesce(self._length(column), 0) for column in table.c]
        return func.coalesce(func.sum(sum(values[1:], values[0]) + _ROW_BYTES), 0)

    def _length(self, column: Column[Any]) -> ColumnElement[int]:
        return func.pg_column_size(column) if self._is_postgresql else func.length(cast(column, LargeBinary))


def _sort_out(
    rows: Sequence[Any],
    retention: Retention,
    windows: Sequence[tuple[float, float]],
    marked: Mapping[str, set[int]],
    awaits_scores: bool,
) -> tuple[list[int], dict[str, int]]:
    """Ids of the clips that go, ascending, and by what needs them how many of the others are not kept by the retention."""
    going, needed = list[int](), Counter[str]()
    newest = max((row.number for row in rows if not row.superseded), default=0)
    kept_from: dict[
        tuple[int, int, bool], int
    ] = {}  # by environment, episode and superseded: first step of what has frames there
    for row in reversed(rows):  # the later ones first: what they share with earlier ones is stored with these
        place, end = (row.env_index, row.episode, row.superseded), row.start_step + (row.length - 1) * row.stride
        if row.superseded or not retention.keeps(row.number, newest, row.label):
            reasons = [words for words, ids in marked.items() if row.clip_id in ids]
            if not row.superseded and any(row.start_step <= last and end >= first for first, last in windows):
                reasons.append("needed to resume or branch")
            if not row.superseded and awaits_scores and row.score_id is None:
                reasons.append("waiting for a score")
            if end >= kept_from.get(place, end + 1):
                reasons.append("holding frames of clips that overlap them")
            if awaits_scores and row is rows[-1]:
                reasons.append("the newest, from which numbers go on")
            if not reasons:
                going.append(row.clip_id)
                continue
            needed[reasons[0]] += 1
        for at in (place, (*place[:2], False)) if row.superseded else (place,):
            kept_from[at] = min(row.start_step, kept_from.get(at, row.start_step))
    return going[::-1], dict(needed)


_SQLITE_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'runs'"


def _of_run(table: Table, run_id: int) -> ColumnElement[bool]:
    """The rows of a table that are about clips of a run: a range of ids."""
    return table.c.clip_id.between(run_id * CLIPS_PER_RUN, (run_id + 1) * CLIPS_PER_RUN - 1)


def _ids(connection: Connection, table: Table, run_id: int) -> set[int]:
    return set(connection.scalars(select(table.c.clip_id).where(_of_run(table, run_id))))


def _in_trials(connection: Connection, run_id: int) -> set[int]:
    """Clips of a run in the samples of trials, scored there or not."""
    c = t.trials.c
    samples = [row.clip_ids for row in connection.execute(select(c.run_ids, c.clip_ids)) if run_id in row.run_ids]
    return {clip_id for sample in samples for clip_id in sample if clip_id // CLIPS_PER_RUN == run_id}


def _drawn(connection: Connection, run_id: int, family: Collection[int]) -> set[int]:
    c = t.drawn_clips.c
    ours = (c.run_id.in_(sorted(family)), _of_run(t.drawn_clips, run_id))
    return set(connection.scalars(select(c.clip_id).distinct().where(*ours)))
