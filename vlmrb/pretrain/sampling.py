"""Which clips to learn from, and which of their frames are seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def frame_indices(length: int, frames: int) -> np.ndarray:
    """The steps of a clip that a scorer with `frames` frames is shown: evenly spaced, the last one among them."""
    return np.unique(np.linspace(length - 1, 0, min(frames, length)).round().astype(int))


def choose_balanced(kinds: Sequence[frozenset[str]], count: int, rng: np.random.Generator) -> list[int]:
    """Choose `count` of some clips: again and again one of the kinds of events, least chosen first, then a clip that holds it.

    Where no clip of a kind is left the others fill up, so that common kinds are frequent and rare ones are all there.

    Args:
        kinds: of each clip.
        count: how many; all where there are no more.
        rng: draws among the clips that hold a kind.

    Returns:
        numbers of the clips.
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
