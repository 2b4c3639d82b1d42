"""Label sources other than a VLM, as controls for its labels. Always shown as control scorers.

`oracle` reads the simulator's events and answers one question per kind of progress (`vlmrb.events.PROGRESS_KINDS`). `reward`
reads the rewards and `random` nothing at all, with one answer each. Of other missions, `oracle` knows whether the clip's last
step accomplished them, and `random` says yes at its rate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlmrb.events import net_events, progress_by_kind
from vlmrb.truths import accomplished
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore, Prompt, ScoringRequest

Missions = Callable[[ScoringRequest, tuple[str, ...]], tuple[bool | None, ...]]
"""Whether the clip's last step accomplished each of some missions; None for unknown."""


class ControlScorer:
    """Labels clips by a rule; ignores frames and, of the prompt, all but the other missions.

    Args:
        name: name shown to people, such as 'oracle' or 'random:0.25'.
        answers: the rule: a clip's answers, at least one.
        threshold: stored with each score; P(yes) is 0 or 1.
        missions: what it knows of other missions; None for nothing.
    """

    frames_per_clip = 0

    def __init__(
        self, name: str, answers: Callable[[Clip], tuple[bool, ...]], threshold: float, missions: Missions | None = None
    ) -> None:
        self._name, self._answers, self._threshold, self._missions = name, answers, threshold, missions

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """Label each clip."""
        asked = () if prompt.others is None else prompt.others.missions
        return [self._score(request, asked) for request in requests]

    def _score(self, request: ScoringRequest, asked: tuple[str, ...]) -> ClipScore:
        clip, own = request.clip, tuple(float(says_yes) for says_yes in self._answers(request.clip))
        said = (None,) * len(asked) if self._missions is None else self._missions(request, asked)
        answers = own + tuple(None if says_yes is None else float(says_yes) for says_yes in said)
        return ClipScore(clip.clip_id, max(own), None, None, self._threshold, self._name, self._name, "", None, answers=answers)

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


def truly_done(request: ScoringRequest, missions: tuple[str, ...]) -> tuple[bool | None, ...]:
    """`oracle`: whether the clip's last step accomplished each of these missions (`vlmrb.truths.accomplished`)."""
    clip = request.clip
    events = [event for at, event in clip.events if at == len(clip) - 1]
    return tuple(accomplished(mission, request.ahead, events) for mission in missions)


def done_at_random(rate: float, seed: int) -> Missions:
    """`random`: yes to each mission at a fixed rate; with the same seed, a run's nth clip always gets the same answers."""

    def answer(request: ScoringRequest, missions: tuple[str, ...]) -> tuple[bool, ...]:
        rng = np.random.default_rng([seed, request.clip.clip_id % CLIPS_PER_RUN, 1])
        return tuple(bool(point < rate) for point in rng.random(len(missions)))

    return answer
