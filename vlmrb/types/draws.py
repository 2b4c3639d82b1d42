"""What replay has drawn before a step of a run, counted by clip."""

from __future__ import annotations

from dataclasses import dataclass

MOST_DRAWN = 12
"""Clips of a record that are there because they were drawn most often: those of the ranks up to this."""

DRAWN_AGES = tuple(f"replay/drawn_age_{quarter}" for quarter in (1, 2, 3, 4))
"""Metrics: the share of each quarter of the buffer in what was drawn, from its newest items to its oldest; together 1."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """How many of some items are in clips of each kind. An item counts for the first clip that it is in.

    Attributes:
        known: in a clip that is stored; an open clip is not.
        labelled: in a clip whose label is yes or no.
        yes: in a clip whose label is yes.
        progress: in a clip in which the simulator saw progress.
    """

    known: int
    labelled: int
    yes: int
    progress: int


@dataclass(frozen=True, slots=True)
class DrawnClip:
    """A clip whose items were drawn.

    Attributes:
        rank: 1 for the clip that was drawn most often.
        drawn: draws of its items.
        by_labels: those of them that the labels chose; 0 for a method without labels.
        td_error: mean |δ| of these draws, each at the time of its batch; NaN if learning has diverged.
        held: its items that were in the buffer at that step.
    """

    clip_id: int
    rank: int
    drawn: int
    by_labels: int
    td_error: float
    held: int


@dataclass(frozen=True, slots=True)
class Draws:
    """What the batches since the record before drew; the newest of them, if they were many.

    Attributes:
        step: steps done when it was taken.
        batches: how many are counted.
        drawn: draws in them.
        by_labels: those that the labels chose; None for a method that has no such part.
        td_error: mean |δ| of all draws.
        clips: different clips among the draws.
        held: items in the buffer.
        held_clips: about how many clips these are in.
        of_drawn, of_held: the kinds of the draws and of the buffer's items.
        sample: some of the clips by rank: those drawn most often, and a cross-section of the others' draws.
    """

    step: int
    batches: int
    drawn: int
    by_labels: int | None
    td_error: float
    clips: int
    held: int
    held_clips: int
    of_drawn: Kinds
    of_held: Kinds
    sample: tuple[DrawnClip, ...]
