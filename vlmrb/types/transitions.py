"""One step of the environments, a minibatch of transitions, and the result of learning from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

ItemId = int
"""Permanent number of a transition. Ring buffer slots are reused, item ids never are."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in the simulator in one step: ground truth for judging labels. Never reaches the learner.

    Attributes:
        name: what happened: 'picked_up', 'dropped', 'unlocked', 'opened', 'closed', 'goal_reached', 'died', 'success', …
        object: type of the object involved ('key', 'door', …) or ''.
        color: its colour or ''.
    """

    name: str
    object: str = ""
    color: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.color, self.object) if part)


class Transition(NamedTuple):
    """One step of all E parallel environments.

    `next_observation` is the result of the action even where an episode ended (never the first one of the next
    episode). Bootstrap on `terminated` only; `truncated` cuts the n-step return without a terminal value.
    """

    observation: np.ndarray  # [E, *shape]
    action: np.ndarray  # int64 [E], or float32 [E, A] in [−1, 1]
    reward: np.ndarray  # float32 [E]
    next_observation: np.ndarray  # [E, *shape]
    terminated: np.ndarray  # bool [E]
    truncated: np.ndarray  # bool [E]
    achieved_goal: np.ndarray | None = None  # float32 [E, G], what the action led to; None for tasks without goals


class Judged(NamedTuple):
    """What steps would have been worth, had their goals been others."""

    rewards: np.ndarray  # float32 [N]
    terminated: np.ndarray | None  # bool [N]; None where the task does not say: it ends as it ended for its own goal


JudgeGoals = Callable[[np.ndarray, np.ndarray], Judged]
"""From the goals that steps achieved (float32 [N, G]) and those that they are judged by (float32 [N, G])."""


class Batch(NamedTuple):
    """A minibatch, with the exact probability with which each item was drawn.

    `discounts` is γ^k for a k-step return (k ≤ n); the target is rewards + discounts·(1 − terminated)·V(next).
    """

    observations: np.ndarray  # [B, *shape]
    actions: np.ndarray  # int64 [B], or float32 [B, A] in [−1, 1]
    rewards: np.ndarray  # float32 [B], k-step discounted return
    next_observations: np.ndarray  # [B, *shape], k steps later
    terminated: np.ndarray  # float32 [B], 0 or 1
    discounts: np.ndarray  # float32 [B]
    item_ids: np.ndarray  # int64 [B]
    probabilities: np.ndarray  # float64 [B]
    weights: np.ndarray  # float32 [B], importance weights in (0, 1]; all 1 if not used


class Feedback(NamedTuple):
    """What the agent reports about the items of a batch; None for what the replay method does not need."""

    td_errors: np.ndarray  # float32 [B], signed
    reducible_losses: np.ndarray | None = None  # float32 [B], loss of the online network minus that of the target network


class AgentUpdate(NamedTuple):
    """The result of one gradient step."""

    feedback: Feedback
    metrics: dict[str, float]


class Episode(NamedTuple):
    """A finished episode."""

    step: int  # step at which it ended
    env_index: int
    number: int  # within the run
    seed: int  # the seed it was reset with
    length: int
    episodic_return: float
    success: bool | None  # None if the environment has no notion of success
