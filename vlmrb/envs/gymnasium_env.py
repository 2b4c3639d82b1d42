"""Any Gymnasium environment with a `Discrete` or `Box` action space and `rgb_array` rendering; its snapshots are frames.

Where it has goals (`vlmrb.envs.goals`), the agent sees them after the observation.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.actions import BoxActions
from vlmrb.envs.base import Action, EnvStep
from vlmrb.envs.checks import as_reward
from vlmrb.envs.frames import FrameMaker
from vlmrb.envs.goals import GoalObservations, computed_rewards, has_goals
from vlmrb.envs.missions import mission_of
from vlmrb.envs.observations import Observations
from vlmrb.envs.success import SuccessRule
from vlmrb.envs.wrapping import wrappers_of
from vlmrb.errors import EnvironmentSetupError
from vlmrb.types import ActionSpec, Event


class GymnasiumEnvironment:
    """One Gymnasium environment.

    A success is what a step reports as `info['is_success']` or `info['success']`; where it reports none, a return of at least
    the registered reward threshold; if there is none, unknown (`SuccessRule`).

    Args:
        env: created with render_mode='rgb_array'.
        success_return: return at which a step counts as a success, or None for the environment's own rule.
        success_step: 'last' if the last step of an episode decides, 'any' if any step does.
    """

    def __init__(self, env: gym.Env, success_return: float | None = None, success_step: str = "last") -> None:
        name = env.spec.id if env.spec else type(env.unwrapped).__name__
        self._box = BoxActions(env.action_space, name) if isinstance(env.action_space, gym.spaces.Box) else None
        if self._box is None and not isinstance(env.action_space, gym.spaces.Discrete):
            raise EnvironmentSetupError(f"{name}: the action space is {env.action_space}; agents need Discrete or Box")
        self._env = env
        self._first_action = 0 if self._box else int(env.action_space.start)
        self.action_spec = self._box.spec if self._box else ActionSpec(n=int(env.action_space.n))
        self._goals = GoalObservations(env.observation_space, name) if has_goals(env.observation_space) else None
        self._observations = self._goals or Observations(env.observation_space, name)
        self.observation_spec = self._observations.spec
        self.judge = computed_rewards(env, name) if self._goals else None
        registered = env.spec.reward_threshold if env.spec else None
        otherwise = "unknown" if registered is None else f"a return of at least {registered:g}"
        own = f"info['is_success'] or info['success'] where reported, otherwise {otherwise}"
        self._success = SuccessRule(own, success_return, success_step, registered)
        self.success_rule = self._success.words
        self.time_limit = _time_limit(env)
        self.render_spec: dict[str, Any] = {"kind": "frames"}
        self._frames = FrameMaker(name)

    @property
    def mission(self) -> str:
        """What the present episode is about, if the environment says so."""
        return mission_of(self._env)

    @property
    def notice(self) -> str:
        """What it reported as success that is no truth value; '' if nothing."""
        return self._success.notice

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode with this seed."""
        self._success.begin()
        self._frames.begin_episode()
        observation, _ = self._env.reset(seed=seed)
        return self._observations.read(observation)

    def step(self, action: Action) -> EnvStep:
        """Act."""
        own = self._first_action + int(action) if self._box is None else self._box.map(np.asarray(action))
        observation, given, terminated, truncated, info = self._env.step(own)
        reward, ended = as_reward(given), bool(terminated or truncated)
        success = self._success.step(_reported(info), reward, ended)
        events = (Event("success"),) if self._success.came_now else ()
        achieved = self._goals.achieved(observation) if self._goals else None
        seen = self._observations.read(observation)
        return EnvStep(seen, reward, bool(terminated), bool(truncated), success, events, achieved)

    def snapshot(self) -> np.ndarray:
        """The frame itself, uint8 [H, W, 3]."""
        return self._frames.draw(self._env)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def _reported(info: Any) -> Any:
    """What a step reports of success, None for nothing."""
    reported = info.get("is_success")
    return info.get("success") if reported is None else reported


def _time_limit(env: gym.Env) -> int | None:
    """Steps after which Gymnasium itself ends an episode, as far as it says so."""
    limits = [env.spec.max_episode_steps] if env.spec else []
    limits += [wrapper._max_episode_steps for wrapper in wrappers_of(env) if isinstance(wrapper, gym.wrappers.TimeLimit)]
    return max((int(limit) for limit in limits if limit is not None and limit > 0), default=None)
