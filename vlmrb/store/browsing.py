"""Browsing clips: filters, pages, menus, samples, and how replay treated them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from sqlalchemy import func, select, union_all

from vlmrb.errors import ConfigError
from vlmrb.store import tables as t
from vlmrb.store.clip_query import conditions, count, of_runs, page
from vlmrb.store.database import Database
from vlmrb.store.records import clip_summary, names_of, summaries
from vlmrb.types import ClipFilter, ClipOrder, ClipReplay, ClipSummary, Prompt, TdErrorAndScore


class Browsing(Database):
    """The part of the store for browsing clips."""

    def find_clips(
        self, wanted: ClipFilter, order: ClipOrder = "newest", *, limit: int = 48, offset: int = 0
    ) -> list[ClipSummary]:
        """A page of the clips that match.

        Raises:
            ConfigError: the order or a value of the filter is not allowed.
        """
        with self._read() as connection:
            return page(connection, conditions(wanted), order, max(limit, 0), max(offset, 0))

    def clips_near(self, steps: Mapping[int, int], limit: int) -> dict[int, list[ClipSummary]]:
        """By run: its clips that begin nearest to its step in `steps`, in the order of their steps, without superseded ones."""
        c, found = t.clips.c, {run_id: list[ClipSummary]() for run_id in steps}
        nearest = [
            select(
                select(c.clip_id)
                .where(*conditions(ClipFilter(run_ids=(run_id,))))
                .order_by(func.abs(c.start_step - step), c.clip_id)
                .limit(max(limit, 0))
                .subquery()
            )
            for run_id, step in steps.items()
        ]
        if not nearest:
            return found
        with self._read() as connection:
            ids = list(connection.scalars(union_all(*nearest)))
            for row in connection.execute(summaries().where(c.clip_id.in_(ids)).order_by(c.start_step, c.clip_id)):
                found[row.run_id].append(clip_summary(row))
        return found

    def count_clips_found(self, wanted: ClipFilter) -> int:
        """Number of matching clips. Raises like `find_clips`."""
        with self._read() as connection:
            return count(connection, conditions(wanted))

    def newest_clip_id(self, wanted: ClipFilter) -> int | None:
        """The largest id among the matching clips; None if there are none. Raises like `find_clips`.

        Ids sort by run first: with several live runs, only new clips of the newest run change it. To find out how many
        clips a page has not shown yet, compare `count_clips_found` with its earlier value.
        """
        query = select(t.clips.c.clip_id).where(*conditions(wanted)).order_by(t.clips.c.clip_id.desc()).limit(1)
        with self._read() as connection:
            return connection.scalar(query)

    def event_names_of(self, run_ids: Collection[int] = ()) -> list[str]:
        """Values of `ClipFilter.event` that match clips of these runs (of all runs if empty), sorted."""
        query = select(t.clips.c.event_names).distinct().where(*conditions(ClipFilter(run_ids=tuple(run_ids))))
        with self._read() as connection:
            return sorted({name for names in connection.scalars(query) for name in names_of(names)})

    def prompts_used(self, run_ids: Collection[int] = ()) -> list[Prompt]:
        """Prompts behind the newest scores of these runs' clips (of all runs if empty), by name."""
        c = t.prompts.c
        ids = select(t.clips.c.prompt_id).distinct().where(*conditions(ClipFilter(run_ids=tuple(run_ids))))
        query = select(c.name, c.version, c.text, c.prompt_id).where(c.prompt_id.in_(ids)).order_by(c.name, c.version)
        with self._read() as connection:
            return [Prompt(*row) for row in connection.execute(query)]

    def sample_clips(self, run_ids: Collection[int], n: int, seed: int = 0) -> list[int]:
        """Ids of up to n clips of these runs (of all runs if empty), ascending.

        Half of them show progress and half do not, as far as available. Each half is spread over the runs and their
        steps: one clip is drawn at random from each of equally long stretches. The same seed draws the same clips.

        Raises:
            ConfigError: n is below 1.
        """
        if n < 1:
            raise ConfigError(f"sample: got {n} clips; allowed: 1 or more")
        c = t.clips.c
        query = select(c.clip_id).where(*conditions(ClipFilter(run_ids=tuple(run_ids)))).order_by(c.clip_id)
        with self._read() as connection:
            progress, rest = (connection.scalars(query.where(c.progress.is_(kind))).all() for kind in (True, False))
        rng = np.random.default_rng(seed)
        of_progress = min(len(progress), max(n // 2, n - len(rest)))
        return sorted(_spread(progress, of_progress, rng) + _spread(rest, min(len(rest), n - of_progress), rng))

    def newest_answers(self, run_id: int, limit: int) -> list[tuple[float, bool]]:
        """P(yes) of the newest scored clips of a run, newest first, and whether the simulator saw progress in them."""
        c = t.clips.c
        query = select(c.probability, c.progress).where(*of_runs((run_id,)), c.superseded.is_(False), c.probability.is_not(None))
        with self._read() as connection:
            rows = connection.execute(query.order_by(c.clip_id.desc()).limit(limit))
            return [(probability, progress) for probability, progress in rows]

    def clip_replay(self, clip_id: int) -> ClipReplay | None:
        """How replay treated a clip when its score was applied; None if unknown."""
        with self._read() as connection:
            row = connection.execute(select(t.clip_replay).where(t.clip_replay.c.clip_id == clip_id)).one_or_none()
        if row is None:
            return None
        td_error = float("nan") if row.td_error is None else row.td_error
        return ClipReplay(clip_id, row.step, td_error, row.vlm_weight, row.vlm_probability, row.uniform_probability)

    def td_errors_and_scores(self, run_ids: Collection[int] = (), limit: int = 2_000) -> list[TdErrorAndScore]:
        """TD error and score of up to `limit` clips, evenly spread over the clips of these runs (of all runs if empty)."""
        c, r = t.clips.c, t.clip_replay.c
        joined = t.clips.join(t.clip_replay, r.clip_id == c.clip_id)
        known = (*of_runs(run_ids), c.superseded.is_(False), c.label.is_not(None), r.td_error.is_not(None))
        number = func.row_number().over(order_by=c.clip_id).label("number")  # 1, 2, 3, …
        columns = (c.clip_id, c.run_id, r.td_error, c.probability, c.label, c.progress)
        numbered = select(*columns, number).select_from(joined).where(*known).subquery()
        with self._read() as connection:
            total = connection.execute(select(func.count()).select_from(joined).where(*known)).scalar_one()
            share = min(max(limit, 0), total)
            due = numbered.c.number * share // max(total, 1) != (numbered.c.number - 1) * share // max(total, 1)
            rows = connection.execute(select(numbered).where(due).order_by(numbered.c.clip_id))
            return [TdErrorAndScore(*row[:-1]) for row in rows]


def _spread(ids: Sequence[int], n: int, rng: np.random.Generator) -> list[int]:
    """One id from each of n equally long stretches."""
    edges = np.linspace(0, len(ids), n + 1).astype(int)
    return [ids[at] for at in rng.integers(edges[:-1], edges[1:])] if n else []
