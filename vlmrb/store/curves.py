"""What a run leaves along its steps: metrics, episodes and simulator events."""

from __future__ import annotations

import numpy as np
from sqlalchemy import select

from vlmrb.store import tables as t
from vlmrb.store.database import Database
from vlmrb.store.text import clean
from vlmrb.types import Episode, Event


class Curves(Database):
    """The part of the store that knows curves."""

    def metrics(self, run_id: int, name: str, *, since_step: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """One curve: steps int64 [N] ascending, values float64 [N] (NaN where there is none), after `since_step`."""
        c = t.metrics.c
        query = select(c.step, c.value).where(c.run_id == run_id, c.name == clean(name), c.step > since_step).order_by(c.step)
        with self._read() as connection:
            rows = connection.execute(query).all()
        values = [float("nan") if value is None else value for _, value in rows]
        return np.array([step for step, _ in rows], np.int64), np.array(values, np.float64)

    def metric_names(self, run_id: int) -> list[str]:
        """Names of the curves of a run, sorted."""
        query = select(t.metrics.c.name).where(t.metrics.c.run_id == run_id).order_by(t.metrics.c.name).limit(1)
        names: list[str] = []
        with self._read() as connection:  # from name to name along the index: a run has few names and many rows
            while (name := connection.scalar(query.where(t.metrics.c.name > names[-1]) if names else query)) is not None:
                names.append(name)
        return names

    def episodes(self, run_id: int, since_step: int = -1) -> list[Episode]:
        """Episodes that ended after `since_step`, in order."""
        c = t.episodes.c
        query = select(c.step, c.env_index, c.number, c.seed, c.length, c.episodic_return, c.success)
        query = query.where(c.run_id == run_id, c.step > since_step).order_by(c.step)
        with self._read() as connection:
            return [Episode(*row) for row in connection.execute(query)]

    def events(self, run_id: int) -> list[tuple[int, int, Event]]:
        """Simulator events: (step, env_index, event), in order."""
        c = t.events.c
        query = select(c.step, c.env_index, c.name, c.object, c.color).where(c.run_id == run_id).order_by(c.step, c.event_id)
        with self._read() as connection:
            return [(row[0], row[1], Event(*row[2:])) for row in connection.execute(query)]
