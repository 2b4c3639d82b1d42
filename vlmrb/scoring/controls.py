"""Label sources that are no VLM: they tell what a VLM's labels are worth. Named as controls wherever they show.

`oracle` reads the simulator's events, `reward` the rewards, `random` nothing at all.
"""

from __future__ import annotations

import numpy as np

from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore, Event, Prompt, ScoringRequest

PROGRESS_EVENTS = frozenset(
    {("picked_up", "key"), ("unlocked", "door"), ("opened", "door"), ("goal_reached", "goal"), ("success", "")}
)
"""(name, object) of the events that count as progress towards a goal: what `oracle` labels yes and labels are judged by."""


def is_progress(event: Event) -> bool:
    """Whether the event counts as progress."""
    return (event.name, event.object) in PROGRESS_EVENTS


class _Control:
    frames_per_clip = 0
    name = ""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def probability(self, clip: Clip) -> float:
        """1.0 for yes, 0.0 for no."""
        raise NotImplementedError

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """Label each clip; the prompt is not read."""
        return [
            ClipScore(r.clip.clip_id, self.probability(r.clip), None, None, self._threshold, self.name, self.name, "", None)
            for r in requests
        ]

    def close(self) -> None:
        """Nothing to free."""


class OracleScorer(_Control):
    """Yes where the simulator reports progress within the clip."""

    name = "oracle"

    def probability(self, clip: Clip) -> float:
        """1.0 where any event of the clip is progress."""
        return float(any(is_progress(event) for _, event in clip.events))


class RewardScorer(_Control):
    """Yes where the clip holds a positive reward: the VLM-free rival of a goal-satisfaction prompt."""

    name = "reward"

    def probability(self, clip: Clip) -> float:
        """1.0 where any reward is positive."""
        return float((clip.rewards > 0).any())


class RandomScorer(_Control):
    """Yes at a given rate, whatever the clip shows; the nth clip of a run with the same seed always gets the same label."""

    name = "random"

    def __init__(self, rate: float, threshold: float, seed: int) -> None:
        super().__init__(threshold)
        self._rate, self._seed = rate, seed
        self.name = f"random:{rate:g}"

    def probability(self, clip: Clip) -> float:
        """1.0 with probability `rate`."""
        return float(np.random.default_rng([self._seed, clip.clip_id % CLIPS_PER_RUN]).random() < self._rate)
