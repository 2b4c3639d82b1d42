"""Environments that do what some environments out there do. Each is the same short walk, but for one thing.

Ids such as 'tests.odd_environments:NanReward-v0'; the odd thing happens from the 30th step of the environment on, so that
a trial before the run does not see it, unless it is about the spaces.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

MODULE = __name__
LENGTH = 10  # steps of an episode

made: list[str] = []
"""Ids of the environments that were created."""


class Walk(gym.Env):
    """Ten steps, each with a reward of 1.

    Args:
        odd: by 'reward', 'observation', 'first_observation', 'success' or 'error': what to give from step `since` on.
        success: what is reported at each step of an episode, by its number; LENGTH is the last.
        ends: whether an episode ever ends.
        space: of observations; its samples are what is observed.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    action_space = gym.spaces.Discrete(3)

    def __init__(
        self,
        render_mode: str | None = None,
        odd: dict[str, Any] | None = None,
        since: int = 30,
        success: dict[int, Any] | None = None,
        ends: bool = True,
        space: gym.Space | None = None,
        action_space: gym.Space | None = None,
    ) -> None:
        self.render_mode, self._odd, self._since, self._success, self._ends = render_mode, odd or {}, since, success, ends
        self._space = space
        self.observation_space = space or gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = action_space or self.action_space
        self._steps = self._place = 0
        made.append(type(self).__name__)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self._place = 0
        return self._given("first_observation", self._observation()), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._steps += 1
        self._place += 1
        if "error" in self._odd and self._steps >= self._since:
            raise self._odd["error"]
        reported = (self._success or {}).get(self._place)
        info = {} if reported is None else {"is_success": self._given("success", reported)}
        ended = self._ends and self._place >= LENGTH
        return self._given("observation", self._observation()), self._given("reward", 1.0), ended, False, info

    def render(self) -> np.ndarray:
        return np.full((8, 8, 3), self._place, np.uint8)

    def _observation(self) -> Any:
        return np.array([self._place / LENGTH, 1.0], np.float32) if self._space is None else self._space.sample()

    def _given(self, what: str, usual: Any) -> Any:
        return self._odd[what] if what in self._odd and self._steps >= self._since else usual


class OldStep(Walk):
    """Four values, as before Gymnasium."""

    def step(self, action: Any) -> Any:
        return super().step(action)[:4]


class LostFile(Walk):
    """Its package lacks a file that `reset` reads."""

    def reset(self, **options: Any) -> Any:
        raise FileNotFoundError(2, "No such file or directory", "patterns/maze.png")


class NoPicture(Walk):
    """Cannot draw."""

    def render(self) -> np.ndarray:
        raise RuntimeError("no display")


class HeldOutNan(Walk):
    """NaN in evaluation alone."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._odd, self._since = ({"reward": np.nan}, 0) if seed is not None and seed >= 2**30 else ({}, 0)
        return super().reset(seed=seed)


class ClosesBadly(Walk):
    """Its window is gone."""

    def close(self) -> None:
        raise RuntimeError("the window is gone")


class PythonNumbers(Walk):
    """Insists on Python's own int."""

    def step(self, action: Any) -> Any:
        assert type(action) is int, type(action)
        return super().step(action)


NAN, INF = float("nan"), float("inf")
BOX, IMAGE = gym.spaces.Box, np.uint8
SPACES: dict[str, gym.Space] = {
    "ChannelFirst": BOX(0, 255, (3, 40, 44), IMAGE),
    "Stacked": BOX(0, 255, (4, 36, 36), IMAGE),
    "TinyImage": BOX(0, 255, (8, 8, 3), IMAGE),
    "FourDimensions": BOX(0, 255, (4, 40, 40, 3), IMAGE),
    "Wide": BOX(0, 255, (400, 400, 3), IMAGE),
    "DictOfAll": gym.spaces.Dict(
        place=BOX(-1, 1, (2, 2), np.float64), on=gym.spaces.Discrete(3), flags=gym.spaces.MultiBinary(2), word=gym.spaces.Text(4)
    ),
    "TupleOfAll": gym.spaces.Tuple((gym.spaces.MultiDiscrete([2, 3]), BOX(0, 1, (), np.float32))),
    "WithSequence": gym.spaces.Dict(many=gym.spaces.Sequence(gym.spaces.Discrete(2))),
    "Graph": gym.spaces.Graph(gym.spaces.Discrete(2), None),
    "Huge": gym.spaces.Discrete(2**40),
}


def _register(name: str, entry_point: Any = Walk, **settings: Any) -> None:
    gym.register(f"{name}-v0", entry_point=entry_point, kwargs=settings)


for name, space in SPACES.items():
    _register(name, space=space)
for name, odd in {
    "NanReward": {"reward": NAN},
    "InfiniteReward": {"reward": -INF},
    "LargeReward": {"reward": 1e300},
    "NoReward": {"reward": None},
    "TwoRewards": {"reward": np.array([1.0, 2.0])},
    "NanObservation": {"observation": np.array([0.5, NAN], np.float32)},
    "LargeObservation": {"observation": np.array([1e200, 0.0])},
    "InfiniteStart": {"first_observation": np.array([INF, 0.0], np.float32)},
    "LongObservation": {"observation": np.zeros(3, np.float32)},
    "Breaks": {"error": KeyError("door")},
}.items():
    _register(name, odd=odd)
_register("LargestRewards", odd={"reward": 3e38}, since=0)
_register("ArrayReward", odd={"reward": np.array([0.5])}, since=0)
_register("TwoRewardsAtOnce", odd={"reward": np.array([1.0, 2.0])}, since=0)
_register("Endless", ends=False)
_register("EndlessSuccess", ends=False, success={3: True})
_register("PassingSuccess", success={1: False, 3: True, LENGTH: False})
_register("NanSuccess", success={LENGTH: NAN})
_register("GoodSuccess", success={LENGTH: np.array([1.0])})
_register("HeldOutNan", HeldOutNan)
_register("OldStep", OldStep)
_register("LostFile", LostFile)
_register("NoPicture", NoPicture)
_register("PythonNumbers", PythonNumbers)
_register("ClosesBadly", ClosesBadly)
_register("Camera", space=BOX(0, 255, (3, 40, 40), IMAGE), action_space=BOX(-1, 1, (1,), np.float32))
_register("ManyChoices", action_space=gym.spaces.Discrete(2**40))
_register("ManyActions", action_space=gym.spaces.MultiDiscrete([2, 2]))
_register("Gone", "tests.odd_environments:ThereWasOne")
_register("GonePackage", "there_was_a_package.envs:Walk")
gym.register("Limited-v0", entry_point=Walk, kwargs={"ends": False}, max_episode_steps=25)


def env_id(name: str) -> str:
    """The id to give to `--env`."""
    return f"{MODULE}:{name}-v0"
