"""Any Gymnasium environment with a `Discrete` or `Box` action space and `rgb_array` rendering; its snapshots are frames.

Where it has goals (`vlmrb.envs.goals`), the agent sees them after the observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.actions import BoxActions
from vlmrb.envs.base import Action, EnvStep
from vlmrb.envs.checks import as_flag, as_reward
from vlmrb.envs.frames import FrameMaker
from vlmrb.envs.goals import GoalObservations, computed_rewards, has_goals
from vlmrb.envs.missions import mission_of
from vlmrb.envs.observations import Observations
from vlmrb.envs.success import SuccessRule
from vlmrb.envs.wrapping import wrappers_of
from vlmrb.errors import EnvironmentFailedError, EnvironmentSetupError, shown
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
        actions, space = _space_of(env, "action_space", name), _space_of(env, "observation_space", name)
        self._box = BoxActions(actions, name) if isinstance(actions, gym.spaces.Box) else None
        if self._box is None and not isinstance(actions, gym.spaces.Discrete):
            raise EnvironmentSetupError(f"{name}: the action space is {actions}; agents need Discrete or Box")
        self._env = env
        self._first_action = 0 if self._box else int(actions.start)
        self.action_spec = self._box.spec if self._box else ActionSpec(n=int(actions.n))
        self._goals = GoalObservations(space, name) if has_goals(space) else None
        self._observations = self._goals or Observations(space, name)
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
        return self._observations.read(_first_of(self._env.reset(seed=seed)))

    def step(self, action: Action) -> EnvStep:
        """Act."""
        own = self._first_action + int(action) if self._box is None else self._box.map(np.asarray(action))
        observation, given, ended, cut_off, info = self._env.step(own)
        reward, terminated, truncated = as_reward(given), as_flag(ended, "terminated"), as_flag(cut_off, "truncated")
        success = self._success.step(_reported(info), reward, terminated or truncated)
        events = (Event("success"),) if self._success.came_now else ()
        achieved = self._goals.achieved(observation) if self._goals else None
        seen = self._observations.read(observation)
        return EnvStep(seen, reward, terminated, truncated, success, events, achieved)

    def snapshot(self) -> np.ndarray:
        """The frame itself, uint8 [H, W, 3]."""
        return self._frames.draw(self._env)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def _space_of(env: gym.Env, which: str, name: str) -> Any:
    """The 'action_space' or 'observation_space' of an environment.

    Raises:
        EnvironmentSetupError: it has none.
    """
    space = getattr(env, which, None)
    if not isinstance(space, gym.Space):
        raise EnvironmentSetupError(f"{name}: its {which} is {shown(space, form=str)}; it must be one of gymnasium.spaces")
    return space


def _first_of(result: Any) -> Any:
    """The first observation, of what `reset` returned.

    Raises:
        EnvironmentFailedError: it returned something else, such as the observation alone.
    """
    if isinstance(result, (tuple, list)) and len(result) == 2 and (result[1] is None or isinstance(result[1], Mapping)):
        return result[0]
    raise EnvironmentFailedError(f"reset returned {shown(result)}; it must return an observation and a dict of info")


def _reported(info: Any) -> Any:
    """What a step reports of success, None for nothing.

    Raises:
        EnvironmentFailedError: its info is no dict.
    """
    if info is None:
        return None
    if not isinstance(info, Mapping):
        raise EnvironmentFailedError(f"the info of the step is {shown(info)}; it must be a dict")
    reported = info.get("is_success")
    return info.get("success") if reported is None else reported


def _time_limit(env: gym.Env) -> int | None:
    """Steps after which Gymnasium itself ends an episode, as far as it says so."""
    limits = [env.spec.max_episode_steps] if env.spec else []
    limits += [wrapper._max_episode_steps for wrapper in wrappers_of(env) if isinstance(wrapper, gym.wrappers.TimeLimit)]
    return max((int(limit) for limit in limits if limit is not None and limit > 0), default=None)
