"""Label sources other than a VLM, as controls for its labels. Always shown as control scorers.

`oracle` reads the simulator's events, `reward` the rewards, `random` nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlmrb.events import shows_progress
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore, Prompt, ScoringRequest


class ControlScorer:
    """Labels clips by a rule; ignores prompt and frames.

    Args:
        name: name shown to people, such as 'oracle' or 'random:0.25'.
        says_yes: the rule.
        threshold: stored with each score; P(yes) is 0 or 1.
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
    """`oracle`: the simulator reports progress in the clip."""
    return shows_progress(clip.events)


def holds_reward(clip: Clip) -> bool:
    """`reward`: the clip contains a positive reward. The VLM-free counterpart of a goal-satisfaction prompt."""
    return bool((clip.rewards > 0).any())


def at_random(rate: float, seed: int) -> Callable[[Clip], bool]:
    """`random`: yes at a fixed rate, whatever the clip shows; with the same seed, a run's nth clip always gets the same label."""
    return lambda clip: bool(np.random.default_rng([seed, clip.clip_id % CLIPS_PER_RUN]).random() < rate)
