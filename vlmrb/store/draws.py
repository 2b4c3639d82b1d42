"""What replay has drawn, by step."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from sqlalchemy import func, select

from vlmrb.errors import NotFoundError
from vlmrb.store import tables as t
from vlmrb.store.database import Database
from vlmrb.store.records import draws_of
from vlmrb.types import Draws


class DrawRecords(Database):
    """The part of the store for records of draws."""

    def draw_steps(self, run_id: int) -> list[int]:
        """The steps at which the run's draws were recorded, ascending."""
        c = t.draws.c
        with self._read() as connection:
            return list(connection.scalars(select(c.step).where(c.run_id == run_id).order_by(c.step)))

    def runs_with_draws(self) -> set[int]:
        """Runs that have any record of draws."""
        with self._read() as connection:
            return set(connection.scalars(select(t.draws.c.run_id).distinct()))

    def draws_near(self, run_id: int, step: int) -> Draws:
        """The run's record of draws nearest to a step; of two equally near, the earlier.

        Raises:
            NotFoundError: the run has none.
        """
        c, s = t.draws.c, t.drawn_clips.c
        nearest = select(t.draws).where(c.run_id == run_id).order_by(func.abs(c.step - step), c.step).limit(1)
        with self._read() as connection:
            row = connection.execute(nearest).one_or_none()
            if row is None:
                raise NotFoundError(
                    f"there is no record of what run {run_id} drew: it keeps no clips, is from an earlier version, or has not "
                    "come to its first record"
                )
            sample = select(t.drawn_clips).where(s.run_id == run_id, s.step == row.step).order_by(s.rank)
            return draws_of(row, connection.execute(sample))

    def drawn_progress(self, run_ids: Iterable[int]) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """How much of what was drawn is of clips with progress, by run; runs without a record are left out.

        Returns:
            Steps int64 [N], ascending; the share of the draws, and beside it of the items that the buffer held: float64 [N].
        """
        c = t.draws.c
        query = select(c.run_id, c.step, c.drawn_progress, c.drawn, c.held_progress, c.held)
        rows: dict[int, list[tuple[int, float, float]]] = {}
        with self._read() as connection:
            for run_id, step, of_drawn, drawn, of_held, held in connection.execute(
                query.where(c.run_id.in_(list(run_ids))).order_by(c.run_id, c.step)
            ):
                rows.setdefault(run_id, []).append((step, of_drawn / max(1, drawn), of_held / max(1, held)))
        return {
            run_id: (np.array([step for step, *_ in found], np.int64), *np.array([shares for _, *shares in found]).T)
            for run_id, found in rows.items()
        }
