"""What a run's batches drew, at one of the steps where it was recorded: the clips, and who chose them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.clip_views import ClipCard, clip_card
from app.colors import OTHER
from vlmrb.analysis.comparison import method_of
from vlmrb.analysis.drawn import by_chance, chooser_of, label_of, most_by_chance, words_of
from vlmrb.replay.registry import replay_methods
from vlmrb.retention import retention_of
from vlmrb.store import Store
from vlmrb.types import LIVE, MOST_DRAWN, ClipSummary, Draws, RunSummary

MAX_OTHERS = 200
"""Runs to choose the second one from, at most."""


@dataclass(frozen=True, slots=True)
class Other:
    """A run that can be looked at beside this one; `kin` says why it is there: 'sibling', 'parent', 'branch', 'env' or ''."""

    run_id: int
    name: str
    kin: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """The steps at which a run's draws were recorded; `why_not` says why there are none, or is ''."""

    steps: list[int]
    why_not: str
    others: list[Other]


@dataclass(frozen=True, slots=True)
class DrawnCard:
    """A clip, and how it was drawn.

    Attributes:
        rank: 1 for the clip drawn most often.
        by_labels: draws that the labels chose; None for a method that has no such part.
        by_chance: draws that uniform replay would be expected to make.
        age: steps since the clip's last step.
    """

    card: ClipCard
    rank: int
    drawn: int
    by_labels: int | None
    by_chance: float
    td_error: float
    age: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a run's batches drew before a step.

    Attributes:
        method: its label.
        words: one or more sentences about all of the draws.
        clips: how many different ones were drawn.
        token, base_token: colours of the draws that the labels chose, and of the others.
        base: what the others were chosen by.
        most: the clips that were drawn most often.
        rest: some others, which stand for equal shares of the other draws.
        most_by_chance: about how often uniform replay would draw the clip that it draws most often; None if unknown.
        gone: clips that were recorded, and have been deleted since with their run.
    """

    run_id: int
    name: str
    method: str
    step: int
    words: str
    clips: int
    token: str
    base_token: str
    base: str
    most: list[DrawnCard]
    rest: list[DrawnCard]
    most_by_chance: int | None
    gone: int


def recorded(store: Store, run_id: int) -> Recorded:
    """Where the run's draws can be looked at, and which runs beside it.

    Raises:
        NotFoundError: there is no such run.
    """
    run, steps = store.run(run_id), store.draw_steps(run_id)
    if not steps:
        return Recorded([], _why_not(run), [])
    with_draws = store.runs_with_draws() - {run_id}
    others = [Other(other.run_id, other.name, _kin(other, run)) for other in store.runs(run_ids=with_draws)]
    order = ("sibling", "parent", "branch", "env", "")
    return Recorded(steps, "", sorted(others, key=lambda other: (order.index(other.kin), -other.run_id))[:MAX_OTHERS])


def _why_not(run: RunSummary) -> str:
    if not retention_of(run.config).stores:
        return "This run keeps no clips (its setting keep_clips is none), so there are none to show."
    if run.status in LIVE or run.status in ("queued", "created"):
        return (
            f"Nothing recorded yet. Learning begins at step {int(run.config.get('learning_starts', 0)):,}, and the draws are "
            "recorded every one or more log intervals from there."
        )
    return "This run has no record of its draws: it is from an earlier version, or ended before the first record."


def _kin(other: RunSummary, run: RunSummary) -> str:
    if run.parent_id is not None and (other.parent_id, other.parent_step) == (run.parent_id, run.parent_step):
        return "sibling"
    if other.run_id == run.parent_id:
        return "parent"
    if other.parent_id == run.run_id:
        return "branch"
    return "env" if other.env == run.env else ""


def drawn_at(store: Store, run_id: int, step: int) -> Drawn:
    """What the run drew at the recorded step nearest to `step`.

    Raises:
        NotFoundError: there is no such run, or it has no record of its draws.
    """
    run, draws = store.run(run_id), store.draws_near(run_id, step)
    clips = store.clips_by_id([clip.clip_id for clip in draws.sample])
    runs = {each.run_id: each for each in store.runs(run_ids={clip.run_id for clip in clips.values()})}
    cards = _cards(store, run, draws, clips, runs)
    chooser = chooser_of(run)
    return Drawn(
        run_id=run_id,
        name=run.name,
        method=method_of(run).label,
        step=draws.step,
        words=words_of(draws, label_of(chooser)),
        clips=draws.clips,
        token=_token(run.replay),
        base_token=_token(chooser),
        base=label_of(chooser),
        most=[card for card in cards if card.rank <= MOST_DRAWN],
        rest=[card for card in cards if card.rank > MOST_DRAWN],
        most_by_chance=most_by_chance(draws),
        gone=len(draws.sample) - len(cards),
    )


def _token(method: str) -> str:
    return f"method-{method}" if method in replay_methods() else OTHER


def _cards(
    store: Store, run: RunSummary, draws: Draws, clips: Mapping[int, ClipSummary], runs: Mapping[int, RunSummary]
) -> list[DrawnCard]:
    return [
        DrawnCard(
            card=clip_card(store.as_judged_in(run, clips[drawn.clip_id]), runs[clips[drawn.clip_id].run_id]),
            rank=drawn.rank,
            drawn=drawn.drawn,
            by_labels=None if draws.by_labels is None else drawn.by_labels,
            by_chance=by_chance(draws, drawn),
            td_error=drawn.td_error,
            age=max(0, draws.step - clips[drawn.clip_id].end_step),
        )
        for drawn in draws.sample
        if drawn.clip_id in clips
    ]
