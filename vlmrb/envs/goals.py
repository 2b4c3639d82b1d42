"""Tasks with goals, in Gymnasium's convention: observations with a goal to reach and the one that has been achieved.

The observation space is a `Dict` of 'observation', 'achieved_goal' and 'desired_goal'; the agent sees the first and the last.
`compute_reward(achieved_goal, desired_goal, info)` is what a step earns, `compute_terminated` (optional) whether it ends the
episode. Both are called for many goals at once, with an empty info.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.checks import MAX_NUMBER, check_finite, failed
from vlmrb.envs.observations import Observations
from vlmrb.errors import EnvironmentFailedError, EnvironmentSetupError, shown
from vlmrb.types import Judged, JudgeGoals, ObservationSpec

KEYS = {"observation", "achieved_goal", "desired_goal"}
"""What the observations of a task with goals consist of."""


def has_goals(space: gym.Space) -> bool:
    """Whether an observation space is that of a task with goals."""
    return isinstance(space, gym.spaces.Dict) and set(space.spaces) == KEYS


class GoalObservations:
    """Reads the observations of a task with goals: a vector, of which the last values are the desired goal.

    Args:
        space: of the environment; `has_goals` is true.
        name: the environment's name, for errors.

    Raises:
        EnvironmentSetupError: a goal is no flat vector of numbers, the two differ in size, or the observation is an image.
    """

    def __init__(self, space: gym.spaces.Dict, name: str) -> None:
        self._name = name
        sizes = {key: _size_of_goal(space[key], key, name) for key in ("achieved_goal", "desired_goal")}
        if sizes["achieved_goal"] != sizes["desired_goal"]:
            raise EnvironmentSetupError(
                f"{name}: achieved_goal has the size {sizes['achieved_goal']} and desired_goal {sizes['desired_goal']}; they "
                "must be of one size, so that one can take the place of the other. Mend the environment's observation space"
            )
        self.goal_size = sizes["desired_goal"]
        self._observations = Observations(space["observation"], name)
        if self._observations.spec.kind != "vector":
            raise EnvironmentSetupError(
                f"{name}: 'observation' is an image, which no goal can be appended to; a task with goals needs vectors. Register "
                "it with a wrapper that flattens 'observation'"
            )
        self.spec = ObservationSpec(
            "vector", (self._observations.spec.shape[0] + self.goal_size,), "float32", goal=self.goal_size
        )

    def read(self, observation: Any) -> np.ndarray:
        """What the agent sees: float32 [D + G].

        Raises:
            EnvironmentFailedError: a part is missing, of another size than in its space, NaN or infinite.
        """
        return np.concatenate(
            [self._observations.read(self._part(observation, "observation")), self._goal(observation, "desired")]
        )

    def achieved(self, observation: Any) -> np.ndarray:
        """The goal that has been achieved, float32 [G]. Raises like `read`."""
        return self._goal(observation, "achieved")

    def _goal(self, observation: Any, which: str) -> np.ndarray:
        goal = np.asarray(self._part(observation, f"{which}_goal"))
        if goal.shape != (self.goal_size,) or goal.dtype.kind not in "biuf":
            raise EnvironmentFailedError(
                f"{which}_goal is {shown(goal, form=str)}, but its space is a vector of numbers, of size {self.goal_size}"
            )
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which is refused
            return check_finite(goal.astype(np.float32), f"{which}_goal")

    def _part(self, observation: Any, key: str) -> Any:
        try:
            return observation[key]
        except (KeyError, IndexError, TypeError) as error:
            raise EnvironmentFailedError(f"the observation has no {key!r}, but its space has") from error


def _size_of_goal(space: gym.Space, key: str, name: str) -> int:
    """How many numbers a goal has.

    Raises:
        EnvironmentSetupError: it is no flat vector of numbers.
    """
    is_vector = (isinstance(space, gym.spaces.Box) and space.dtype.kind in "iuf") or isinstance(space, gym.spaces.MultiBinary)
    if not is_vector or len(space.shape) != 1 or space.shape[0] == 0:
        raise EnvironmentSetupError(
            f"{name}: {key} is {shown(space, 200, str)}; goals must be flat vectors of numbers: a Box of one dimension, or a "
            "MultiBinary. Register the environment with a wrapper that gives such goals, or that names them otherwise: then they "
            "are an ordinary part of the observation"
        )
    return int(space.shape[0])


def computed_rewards(env: gym.Env, name: str) -> JudgeGoals | None:
    """What an environment's own `compute_reward` and `compute_terminated` say of goals; None if it has no `compute_reward`."""
    reward = _function(env, "compute_reward")
    if reward is None:
        return None
    return ComputedRewards(reward, _function(env, "compute_terminated"), env.observation_space, name)


def _function(env: gym.Env, name: str) -> Callable[..., Any] | None:
    """A function of the environment, or of one of its wrappers, where there is one."""
    found = env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None
    return found if callable(found) else None


class ComputedRewards:
    """Asks an environment for rewards, for all goals of a batch in one call.

    Args:
        reward: compute_reward(achieved_goal, desired_goal, info).
        terminated: the same for the end of the episode; None if the environment has no such function.
        space: of its observations; goals are given in the dtypes that it says.
        name: the environment's name, for errors.
    """

    def __init__(
        self, reward: Callable[..., Any], terminated: Callable[..., Any] | None, space: gym.spaces.Dict, name: str
    ) -> None:
        self._reward, self._terminated, self._name = reward, terminated, name
        self._dtypes = space["achieved_goal"].dtype, space["desired_goal"].dtype

    def __call__(self, achieved: np.ndarray, desired: np.ndarray) -> Judged:
        """Judge steps (`JudgeGoals`).

        Raises:
            EnvironmentFailedError: the environment fails, or what it gives is not one number for each step.
        """
        given = achieved.astype(self._dtypes[0]), desired.astype(self._dtypes[1])
        rewards = self._one_each(self._ask("compute_reward", self._reward, *given), "compute_reward", len(achieved))
        wrong = ~(np.abs(rewards) <= MAX_NUMBER)  # NaN is wrong too
        if wrong.any():
            raise EnvironmentFailedError(
                f"{self._name}: compute_reward gives {rewards[wrong][0]}; rewards must be finite numbers (of at most "
                f"{MAX_NUMBER:.2g})"
            )
        if self._terminated is None:
            return Judged(rewards.astype(np.float32), None)
        ends = self._ask("compute_terminated", self._terminated, *given)
        if isinstance(ends, bool | np.bool_) and not ends:  # the usual answer of tasks that go on
            return Judged(rewards.astype(np.float32), np.zeros(len(achieved), bool))
        return Judged(rewards.astype(np.float32), self._one_each(ends, "compute_terminated", len(achieved)) != 0)

    def _ask(self, name: str, function: Callable[..., Any], achieved: np.ndarray, desired: np.ndarray) -> Any:
        try:
            return function(achieved, desired, {})
        except BaseException as error:  # the environment's own code
            raise failed(error, self._name, f"{name} for {len(achieved)} goals at once") from error

    def _one_each(self, given: Any, name: str, count: int) -> np.ndarray:
        """float64 [count]"""
        try:
            numbers = np.asarray(given)
        except Exception:  # noqa: BLE001  lists of different lengths; tensors that do not convert themselves
            numbers = np.empty(0)
        if numbers.shape not in ((count,), (count, 1)) or numbers.dtype.kind not in "biuf":
            raise EnvironmentFailedError(
                f"{self._name}: {name} gives {shown(given, form=str)} for {count} goals at once; it must give {count} numbers, "
                "one for each row of achieved_goal and desired_goal (np.linalg.norm(achieved_goal - desired_goal, axis=-1) does)"
            )
        return numbers.astype(np.float64).reshape(count)
