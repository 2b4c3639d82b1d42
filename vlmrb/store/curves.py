"""A run's history by step: metrics, episodes and simulator events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from sqlalchemy import BigInteger, Connection, Integer, Text, and_, column, func, select

from vlmrb.store import tables as t
from vlmrb.store.bulk import given_rows
from vlmrb.store.database import Database
from vlmrb.store.text import clean
from vlmrb.types import CurveFigures, Episode, Event

_CURVES_PER_QUERY = 1_000  # SQLite allows 32,766 parameters, and each curve needs four


class Curves(Database):
    """The part of the store for curves."""

    def metrics(self, run_id: int, name: str, *, since_step: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """One curve after `since_step`: steps int64 [N] ascending, values float64 [N] (NaN if missing)."""
        c = t.metrics.c
        query = select(c.step, c.value).where(c.run_id == run_id, c.name == clean(name), c.step > since_step).order_by(c.step)
        with self._read() as connection:
            rows = connection.execute(query).all()
        values = [float("nan") if value is None else value for _, value in rows]
        return np.array([step for step, _ in rows], np.int64), np.array(values, np.float64)

    def curves(
        self, run_ids: Iterable[int], names: Iterable[str], *, since: Mapping[tuple[int, str], int] | None = None
    ) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
        """Curves of several runs, all read in one transaction.

        Args:
            run_ids: the runs.
            names: metric names.
            since: the last known step by (run, name); only later points are read.

        Returns:
            The result of `metrics` by (run, name), for every requested run and name, even if there is nothing new.
        """
        since = since or {}
        keys = [(run_id, name) for run_id in dict.fromkeys(run_ids) for name in dict.fromkeys(names)]
        found = dict.fromkeys(keys, (np.empty(0, np.int64), np.empty(0, np.float64)))
        with self._read() as connection:
            for start in range(0, len(keys), _CURVES_PER_QUERY):
                asked = keys[start : start + _CURVES_PER_QUERY]
                found |= _read_curves(connection, asked, [since.get(key, -1) for key in asked])
        return found

    def curve_figures(self, run_ids: Iterable[int], names: Iterable[str]) -> dict[tuple[int, str], CurveFigures]:
        """The last, the smallest and the largest value of each run's curves, by (run, name); those without values are missing."""
        keys = [(run_id, name) for run_id in dict.fromkeys(run_ids) for name in dict.fromkeys(names)]
        c, columns = t.metrics.c, (column("number", Integer), column("run_id", Integer), column("name", Text))
        found: dict[tuple[int, str], CurveFigures] = {}
        with self._read() as connection:
            for start in range(0, len(keys), _CURVES_PER_QUERY):
                part = keys[start : start + _CURVES_PER_QUERY]
                rows = [(number, run_id, clean(name)) for number, (run_id, name) in enumerate(part)]
                asked = given_rows(connection, "asked", columns, rows)
                of_curve = (c.run_id == asked.c.run_id, c.name == asked.c.name, c.value.is_not(None))
                extremes = select(asked.c.number, func.min(c.value).label("low"), func.max(c.value).label("high"))
                extremes = extremes.add_columns(func.max(c.step).label("step"))
                ends = extremes.where(*of_curve).group_by(asked.c.number).subquery("ends")
                of_last = (c.run_id == asked.c.run_id, c.name == asked.c.name, c.step == ends.c.step)
                query = select(ends.c.number, c.value, ends.c.low, ends.c.high, ends.c.step)
                query = query.join(asked, asked.c.number == ends.c.number).join(t.metrics, and_(*of_last))
                found |= {part[row[0]]: CurveFigures(*row[1:]) for row in connection.execute(query)}
        return found

    def metric_names(self, *run_ids: int) -> list[str]:
        """Metric names of one or several runs, sorted."""
        c, runs = t.metrics.c, t.runs.c
        first = select(func.min(c.name)).where(c.run_id == runs.run_id).scalar_subquery()
        seen = select(runs.run_id, first.label("name")).where(runs.run_id.in_(run_ids)).cte("seen", recursive=True)
        following = select(func.min(c.name)).where(c.run_id == seen.c.run_id, c.name > seen.c.name).scalar_subquery()
        # skips from name to name along the index: a run has few names and many rows
        seen = seen.union_all(select(seen.c.run_id, following).where(seen.c.name.is_not(None)))
        with self._read() as connection:
            return sorted(connection.scalars(select(seen.c.name).distinct().where(seen.c.name.is_not(None))))

    def episodes(self, run_id: int, since_step: int = -1) -> list[Episode]:
        """Episodes that ended after `since_step`, in order."""
        c = t.episodes.c
        query = select(c.step, c.env_index, c.number, c.seed, c.length, c.episodic_return, c.success)
        query = query.where(c.run_id == run_id, c.step > since_step).order_by(c.step)
        with self._read() as connection:
            return [Episode(*row) for row in connection.execute(query)]

    def successes_before(self, steps: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """By run: number of episodes that ended before its step in `steps`, and how many of them succeeded."""
        c, found = t.episodes.c, dict.fromkeys(steps, (0, 0))
        columns = (column("run_id", Integer), column("step", BigInteger))
        runs = [(run_id, step) for run_id, step in steps.items() if step > 0]
        with self._read() as connection:
            for start in range(0, len(runs), _CURVES_PER_QUERY):
                asked = given_rows(connection, "asked", columns, runs[start : start + _CURVES_PER_QUERY])
                counts = select(c.run_id, func.count(), func.count().filter(c.success)).group_by(c.run_id)
                rows = connection.execute(counts.where(c.run_id == asked.c.run_id, c.step < asked.c.step))
                found |= {run_id: (ended, successes) for run_id, ended, successes in rows}
        return found

    def early_successes(self, since: Mapping[int, int], numbers: Sequence[int]) -> dict[int, tuple[int | None, ...]]:
        """By run: at which step its n-th successful episode ended, for each n in `numbers`; None if there is none.

        Args:
            since: by run, the step from which episodes count.
            numbers: which successes, counted from 1.
        """
        columns = (column("run_id", Integer), column("since", BigInteger))
        c, found = t.episodes.c, dict[int, tuple[int | None, ...]]()
        runs = list(since.items())
        with self._read() as connection:
            for start in range(0, len(runs), _CURVES_PER_QUERY):
                asked = given_rows(connection, "asked", columns, runs[start : start + _CURVES_PER_QUERY])
                # each stops reading the run's episodes at the success that it looks for
                of_run = select(c.step).where(c.run_id == asked.c.run_id, c.step >= asked.c.since, c.success).order_by(c.step)
                nth = [of_run.limit(1).offset(n - 1).correlate(asked).scalar_subquery().label(f"nth_{n}") for n in numbers]
                found |= {row[0]: tuple(row[1:]) for row in connection.execute(select(asked.c.run_id, *nth))}
        return found

    def events(self, run_id: int) -> list[tuple[int, int, Event]]:
        """Simulator events: (step, env_index, event), in order."""
        c = t.events.c
        query = select(c.step, c.env_index, c.name, c.object, c.color).where(c.run_id == run_id).order_by(c.step, c.event_id)
        with self._read() as connection:
            return [(row[0], row[1], Event(*row[2:])) for row in connection.execute(query)]


def _read_curves(
    connection: Connection, keys: list[tuple[int, str]], since: list[int]
) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
    """The curves that have rows after `since`; each is one range of the primary key."""
    columns = (column("number", Integer), column("run_id", Integer), column("name", Text), column("since", BigInteger))
    rows = [(number, run_id, clean(name), since[number]) for number, (run_id, name) in enumerate(keys)]
    asked = given_rows(connection, "asked", columns, rows)
    c = t.metrics.c
    ranges = (c.run_id == asked.c.run_id, c.name == asked.c.name, c.step > asked.c.since)
    read = connection.execute(select(asked.c.number, c.step, c.value).where(*ranges)).all()
    if not read:
        return {}
    number, steps = np.array([row[0] for row in read]), np.array([row[1] for row in read], np.int64)
    points = np.array([row[2] for row in read], np.float64)  # NaN for NULL
    order = np.lexsort((steps, number))
    number, steps, points = number[order], steps[order], points[order]
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    ends = [*starts[1:], len(number)]
    return {keys[number[a]]: (steps[a:b], points[a:b]) for a, b in zip(starts, ends, strict=True)}
