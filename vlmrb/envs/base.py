"""The environment interface that the engine uses, whatever the suite."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from vlmrb.types import ActionSpec, Event, ObservationSpec

Action = int | np.ndarray
"""One action of one environment: a choice (int or int64), or float32 [A] in [−1, 1]."""


class EnvStep(NamedTuple):
    """One step of one environment."""

    observation: np.ndarray  # [*shape]
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None  # of the episode: known at its end, if at all; True as soon as nothing can change that
    events: tuple[Event, ...]  # ground truth, never shown to the learner
    achieved_goal: np.ndarray | None = None  # float32 [G], of a task with goals: what the step has led to


class Environment(Protocol):
    """One environment with explicit success, simulator events and cheap snapshots.

    That of a task with goals (`ObservationSpec.goal`) also has `judge`, a `JudgeGoals`, as far as it can tell what its steps
    would have been worth with another goal.
    """

    observation_spec: ObservationSpec
    action_spec: ActionSpec
    render_spec: dict[str, Any]
    """JSON recipe for `make_renderer`: turns snapshots into frames in any process."""
    success_rule: str
    """When an episode counts as a success, in words."""

    @property
    def mission(self) -> str:
        """What the present episode is about, in words; '' if it does not say."""

    @property
    def time_limit(self) -> int | None:
        """Steps after which it ends an episode by itself, as far as it says so."""

    @property
    def notice(self) -> str:
        """What it reported that cannot be used, in words; '' if nothing. The run goes on."""

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode with this seed and return its first observation."""

    def step(self, action: Action) -> EnvStep:
        """Act. After an episode has ended, call `reset` first."""

    def snapshot(self) -> np.ndarray:
        """Everything that a frame of the current state depends on: uint8 [S], or the frame itself, uint8 [H, W, 3]."""

    def close(self) -> None:
        """Release its resources."""
