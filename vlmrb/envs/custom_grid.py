"""MiniGrid environments with wrappers, classes or objects of their own: exactly what `gymnasium.make` gives.

Nothing is assumed about them, so their own observation is read and their own `render()` draws each frame, which takes
longer than the compiled view and the snapshots of `vlmrb.envs.minigrid`.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX
from minigrid.wrappers import FullyObsWrapper

from vlmrb.envs.base import Action, EnvStep
from vlmrb.envs.checks import as_reward
from vlmrb.envs.gymnasium_env import GymnasiumEnvironment
from vlmrb.envs.minigrid import (
    CELL_VALUES,
    MISSION_WORDS,
    WORD_NUMBERS,
    check_size,
    has_own_codes,
    is_plain,
    lay_out,
    limit_placements,
)
from vlmrb.envs.minigrid_events import GridEvents
from vlmrb.envs.minigrid_view import EMPTY
from vlmrb.envs.success import SuccessRule
from vlmrb.envs.wrapping import wrappers_of
from vlmrb.errors import EnvironmentFailedError, EnvironmentSetupError
from vlmrb.types import ObservationSpec

_WORD_VALUES = 256
_FIRST_SPARE = max(WORD_NUMBERS.values()) + 1  # for words that MiniGrid does not use

_OWN_RULE = (
    "info['is_success'] or info['success'] where reported, otherwise the episode terminated with a positive reward, before or "
    "after the wrappers"
)


class CustomGridEnvironment(GymnasiumEnvironment):
    """A MiniGrid environment that is not plain MiniGrid.

    Args:
        env: created with render_mode='rgb_array'.
        name: its id, for errors.
        observation: 'egocentric' for its own observation, or 'full' for the whole grid.
        success_return: return at which a step counts as a success, or None for the environment's own rule.
        success_step: 'last' if the last step of an episode decides, 'any' if any step does.

    Raises:
        EnvironmentSetupError: the agents cannot use the action or observation space.
    """

    def __init__(
        self,
        env: gym.Env,
        name: str,
        observation: str = "egocentric",
        success_return: float | None = None,
        success_step: str = "last",
    ) -> None:
        task: Any = env.unwrapped
        is_plain_below = is_plain(task)
        limit_placements(task)
        full = observation == "full"
        self._reading = _Reading(_with_full_grid(env, name) if full else env, full)
        super().__init__(self._reading, success_return, success_step)
        self.observation_spec = self._reading.layout or self.observation_spec
        self._success = SuccessRule(_OWN_RULE, success_return, success_step)
        self.success_rule = self._success.words
        if is_plain_below:
            self.render_spec = self.render_spec | {"pictures": "minigrid"}
        self._events = GridEvents(task)

    def step(self, action: Action) -> EnvStep:
        """Act, and derive the events by comparing the state before and after."""
        self._events.watch()
        result = super().step(action)
        events = self._events.seen()
        if result.terminated or result.truncated:
            events += self._events.ending(result.terminated and self._reading.rewarded, result.terminated)
        return result._replace(events=(*events, *result.events))


def _with_full_grid(env: gym.Env, name: str) -> gym.Env:
    if not isinstance(env.observation_space, gym.spaces.Dict) or "image" not in env.observation_space.spaces:
        raise EnvironmentSetupError(
            f"{name}: its wrappers observe {env.observation_space}, which has no grid to replace by the full one; "
            "use --observation egocentric, which reads what the wrappers give"
        )
    return FullyObsWrapper(env)


class _Reading(gym.Wrapper):
    """Turns observations into one array: cells first where there are any, as `MiniGridEnvironment` lays them out.

    Attributes:
        layout: of the observation if it holds cells, otherwise None.
        rewarded: whether the last step had a positive reward, from the wrappers or below them.
    """

    def __init__(self, env: gym.Env, full: bool) -> None:
        super().__init__(env)
        task: Any = self.unwrapped
        self.rewarded, self._reward_below = False, 0.0
        self._step_below, task.step = task.step, self._note_reward
        space = env.observation_space
        self.layout: ObservationSpec | None = None
        parts = dict(space.spaces) if isinstance(space, gym.spaces.Dict) else {"image": space}
        if set(parts) <= {"image", "direction", "mission"} and _holds_cells(env, parts.get("image")):
            self._read, extras = self._cells(parts, full)
            shape = parts["image"].shape
            length, mission = int(np.prod(shape)) + len(extras), MISSION_WORDS * ("mission" in parts)
            if has_own_codes():
                self.layout = ObservationSpec("grid", (length,), "uint8", shape, extras, mission=mission)
            else:  # the network for grids knows MiniGrid's object types and colours only
                self.layout = ObservationSpec("vector", (length,), "float32", mission=mission)
            self.observation_space = gym.spaces.Box(0, 255, (length,), np.uint8)
        else:
            self._read = self._others(space)

    def _cells(self, parts: dict[str, gym.Space], full: bool) -> tuple[Callable[[Any], np.ndarray], tuple[int, ...]]:
        """A function from an observation to uint8 [N], and how many values each of its extras can take."""
        shape, alone = parts["image"].shape, not isinstance(self.env.observation_space, gym.spaces.Dict)
        own_view = not full and shape[0] == shape[1] == _view_sizes(self.env)[0]  # the agent's cell shows what it carries
        task: Any = self.unwrapped
        extras = (
            (4,) * ("direction" in parts)
            + CELL_VALUES[:2] * (own_view or full)
            + (_WORD_VALUES,) * (MISSION_WORDS * ("mission" in parts))
        )

        def read(observation: Any) -> np.ndarray:
            image = np.asarray(observation if alone else observation["image"])
            if image.shape != shape:
                check_size(image.shape, shape)
            values = [image.ravel()]
            if "direction" in parts:
                values.append(np.array([observation["direction"]]))
            if full:
                thing = task.carrying
                values.append(np.array([OBJECT_TO_IDX[thing.type], COLOR_TO_IDX[thing.color]] if thing else [EMPTY, 0]))
            elif own_view:
                values.append(image[shape[0] // 2, shape[1] - 1, :2])
            if "mission" in parts:
                values.append(word_numbers(observation["mission"]))
            joined = np.concatenate(values)
            if joined.dtype.kind not in "biu" or joined.min() < 0 or joined.max() > 255:
                raise EnvironmentFailedError(
                    f"the observation has values from {joined.min():g} to {joined.max():g} ({joined.dtype}), but its space has "
                    "integers from 0 to 255 (uint8)"
                )
            return joined.astype(np.uint8)

        return read, extras

    def _others(self, space: gym.Space) -> Callable[[Any], Any]:
        """A function that leaves only missions to be read; Gymnasium flattens the rest."""
        if not isinstance(space, gym.spaces.Dict):
            return lambda observation: observation
        missions = [name for name, part in space.spaces.items() if part.dtype is not None and part.dtype.kind == "U"]
        words = gym.spaces.Box(0, _WORD_VALUES - 1, (MISSION_WORDS,), np.uint8)
        self.observation_space = gym.spaces.Dict({**space.spaces, **dict.fromkeys(missions, words)})
        return lambda observation: {**observation, **{name: word_numbers(observation[name]) for name in missions}}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observation, info = lay_out(self.env, seed)
        return self._read(observation), info

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.rewarded = max(as_reward(reward), self._reward_below) > 0
        if not {"is_success", "success"} & info.keys():
            info = info | {"is_success": self.rewarded and bool(terminated or not truncated)}
        return self._read(observation), reward, terminated, truncated, info

    def _note_reward(self, action: Any) -> Any:
        outcome = self._step_below(action)
        self._reward_below = as_reward(outcome[1])
        return outcome


def _holds_cells(env: gym.Env, space: gym.Space | None) -> bool:
    """Whether an image is of MiniGrid's cells (object, colour, state), rather than of pixels or places."""
    task: Any = env.unwrapped
    shapes = {(side, side, 3) for side in _view_sizes(env)} | {(task.width, task.height, 3)}
    return isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and space.shape in shapes and (space.high == 255).all()


def _view_sizes(env: gym.Env) -> list[int]:
    """Sides of the views, in cells: those of wrappers, the outermost first, then the task's own."""
    own = [vars(each)["agent_view_size"] for each in wrappers_of(env) if "agent_view_size" in vars(each)]
    task: Any = env.unwrapped
    return [int(side) for side in (*own, task.agent_view_size)]


@functools.lru_cache(1_000)
def word_numbers(text: str) -> np.ndarray:
    """uint8 [MISSION_WORDS]: the text's words as numbers, truncated or padded with 0. Words of MiniGrid have numbers of
    their own; any other word has one of the rest, which few others share."""
    words = re.findall(r"[a-z]+|[0-9]+", text.lower())[:MISSION_WORDS]
    spare = _WORD_VALUES - _FIRST_SPARE
    numbers = [WORD_NUMBERS.get(word, _FIRST_SPARE + zlib.crc32(word.encode()) % spare) for word in words]
    return np.array(numbers + [0] * (MISSION_WORDS - len(numbers)), np.uint8)
