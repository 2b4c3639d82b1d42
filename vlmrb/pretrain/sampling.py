"""Which clips to learn from, and which of their frames are seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def frame_indices(length: int, frames: int) -> np.ndarray:
    """The steps of a clip that a scorer of `frames` frames sees: evenly spaced, the last one included."""
    return np.unique(np.linspace(length - 1, 0, min(frames, length)).round().astype(int))


def choose_balanced(kinds: Sequence[frozenset[str]], count: int, rng: np.random.Generator) -> list[int]:
    """Choose clips so that rare kinds of events are about as frequent as common ones.

    Each time, take the kind chosen least often so far of which a clip is left, and draw one of its clips.

    Args:
        kinds: of events in each clip.
        count: how many to choose; if there are fewer clips, all of them.
        rng: draws among the clips of a kind.

    Returns:
        indices of the clips.
    """
    chosen: list[int] = []
    left = set(range(len(kinds)))
    tally = {kind: 0 for kinds_of_clip in kinds for kind in kinds_of_clip}
    while len(chosen) < min(count, len(kinds)):
        open_kinds = [kind for kind in tally if any(kind in kinds[number] for number in left)]
        kind = min(open_kinds, key=lambda name: (tally[name], name))
        candidates = sorted(number for number in left if kind in kinds[number])
        pick = candidates[int(rng.integers(len(candidates)))]
        chosen.append(pick)
        left.remove(pick)
        for name in kinds[pick]:
            tally[name] += 1
    return chosen
