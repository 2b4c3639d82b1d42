"""The clips of several runs at the same step of their training, run by run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.clip_views import ClipCard, clip_cards
from app.colors import stored_tokens
from vlmrb.analysis.comparison import method_of
from vlmrb.retention import retention_of
from vlmrb.store import Store
from vlmrb.types import IMPORTED, ClipSummary, RunSummary

CLIPS_OF_A_RUN = 5
MAX_ROWS = 24
"""Runs whose clips are shown at once."""


@dataclass(frozen=True, slots=True)
class RunAt:
    """A run with its clips nearest to a step.

    Attributes:
        token: its method's colour.
        start: the step at which a branch starts, else 0.
        ended: how many steps it has done, if that is less than was asked for; else None.
        cards: in the order of their steps.
        why_none: why there are no clips, or ''.
    """

    run_id: int
    name: str
    label: str
    token: str
    seed: int
    start: int
    ended: int | None
    cards: list[ClipCard]
    why_none: str


@dataclass(frozen=True, slots=True)
class ClipsAt:
    """Clips of runs at a step; of branches, steps count from where they start.

    Attributes:
        step: where it is.
        last: the most steps that one of the runs has done.
        rows: by method, then by run.
        left_out: how many runs are beyond MAX_ROWS.
    """

    step: int
    last: int
    rows: list[RunAt]
    left_out: int


def clips_at(store: Store, run_ids: Sequence[int], step: int | None) -> ClipsAt:
    """The clips of these runs that begin nearest to a step, or to the last one if it is None; runs that are gone are left out."""
    runs = sorted(store.runs(run_ids=run_ids), key=lambda run: (method_of(run).label, run.run_id))
    last = max((_done(run) for run in runs), default=0)
    at = last if step is None else min(step, last)
    tokens = stored_tokens(store)
    near = store.clips_near({run.run_id: _start(run) + at for run in runs[:MAX_ROWS]}, CLIPS_OF_A_RUN)
    rows = [_row(run, near[run.run_id], at, tokens) for run in runs[:MAX_ROWS]]
    return ClipsAt(at, last, rows, max(0, len(runs) - MAX_ROWS))


def _start(run: RunSummary) -> int:
    return run.parent_step or 0


def _done(run: RunSummary) -> int:
    return max(0, run.step - _start(run))


def _row(run: RunSummary, clips: list[ClipSummary], at: int, tokens: dict[str, str]) -> RunAt:
    label = method_of(run).label
    return RunAt(
        run_id=run.run_id,
        name=run.name,
        label=label,
        token=tokens.get(label, "method-other"),
        seed=run.seed,
        start=_start(run),
        ended=_done(run) if _done(run) < at else None,
        cards=clip_cards(clips, {run.run_id: run}),
        why_none="" if clips else _why_none(run),
    )


def _why_none(run: RunSummary) -> str:
    if IMPORTED in run.config:
        return "Another program trained this run."
    if not retention_of(run.config).stores:
        return "This run keeps no clips."
    return "This run has no clips yet."
