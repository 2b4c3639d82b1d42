"""Any Gymnasium environment with a `Discrete` or `Box` action space and `rgb_array` rendering; its snapshots are frames."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.actions import BoxActions
from vlmrb.envs.base import Action, EnvStep
from vlmrb.envs.frames import FrameMaker
from vlmrb.errors import EnvironmentSetupError
from vlmrb.types import ActionSpec, Event, ObservationSpec


class GymnasiumEnvironment:
    """One Gymnasium environment.

    With `success_return`, an episode is a success if its return reaches it. Otherwise success is `info['is_success']` or
    `info['success']` if the environment reports one, else whether the return reaches the registered reward threshold,
    else unknown (None).

    Args:
        env: created with render_mode='rgb_array'.
        success_return: return at which an episode counts as a success, or None for the environment's own rule.
    """

    def __init__(self, env: gym.Env, success_return: float | None = None) -> None:
        name = env.spec.id if env.spec else type(env.unwrapped).__name__
        self._box = BoxActions(env.action_space, name) if isinstance(env.action_space, gym.spaces.Box) else None
        if self._box is None and not isinstance(env.action_space, gym.spaces.Discrete):
            raise EnvironmentSetupError(f"{name}: the action space is {env.action_space}; agents need Discrete or Box")
        if not isinstance(env.observation_space, gym.spaces.Box):
            env = gym.wrappers.FlattenObservation(env)
        self._env = env
        self._first_action = 0 if self._box else int(env.action_space.start)
        self.action_spec = self._box.spec if self._box else ActionSpec(n=int(env.action_space.n))
        self.observation_spec = _spec(env.observation_space, name)
        registered = env.spec.reward_threshold if env.spec else None
        self._success_return = success_return if success_return is not None else registered
        self._own_rule = success_return is None
        self.success_rule = self._rule_in_words()
        self.render_spec: dict[str, Any] = {"kind": "frames"}
        self._frames = FrameMaker(name)
        self._return = 0.0

    def _rule_in_words(self) -> str:
        if not self._own_rule:
            return f"the episode's return reached {self._success_return:g}"
        if self._success_return is None:
            return "info['is_success'] or info['success'] where reported, otherwise unknown"
        return f"info['is_success'] or info['success'] where reported, otherwise a return of at least {self._success_return:g}"

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode with this seed."""
        self._return = 0.0
        self._frames.begin_episode()
        observation, _ = self._env.reset(seed=seed)
        return self._shape(observation)

    def step(self, action: Action) -> EnvStep:
        """Act."""
        own = self._first_action + int(action) if self._box is None else self._box.map(np.asarray(action))
        observation, reward, terminated, truncated, info = self._env.step(own)
        self._return += float(reward)
        success: bool | None = None
        events: tuple[Event, ...] = ()
        if terminated or truncated:
            success = self._success(info)
            events = (Event("success"),) if success else ()
        return EnvStep(self._shape(observation), float(reward), bool(terminated), bool(truncated), success, events)

    def _success(self, info: dict) -> bool | None:
        reported = info.get("is_success", info.get("success"))
        if self._own_rule and reported is not None:
            return bool(reported)
        return None if self._success_return is None else self._return >= self._success_return

    def _shape(self, observation: np.ndarray) -> np.ndarray:
        return np.asarray(observation, self.observation_spec.dtype).reshape(self.observation_spec.shape)

    def snapshot(self) -> np.ndarray:
        """The frame itself, uint8 [H, W, 3]."""
        return self._frames.draw(self._env)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def _spec(space: gym.spaces.Box, name: str) -> ObservationSpec:
    if len(space.shape) == 3 and space.dtype == np.uint8:
        return ObservationSpec("image", tuple(space.shape), "uint8")
    if len(space.shape) > 3 or 0 in space.shape:
        raise EnvironmentSetupError(f"{name}: observations of shape {space.shape}; allowed: vectors and (H, W, C) images")
    return ObservationSpec("vector", (int(np.prod(space.shape)),), "float32")
