"""Tasks with goals in Gymnasium's convention: a point in the plane, and what may be wrong with such tasks.

Ids such as 'tests.goal_environments:Point-v0'.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

MODULE = __name__
RADIUS = 0.15
"""How near is near enough."""

MOVES = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float64)


class Point(gym.Env):
    """A point moves through [−1, 1]² to a goal that is drawn anew in every episode; −1 for each step, 0 at the goal.

    Args:
        discrete: whether it moves in four directions, or anywhere.
        ends: whether an episode ends at the goal; then it says so in `compute_terminated`.
        length: steps of an episode.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, discrete: bool = False, ends: bool = False, length: int = 30) -> None:
        self.render_mode, self._ends, self._length = render_mode, ends, length
        plane = gym.spaces.Box(-1, 1, (2,), np.float64)
        self.observation_space = gym.spaces.Dict({"observation": plane, "achieved_goal": plane, "desired_goal": plane})
        self.action_space = gym.spaces.Discrete(4) if discrete else gym.spaces.Box(-1, 1, (2,), np.float32)
        self.asked: list[int] = []
        if ends:
            self.compute_terminated = self._is_there

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._place, self._goal, self._steps = np.zeros(2), self.np_random.uniform(-1, 1, 2), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        move = MOVES[int(action)] if isinstance(self.action_space, gym.spaces.Discrete) else np.asarray(action)
        self._place = np.clip(self._place + 0.1 * move, -1, 1)
        self._steps += 1
        seen = self._observation()
        there = bool(self._is_there(seen["achieved_goal"], seen["desired_goal"], {}))
        reward = float(self._reward(there))
        return seen, reward, there and self._ends, self._steps >= self._length, {"is_success": there}

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        self.asked.append(len(achieved_goal))
        return self._reward(self._is_there(achieved_goal, desired_goal, info))

    def render(self) -> np.ndarray:
        return np.zeros((8, 8, 3), np.uint8)

    def _observation(self) -> dict[str, np.ndarray]:
        return {"observation": self._place.copy(), "achieved_goal": self._place.copy(), "desired_goal": self._goal.copy()}

    def _is_there(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        return np.linalg.norm(achieved_goal - desired_goal, axis=-1) <= RADIUS

    def _reward(self, there: Any) -> Any:
        return np.where(there, 0.0, -1.0)


class Silent(Point):
    """Its steps have rewards, and it does not say how they come about."""

    compute_reward = None


class OneAtATime(Point):
    """Judges only one goal at a time."""

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        return 0.0 if np.linalg.norm(achieved_goal - desired_goal) <= RADIUS else -1.0


class EndsOneAtATime(Point):
    """Judges only one end at a time."""

    def compute_terminated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> bool:
        return bool(np.linalg.norm(achieved_goal - desired_goal) <= RADIUS)


class OnAnotherScale(Point):
    """Its steps earn something else than its compute_reward says."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, reward, *rest = super().step(action)
        return seen, 10 * reward - 1, *rest


class Failing(Point):
    """Its compute_reward has a mistake in it."""

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        return info["no_such_thing"]


class NotANumber(Point):
    """Its compute_reward gives NaN."""

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        return np.full(len(achieved_goal), np.nan)


class NotANumberLater(Point):
    """Its compute_reward gives NaN from the tenth batch on."""

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        rewards = super().compute_reward(achieved_goal, desired_goal, info)
        return rewards if len(self.asked) < 10 else rewards * np.nan


class Spaces(Point):
    """Only its spaces matter: a trial of it fails before a step."""

    def __init__(self, render_mode: str | None = None, **spaces: gym.Space) -> None:
        super().__init__(render_mode)
        self.observation_space = gym.spaces.Dict({**self.observation_space.spaces, **spaces})


class BitFlips(gym.Env):
    """Bits to be flipped one by one until they are as wanted; MultiBinary goals, and the bits are also what is observed."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, bits: int = 6) -> None:
        self.render_mode, self._bits = render_mode, bits
        space = gym.spaces.MultiBinary(bits)
        self.observation_space = gym.spaces.Dict({"observation": space, "achieved_goal": space, "desired_goal": space})
        self.action_space = gym.spaces.Discrete(bits)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._state, self._goal = self.np_random.integers(0, 2, (2, self._bits), np.int8)
        self._steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._state = self._state.copy()
        self._state[int(action)] ^= 1
        self._steps += 1
        reward = float(self.compute_reward(self._state, self._goal, {}))
        return self._observation(), reward, False, self._steps >= self._bits, {"is_success": reward == 0}

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        return (achieved_goal == desired_goal).all(axis=-1) - 1.0

    def render(self) -> np.ndarray:
        return np.zeros((8, 8, 3), np.uint8)

    def _observation(self) -> dict[str, np.ndarray]:
        return {"observation": self._state, "achieved_goal": self._state, "desired_goal": self._goal}


def _register(name: str, kind: type[gym.Env], **settings: Any) -> None:
    gym.register(f"{name}-v0", entry_point=kind, kwargs=settings)


_register("Point", Point)
_register("PointEnds", Point, ends=True)
_register("PointSteps", Point, discrete=True)
_register("PointStepsEnds", Point, discrete=True, ends=True)
_register("Silent", Silent)
_register("OneAtATime", OneAtATime)
_register("EndsOneAtATime", EndsOneAtATime)
_register("OnAnotherScale", OnAnotherScale)
_register("Failing", Failing)
_register("NotANumber", NotANumber)
_register("NotANumberLater", NotANumberLater, discrete=True)
_register("BitFlips", BitFlips)
_PLANE = gym.spaces.Box(-1, 1, (2,), np.float64)
_register("DiscreteGoal", Spaces, achieved_goal=gym.spaces.Discrete(3), desired_goal=gym.spaces.Discrete(3))
_register("PictureGoal", Spaces, desired_goal=gym.spaces.Box(0, 255, (40, 40, 3), np.uint8))
_register("TableGoal", Spaces, achieved_goal=gym.spaces.Box(-1, 1, (2, 2)), desired_goal=gym.spaces.Box(-1, 1, (2, 2)))
_register("UnlikeGoals", Spaces, desired_goal=gym.spaces.Box(-1, 1, (3,), np.float64))
_register("EmptyGoal", Spaces, achieved_goal=gym.spaces.Box(-1, 1, (0,)), desired_goal=gym.spaces.Box(-1, 1, (0,)))
_register("PictureOfPoint", Spaces, observation=gym.spaces.Box(0, 255, (40, 40, 3), np.uint8))
_register("MoreThanGoals", Spaces, extra=_PLANE)
