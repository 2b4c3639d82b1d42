"""OGBench's tasks with goals: ids without 'singletask'.

A goal is a whole state as the agent observes it, so what a step has achieved is the observation itself. Each episode is one of
the suite's tasks, usually five: task 1 + seed % 5. So training draws them alike, and evaluation, whose seeds are consecutive,
plays them in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.errors import EnvironmentSetupError
from vlmrb.types import Judged

# how OGBench's manipulation tasks turn their state into an observation, and how near to its goal each part has to be
_ARM_VALUES, _CUBE_VALUES = 19, 9
_CUBE_SCALE, _DRAWER_SCALE, _WINDOW_SCALE = 10.0, 18.0, 15.0
_NEAR = 0.04  # metres

Reached = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From observations and goals, float [N, D] each, to whether each goal is reached: bool [N]."""


def is_goal_task(spec: Any) -> bool:
    """Whether OGBench registered this as a task with goals."""
    return "reward_task_id" not in spec.kwargs


def task_of(seed: int, tasks: int) -> dict[str, Any]:
    """The options that reset an environment of so many tasks to the one of an episode's seed."""
    return {"task_id": 1 + seed % tasks}


def judge_states(reached: Reached) -> Callable[[np.ndarray, np.ndarray], Judged]:
    """OGBench's rule for tasks with goals: reaching the goal earns 1 and ends the episode, any other step earns 0."""

    def judge(achieved: np.ndarray, desired: np.ndarray) -> Judged:
        there = reached(achieved, desired)
        return Judged(there.astype(np.float32), there)

    return judge


def success_rule(env: Any) -> Reached:
    """OGBench's own rule of success, read from observations alone.

    Robot arm: every cube is within 4 cm of where it is in the goal, every button in the same state, drawer and window within
    4 cm. The arm may be anywhere. Mazes: the agent (in antsoccer: the ball) is as near to its place in the goal as the maze
    demands, 1 m for the point and 0.5 m for the others.

    Args:
        env: OGBench's environment without wrappers, reset at least once.

    Raises:
        EnvironmentSetupError: this version's observations have other parts.
    """
    if hasattr(env, "maze_map"):
        return _near_in_maze(env)
    return _objects_at_goal(env)


def _near_in_maze(env: Any) -> Reached:
    first = env.model.nq - 7 if hasattr(env, "get_agent_ball_xy") else 0  # the ball's joint is the last
    place, tolerance = slice(first, first + 2), float(env._goal_tol)
    return lambda achieved, desired: np.linalg.norm(achieved[:, place] - desired[:, place], axis=1) <= tolerance


def _objects_at_goal(scene: Any) -> Reached:
    cubes, buttons = getattr(scene, "_num_cubes", 0), getattr(scene, "_num_buttons", 0)
    states = int(scene._num_button_states) if buttons else 0
    first_button = _ARM_VALUES + cubes * _CUBE_VALUES
    first_slide = first_button + buttons * (states + 2)
    slides = (_DRAWER_SCALE, _WINDOW_SCALE) if hasattr(scene, "_drawer_site_id") else ()
    size, expected = len(scene.compute_observation()), first_slide + 2 * len(slides)
    if size != expected:
        raise EnvironmentSetupError(
            f"the installed OGBench observes {size} numbers of a {type(scene).__name__}, and not {expected}, so that this "
            "version cannot read goals from them; install ogbench 1.2"
        )

    def reached(achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        there = np.ones(len(achieved), bool)
        for first in range(_ARM_VALUES, first_button, _CUBE_VALUES):
            away = achieved[:, first : first + 3] - desired[:, first : first + 3]
            there &= np.linalg.norm(away, axis=1) <= _NEAR * _CUBE_SCALE
        for first in range(first_button, first_slide, states + 2):
            mine, wanted = (each[:, first : first + states].argmax(axis=1) for each in (achieved, desired))
            there &= mine == wanted
        for index, scale in enumerate(slides):
            at = first_slide + 2 * index
            there &= np.abs(achieved[:, at] - desired[:, at]) <= _NEAR * scale
        return there

    return reached


class SeededMaze(gym.Wrapper):
    """A maze of OGBench, exactly reproducible by seed: by itself it draws from NumPy's global generator.

    Args:
        env: made by Gymnasium from an OGBench id.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self._maze: Any = env.unwrapped
        self._luck = np.random.RandomState(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        if seed is not None:
            self._luck.seed(seed)
            self._maze.action_space.seed(seed)
        with _lent(self._luck):
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Act."""
        with _lent(self._luck) if self._maze._teleport_info else nullcontext():  # only teleports draw while it steps
            return self.env.step(action)


class MazeGoals(SeededMaze):
    """A maze of OGBench with its goals in Gymnasium's convention.

    Args:
        env: made by Gymnasium from an OGBench id without 'singletask'.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        state = self._maze.observation_space
        self.observation_space = gym.spaces.Dict({"observation": state, "achieved_goal": state, "desired_goal": state})
        self._reached = success_rule(self._maze)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode of the seed's task."""
        if seed is not None:
            options = task_of(seed, self._maze.num_tasks) | (options or {})
        state, info = super().reset(seed=seed, options=options)
        self._goal = info["goal"]
        return self._with_goals(state), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Act."""
        state, reward, terminated, truncated, info = super().step(action)
        return self._with_goals(state), reward, terminated, truncated, info

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> np.ndarray:
        """1 where the goal is reached, else 0: float64 [N]."""
        return self._reached(achieved_goal, desired_goal).astype(np.float64)

    def compute_terminated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> np.ndarray:
        """Whether the goal is reached: bool [N]."""
        return self._reached(achieved_goal, desired_goal)

    def _with_goals(self, state: np.ndarray) -> dict[str, np.ndarray]:
        return {"observation": state, "achieved_goal": state, "desired_goal": self._goal}


@contextmanager
def _lent(generator: np.random.RandomState) -> Iterator[None]:
    """NumPy's global generator, which OGBench's mazes draw from, draws what this one would."""
    kept = np.random.get_state()
    np.random.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(np.random.get_state())
        np.random.set_state(kept)
