"""Why VLM-guided replay helps in a run, or cannot: what its labels did to what was drawn, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlmrb.types import DRAWN_AGES

SATURATED = 0.9
"""Share of yes from which on labels tell little apart."""

GUESSES = 0.6
"""AUC against the simulator's events below which labels are hardly better than a coin."""

ALIKE = 1.1
"""Enrichment up to which a mixture draws like its base."""

SMALL = 0.1
"""Share of a batch below which labels decide too little to change much."""

LEANING = 0.15
"""How far the mean age of draws, in quarters of the buffer, is from its middle before they lean to one side."""

_ENOUGH = 3  # points of a curve, or clips of each kind, before anything is said about them


class Curve(NamedTuple):
    """A metric over a run: steps, ascending, and values."""

    steps: ArrayLike
    values: ArrayLike


class Labels(NamedTuple):
    """How the labels of some clips agree with the simulator's events: AUC, None if they cannot be compared, and clips."""

    auc: float | None
    clips: int


def why(step: int, curves: Mapping[str, Curve], labels: Labels, successes: Sequence[int], base: str) -> list[str]:
    """What explains how a run with labels learns, causes before their effects; one sentence each, at least one.

    Args:
        step: how far the run is.
        curves: its `scoring/yes_rate`, `replay/vlm_share`, `replay/drawn_yes`, `replay/held_yes` and DRAWN_AGES, as far as it
            has them.
        labels: of its newest clips.
        successes: steps of its first and its fifth success in training, as far as there were any; of a branch, its parent's.
        base: the replay method that the labels' choice is mixed with.
    """
    if not labels.clips:
        return [f"No clip has a label yet, so that replay is that of its base, {base}."]
    found = [_discovery(step, successes), _guesses(labels), _saturated(curves, base), _small(curves, base)]
    said = [words for words in found if words] or [_steering(curves, labels)]
    return [*said, ages] if (ages := _ages(curves)) else said


def _discovery(step: int, successes: Sequence[int]) -> str:
    if len(successes) > 1:
        return ""
    so_far = "No training episode has succeeded" if not successes else "Fewer than five training episodes have succeeded"
    return f"{so_far} in {step:,} steps: until some do, there is little that replay could make more of, whichever way it draws."


def _guesses(labels: Labels) -> str:
    if labels.auc is None or labels.auc >= GUESSES:
        return ""
    return (
        f"The labels say little about what happens: their AUC against the simulator's events is {labels.auc:.2f} on the newest "
        f"{labels.clips:,} clips (0.5 is a coin)."
    )


def _saturated(curves: Mapping[str, Curve], base: str) -> str:
    steps, rates = (np.asarray(part) for part in curves.get("scoring/yes_rate", ((), ())))
    below = np.flatnonzero(~(rates >= SATURATED))  # also where it has no value
    first = 0 if not len(below) else int(below[-1]) + 1
    if len(rates) - first < _ENOUGH:
        return ""
    enrichment = _enrichment(curves)
    yes = f"From step {int(steps[first]):,} on, {100 * rates[first:].mean():.0f} % of clips are yes"
    if enrichment is None:
        return f"{yes}: labels hardly tell new clips apart."
    if enrichment <= ALIKE:
        return f"{yes}: replay draws like its base, {base} (enrichment {enrichment:.2f})."
    return (
        f"{yes}: labels hardly tell new clips apart, though what got a yes is still drawn {enrichment:.1f} times as often as its "
        "share of the buffer."
    )


def _small(curves: Mapping[str, Curve], base: str) -> str:
    shares = _values(curves, "replay/vlm_share")
    if len(shares) < _ENOUGH or shares[len(shares) // 2 :].mean() >= SMALL:
        return ""
    share = 100 * shares[len(shares) // 2 :].mean()
    return f"Labels decide {share:.2g} % of each batch, too little to change much: the rest is drawn by {base}."


def _steering(curves: Mapping[str, Curve], labels: Labels) -> str:
    enrichment = _enrichment(curves)
    if enrichment is not None:
        drawn = f"Labels steer replay: what got a yes is drawn {enrichment:.1f} times as often as its share of the buffer."
    else:
        drawn = "How much labels change what is drawn is not known: an earlier version made this run, or nothing was drawn yet."
    agree = "" if labels.auc is None else f" The labels agree with the simulator's events: AUC {labels.auc:.2f}."
    return drawn + agree


def _ages(curves: Mapping[str, Curve]) -> str:
    """How old the items are that were drawn over the last quarter of the run; '' if unknown."""
    parts = [_values(curves, name) for name in DRAWN_AGES]
    if min(len(part) for part in parts) < _ENOUGH:
        return ""
    shares = [_late(part) for part in parts]
    mean, middle = sum(at * share for at, share in enumerate(shares)), (len(shares) - 1) / 2
    numbers = f"{100 * shares[0]:.0f} % of what is drawn is from the newest quarter of the buffer, {100 * shares[-1]:.0f} % from"
    if abs(mean - middle) <= LEANING:
        return f"Replay prefers no age: {numbers} the oldest."
    preferred = "new" if mean < middle else "old"
    return f"Replay prefers {preferred} items: {numbers} the oldest; uniform replay would draw 25 % from each."


def _enrichment(curves: Mapping[str, Curve]) -> float | None:
    """Yes share of what is drawn over yes share of what is held, over the last quarter of the run; None if unknown."""
    parts = [_values(curves, name) for name in ("replay/drawn_yes", "replay/held_yes")]
    drawn, held = (_late(part) if len(part) else 0.0 for part in parts)
    return drawn / held if drawn > 0 and held > 0 else None


def _late(values: NDArray[np.float64]) -> float:
    """The mean over the last quarter of some values, at least one."""
    return float(values[-max(1, len(values) // 4) :].mean())


def _values(curves: Mapping[str, Curve], name: str) -> NDArray[np.float64]:
    values = np.asarray(curves[name].values if name in curves else [], np.float64)
    return values[np.isfinite(values)]
