"""Label sources other than a VLM, as controls for its labels. Always shown as control scorers.

`oracle` reads the simulator's events and answers one question per kind of progress (`vlmrb.events.PROGRESS_KINDS`). `reward`
reads the rewards and `random` nothing at all, with one answer each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlmrb.events import net_events, progress_by_kind
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore, Prompt, ScoringRequest


class ControlScorer:
    """Labels clips by a rule; ignores prompt and frames.

    Args:
        name: name shown to people, such as 'oracle' or 'random:0.25'.
        answers: the rule: a clip's answers, at least one.
        threshold: stored with each score; P(yes) is 0 or 1.
    """

    frames_per_clip = 0

    def __init__(self, name: str, answers: Callable[[Clip], tuple[bool, ...]], threshold: float) -> None:
        self._name, self._answers, self._threshold = name, answers, threshold

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """Label each clip."""
        return [self._score(request.clip) for request in requests]

    def _score(self, clip: Clip) -> ClipScore:
        answers = tuple(float(says_yes) for says_yes in self._answers(clip))
        return ClipScore(
            clip.clip_id, max(answers), None, None, self._threshold, self._name, self._name, "", None, answers=answers
        )

    def close(self) -> None:
        """Nothing to free."""


def holds_progress(clip: Clip) -> tuple[bool, ...]:
    """`oracle`: the simulator reports progress of this kind in the clip, for each of `PROGRESS_KINDS`."""
    return progress_by_kind(clip.events)


def keeps_progress(clip: Clip) -> tuple[bool, ...]:
    """`oracle` with net progress: as `holds_progress`, but what is undone within the clip does not count."""
    return progress_by_kind(net_events(clip.events))


def holds_reward(clip: Clip) -> tuple[bool]:
    """`reward`: the clip contains a positive reward. The VLM-free counterpart of a goal-satisfaction prompt."""
    return (bool((clip.rewards > 0).any()),)


def at_random(rate: float, seed: int) -> Callable[[Clip], tuple[bool]]:
    """`random`: yes at a fixed rate, whatever the clip shows; with the same seed, a run's nth clip always gets the same label."""
    return lambda clip: (bool(np.random.default_rng([seed, clip.clip_id % CLIPS_PER_RUN]).random() < rate),)
