"""Label sources that are no VLM: they tell what a VLM's labels are worth. Named as control scorers wherever they show.

`oracle` reads the simulator's events, `reward` the rewards, `random` nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlmrb.events import shows_progress
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore, Prompt, ScoringRequest


class ControlScorer:
    """Labels clips by a rule; neither prompt nor frames are looked at.

    Args:
        name: as it shows, such as 'oracle' or 'random:0.25'.
        says_yes: the rule.
        threshold: of the label; P(yes) is 0 or 1.
    """

    frames_per_clip = 0

    def __init__(self, name: str, says_yes: Callable[[Clip], bool], threshold: float) -> None:
        self._name, self._says_yes, self._threshold = name, says_yes, threshold

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """Label each clip."""
        return [
            ClipScore(
                r.clip.clip_id, float(self._says_yes(r.clip)), None, None, self._threshold, self._name, self._name, "", None
            )
            for r in requests
        ]

    def close(self) -> None:
        """Nothing to free."""


def holds_progress(clip: Clip) -> bool:
    """`oracle`: the simulator reports progress within the clip."""
    return shows_progress(clip.events)


def holds_reward(clip: Clip) -> bool:
    """`reward`: the clip holds a positive reward. The VLM-free rival of a goal-satisfaction prompt."""
    return bool((clip.rewards > 0).any())


def at_random(rate: float, seed: int) -> Callable[[Clip], bool]:
    """`random`: yes at a rate, whatever the clip shows; the nth clip of a run with the same seed always gets the same label."""
    return lambda clip: bool(np.random.default_rng([seed, clip.clip_id % CLIPS_PER_RUN]).random() < rate)
