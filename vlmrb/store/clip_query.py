"""Which clips, in which order: the one place where a `ClipFilter` becomes SQL.

Conditions and orders need only the index `ix_clips_browse`; full rows are read only for the clips on the page.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, select

from vlmrb.errors import ConfigError, shown
from vlmrb.store import tables as t
from vlmrb.store.records import clip_summary, event_pattern, summaries
from vlmrb.store.text import clean
from vlmrb.types import CLIPS_PER_RUN, ClipFilter, ClipOrder, ClipSummary

Condition = ColumnElement[bool]

_c = t.clips.c
_judged = and_(_c.label.is_not(None), _c.human_label.is_not(None))
_LABELS: dict[str | None, list[Condition]] = {
    None: [],
    "yes": [_c.label.is_(True)],
    "no": [_c.label.is_(False)],
    "unknown": [_c.label.is_(None), _c.score_id.is_not(None)],
    "unscored": [_c.score_id.is_(None)],
}
_AGREEMENTS: dict[str | None, list[Condition]] = {
    None: [],
    "agrees": [_c.label == _c.progress],
    "disagrees": [_c.label != _c.progress],
}
_HUMANS: dict[str | None, list[Condition]] = {
    None: [],
    "agreed": [_judged, _c.label == _c.human_label],
    "disagreed": [_judged, _c.label != _c.human_label],
    "any": [_c.human_label.is_not(None)],
    "none": [_c.human_label.is_(None)],
}


def _threshold_gap() -> ColumnElement[float]:
    """|P(yes) − threshold| of the newest score."""
    return select(t.score_gap).where(t.scores.c.score_id == _c.score_id).correlate(t.clips).scalar_subquery()


def _prompt_gap() -> ColumnElement[float]:
    """Largest minus smallest P(yes) of what prompts have said about a clip: its newest score, and those of trials.

    NULL for a clip in no trial. Scorers that read no prompt do not count.
    """
    score, trial = t.trial_scores.alias(), t.trials.alias()

    def of_trials(extreme: Any) -> ColumnElement[float]:
        joined = score.join(trial, trial.c.trial_id == score.c.trial_id)
        asked = (score.c.clip_id == _c.clip_id, trial.c.prompt_id.is_not(None))
        return select(extreme(score.c.probability)).select_from(joined).where(*asked).correlate(t.clips).scalar_subquery()

    own = _c.prompt_id.is_not(None)
    highest, lowest = of_trials(func.max), of_trials(func.min)
    return case((and_(own, _c.probability > highest), _c.probability), else_=highest) - case(
        (and_(own, _c.probability < lowest), _c.probability), else_=lowest
    )


_ORDERS: dict[str, list[ColumnElement[Any]]] = {
    "newest": [_c.clip_id.desc()],
    "oldest": [_c.clip_id],
    "score_high": [_c.probability.desc().nulls_last(), _c.clip_id.desc()],
    "score_low": [_c.probability.asc().nulls_last(), _c.clip_id.desc()],
    "disagreement": [_c.disagreement.desc().nulls_last(), _c.clip_id.desc()],
    "spread": [_c.spread.desc().nulls_last(), _c.clip_id.desc()],
    "threshold": [_threshold_gap().asc().nulls_last(), _c.clip_id.desc()],
    "prompts": [_prompt_gap().desc().nulls_last(), _c.clip_id.desc()],
}


def conditions(wanted: ClipFilter) -> list[Condition]:
    """Conditions that a row of `clips` must meet.

    Raises:
        ConfigError: a value of the filter is not allowed.
    """
    found: list[Condition] = [_c.superseded.in_([False, True]) if wanted.superseded else _c.superseded.is_(False)]
    found += of_runs(wanted.run_ids)
    for column, low, high in (
        (_c.start_step, wanted.min_step, wanted.max_step),
        (_c.probability, wanted.min_probability, wanted.max_probability),
        (_c.spread, wanted.min_spread, None),
    ):
        found += [] if low is None else [column >= low]
        found += [] if high is None else [column <= high]
    found += _choice("label", wanted.label, _LABELS)
    found += _choice("agreement", wanted.agreement, _AGREEMENTS)
    found += _choice("human", wanted.human, _HUMANS)
    if wanted.not_labelled_by is not None:
        said = t.human_labels.alias()
        theirs = select(said.c.label_id).where(said.c.clip_id == _c.clip_id, said.c.annotator == clean(wanted.not_labelled_by))
        found.append(~theirs.correlate(t.clips).exists())
    if wanted.event is not None:
        found.append(_c.event_names.contains(event_pattern(clean(wanted.event)), autoescape=True))
    if wanted.prompt_id is not None:
        found.append(_c.prompt_id == wanted.prompt_id)
    return found


def of_runs(run_ids: Collection[int]) -> list[Condition]:
    """Conditions for clips of these runs, none if empty: first the range of their ids, which the index serves, then each run."""
    if not run_ids:
        return []
    of_range = _c.clip_id.between(min(run_ids) * CLIPS_PER_RUN, (max(run_ids) + 1) * CLIPS_PER_RUN - 1)
    return [of_range, _c.run_id.in_(sorted(set(run_ids)))]


def page(
    connection: Connection, matching: Sequence[Condition], order: ClipOrder, limit: int, offset: int = 0
) -> list[ClipSummary]:
    """Matching clips from `offset` up to `offset + limit`, in order.

    Raises:
        ConfigError: the order is unknown.
    """
    by = _choice("order", order, _ORDERS)
    if limit == 0:
        return []
    ids: Any = select(_c.clip_id).where(*matching).order_by(*by).limit(limit).offset(offset)
    if connection.dialect.name == "postgresql":  # SQLite is as fast without
        if order in ("score_high", "score_low", "disagreement"):
            column = _c.disagreement if order == "disagreement" else _c.probability
            known = select(_c.clip_id).where(_c.probability.is_not(None))
            known = known.order_by(column if order == "score_low" else column.desc(), _c.clip_id.desc())
            ids = _known_first(connection, known, _c.probability, matching, limit, offset)
        elif order == "spread":
            known = select(_c.clip_id).where(_c.spread.is_not(None)).order_by(_c.spread.desc(), _c.clip_id.desc())
            ids = _known_first(connection, known, _c.spread, matching, limit, offset)
        elif order == "threshold":
            # two equalities would look so rare to the planner that it reads all rows and sorts them
            newest = t.scores.c.score_id.between(_c.score_id, _c.score_id)
            known = select(_c.clip_id).join(t.scores, and_(t.scores.c.clip_id == _c.clip_id, newest))
            known = known.where(t.score_gap.is_not(None)).order_by(t.score_gap, t.scores.c.clip_id.desc())
            ids = _known_first(connection, known, _c.probability, matching, limit, offset)
    return [clip_summary(row) for row in connection.execute(summaries().where(_c.clip_id.in_(ids)).order_by(*by))]


def _known_first(
    connection: Connection, known: Select[Any], column: ColumnElement[Any], matching: Sequence[Condition], limit: int, offset: int
) -> list[int]:
    """Ids of a page: first of clips whose `column` is known, as ordered by an index that has these alone, then the newest."""
    ids = list(connection.scalars(known.where(*matching).limit(limit).offset(offset)))
    if len(ids) < limit:
        before = count(connection, [*matching, column.is_not(None)])
        others = select(_c.clip_id).where(*matching, column.is_(None)).order_by(_c.clip_id.desc())
        ids += connection.scalars(others.limit(limit - len(ids)).offset(max(0, offset - before)))
    return ids


def count(connection: Connection, matching: Sequence[Condition]) -> int:
    """Number of matching clips."""
    return connection.execute(select(func.count()).select_from(t.clips).where(*matching)).scalar_one()


def _choice(name: str, value: str | None, choices: dict[Any, Any]) -> Any:
    if value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices if choice is not None)
        raise ConfigError(f"{name}: got {shown(value)}; allowed: {allowed}")
    return choices[value]
