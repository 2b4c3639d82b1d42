"""What replay drew before a step, in words and beside what uniform replay would draw."""

from __future__ import annotations

import math

from vlmrb.config import defaults_of_run
from vlmrb.replay.registry import replay_methods
from vlmrb.types import DrawnClip, Draws, RunSummary


def chooser_of(run: RunSummary) -> str:
    """The replay method that chooses what labels do not: of a mixture its base, else the run's own."""
    method = replay_methods().get(run.replay)
    if method is None or not method.mixes:
        return run.replay
    return str((defaults_of_run(run.config) | run.config)["base"])


def label_of(method: str) -> str:
    """How people call a replay method."""
    found = replay_methods().get(method)
    return method if found is None else found.label


def words_of(draws: Draws, chooser: str) -> str:
    """Who chose what the batches drew, and how it differs from what chance would choose.

    Args:
        draws: what was drawn.
        chooser: the label of the method that chose what labels did not.
    """
    batches = f"{draws.batches:,} {'batch' if draws.batches == 1 else 'batches'}"
    parts = [
        f"{batches} before step {draws.step:,} drew {draws.drawn:,} items of {draws.clips:,} clips.",
        _who(draws, chooser),
    ]
    for kind in ("yes", "progress"):
        ours, theirs = getattr(draws.of_drawn, kind) / draws.drawn, getattr(draws.of_held, kind) / max(1, draws.held)
        if ours or theirs:
            what = "clips labelled yes" if kind == "yes" else "clips with progress"
            parts.append(f"{percent(ours)} are of {what}; by chance it would be {percent(theirs)}.")
    if (unknown := 1 - draws.of_drawn.known / draws.drawn) > 0.05:
        parts.append(f"{percent(unknown)} are of clips that are not stored, or were still open.")
    return " ".join(parts)


def _who(draws: Draws, chooser: str) -> str:
    if draws.by_labels is None:
        return f"All were chosen by {chooser}."
    share = draws.by_labels / draws.drawn
    return f"Labels chose {percent(share)} of them, the base ({chooser}) {percent(1 - share)}."


def percent(share: float) -> str:
    """'12 %'; a share that is neither none nor all is never rounded to that: '0.4 %', 'under 0.1 %'."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.1f} %" if 0 < share < 0.005 or 0.995 < share < 1 else f"{100 * share:.0f} %"


def by_chance(draws: Draws, clip: DrawnClip) -> float:
    """How many draws of a clip's items uniform replay would be expected to make."""
    return draws.drawn * clip.held / max(1, draws.held)


def most_by_chance(draws: Draws) -> int | None:
    """About how often uniform replay would draw the clip that it draws most often; None if the buffer holds no known clip.

    With n clips of about m expected draws each, this is the largest k that any of n Poisson(m) numbers reaches more likely
    than not: n · P(X ≥ k) ≥ ln 2.
    """
    if not draws.held_clips or not draws.of_held.known:
        return None
    clips = draws.held_clips
    mean = draws.drawn * draws.of_held.known / draws.held / clips
    if mean > 500:  # where e^−m is too small to count with
        return round(mean + math.sqrt(2 * mean * math.log(max(clips, 2))))
    at_least, probability, k = 1.0, math.exp(-mean), 0
    while clips * (at_least - probability) >= math.log(2):
        at_least -= probability
        k += 1
        probability *= mean / k
    return k
