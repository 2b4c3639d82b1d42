"""MiniGrid and BabyAI environments: symbolic observations, simulator events, snapshots."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import gymnasium as gym
import numpy as np
from minigrid.core.constants import COLOR_NAMES, COLOR_TO_IDX, OBJECT_TO_IDX
from minigrid.core.world_object import Ball, Box, Door, Floor, Goal, Key, Lava, Wall, WorldObj
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
from minigrid.envs.doorkey import DoorKeyEnv
from minigrid.envs.fetch import FetchEnv
from minigrid.minigrid_env import MiniGridEnv

from vlmrb.envs.base import Action, EnvStep
from vlmrb.envs.checks import as_reward
from vlmrb.envs.minigrid_events import GridEvents
from vlmrb.envs.minigrid_view import COLORS, EMPTY, OBJECTS, border_of_walls, egocentric_view
from vlmrb.envs.missions import mission_of
from vlmrb.envs.success import SuccessRule
from vlmrb.envs.wrapping import only_watched, wrappers_of
from vlmrb.errors import EnvironmentSetupError
from vlmrb.types import ActionSpec, Event, ObservationSpec

_DOORKEY = re.compile(r"(?:MiniGrid-)?DoorKey-(\d+)x(\d+)(?:-v0)?")
CELL_VALUES = (11, 6, 4)  # object types, colours, states (the fourth state: the agent facing up)
MISSION_WORDS = 24  # maximum number of mission words that are read


def doorkey_size(env_id: str) -> int | None:
    """Grid side named by an id such as 'DoorKey-12x12' or 'MiniGrid-DoorKey-8x8-v0', or None for other ids.

    Raises:
        EnvironmentSetupError: the grid is not square, or its side is not within 5 to 64.
    """
    match = _DOORKEY.fullmatch(env_id)
    if match is None:
        return None
    width, height = int(match[1]), int(match[2])
    if width != height or not 5 <= width <= 64:
        raise EnvironmentSetupError(f"{env_id}: DoorKey grids are square with a side from 5 to 64, such as DoorKey-12x12")
    return width


_MAX_LAYOUTS = 100
_MAX_PLACEMENTS = 1_000  # the limit that MiniGrid itself uses in rooms


class MiniGridEnvironment:
    """One MiniGrid environment.

    The agent sees 'egocentric' cells (view² · 3 values, then its direction and the type and colour of the carried object)
    or the 'full' grid (width · height · 3, with the agent marked as in MiniGrid's FullyObsWrapper, then the same extras).
    If missions differ between episodes, the mission's words follow, one number each.

    Args:
        env: a MiniGrid environment created with render_mode='rgb_array'.
        observation: 'egocentric' or 'full'.
        visuals: how frames are rendered: 'normal', 'swapped' or 'abstract'.
        success_return: return at which a step counts as a success, or None for a positive reward (at the last step: if it
            terminates the episode).
        success_step: 'last' if the last step of an episode decides, 'any' if any step does.
    """

    def __init__(
        self,
        env: gym.Env,
        observation: str = "egocentric",
        visuals: str = "normal",
        success_return: float | None = None,
        success_step: str = "last",
    ) -> None:
        unwrapped = env.unwrapped
        assert isinstance(unwrapped, MiniGridEnv) and not unwrapped.agent_pov
        # without a TimeLimit the wrappers only check usage: call MiniGrid directly
        self._env = env if any(isinstance(w, gym.wrappers.TimeLimit) for w in wrappers_of(env)) else unwrapped
        self._grid_env = unwrapped
        self._full = observation == "full"
        self._view = unwrapped.agent_view_size
        self._reads_mission = bool(getattr(unwrapped.observation_space["mission"], "ordered_placeholders", None)) or (
            type(unwrapped.observation_space["mission"]).__name__ != "MissionSpace"
        )
        self._tracker, self._events = GridTracker(self._view), GridEvents(unwrapped)
        self._image = np.zeros((self._view, self._view, 3), np.uint8)
        self._mask = np.zeros((self._view, self._view), np.uint8)
        unwrapped.gen_obs = self._gen_obs  # the compiled view replaces MiniGrid's own
        limit_placements(unwrapped)
        self.missions_are_acts = isinstance(unwrapped, RoomGridLevel | FetchEnv)
        """Whether an episode whose mission is a single act succeeds with the step that does it (`vlmrb.truths.accomplished`)."""
        self.action_spec = ActionSpec(n=int(unwrapped.action_space.n))
        self.time_limit, self.notice = int(unwrapped.max_steps), ""
        self._any_step = success_step == "any"
        own = "a positive reward" if self._any_step else "the episode terminated with a positive reward"
        self._success = SuccessRule(own, success_return, success_step)
        self.success_rule = self._success.words
        self.render_spec = {
            "kind": "minigrid",
            "tile_size": unwrapped.tile_size,
            "view_size": self._view,
            "highlight": bool(unwrapped.highlight),
            "visuals": visuals,
        }
        width, height = (unwrapped.width, unwrapped.height) if self._full else (self._view, self._view)
        mission = MISSION_WORDS * self._reads_mission
        extras = (4, CELL_VALUES[0], CELL_VALUES[1]) + (len(WORDS) + 2,) * mission
        shape, cells = (width * height * 3 + len(extras),), (width, height, 3)
        self.observation_spec = ObservationSpec("grid", shape, "uint8", cells, extras, mission=mission)

    @property
    def mission(self) -> str:
        """What the present episode is about."""
        return mission_of(self._env)

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode with this seed."""
        self._success.begin()
        lay_out(self._env, seed)
        self._mission = mission_words(self._grid_env.mission) if self._reads_mission else ()
        grid = self._grid_env.grid
        expected = self.observation_spec.grid_shape
        if self._full:
            check_size((grid.width, grid.height, 3), expected)
        return self._observe()

    def step(self, action: Action) -> EnvStep:
        """Act, and derive the events by comparing the state before and after."""
        self._events.watch()
        _, given, terminated, truncated, _ = self._env.step(int(action))  # MiniGrid is slower with NumPy's scalars
        reward, ended = as_reward(given), bool(terminated or truncated)
        events = self._events.seen()
        success = self._success.step(reward > 0 and bool(terminated or self._any_step), reward, ended)
        if ended:
            events += self._events.ending(bool(terminated and reward > 0), bool(terminated))
        if self._success.came_now:
            events.append(Event("success"))
        return EnvStep(self._observe(), reward, bool(terminated), bool(truncated), success, tuple(events))

    def snapshot(self) -> np.ndarray:
        """uint8 [S]: width, height, agent x, y, direction; the packed visibility mask; the grid's cells."""
        env = self._grid_env
        if self._tracker.sync(env.grid):
            self._look()
        header = (env.grid.width, env.grid.height, int(env.agent_pos[0]), int(env.agent_pos[1]), env.agent_dir)
        return np.concatenate([np.array(header, np.uint8), np.packbits(self._mask.ravel()), self._tracker.cells.ravel()])

    def close(self) -> None:
        """Close MiniGrid."""
        self._env.close()

    def _look(self) -> None:
        env = self._grid_env
        egocentric_view(
            self._tracker.padded,
            int(env.agent_pos[0]),
            int(env.agent_pos[1]),
            int(env.agent_dir),
            self._view,
            env.see_through_walls,
            self._image,
            self._mask,
        )

    def _gen_obs(self) -> dict[str, Any]:
        env = self._grid_env
        self._tracker.sync(env.grid)
        self._look()
        view = self._view
        self._image[view // 2, view - 1] = env.carrying.encode() if env.carrying else (EMPTY, 0, 0)
        return {"image": self._image.copy(), "direction": env.agent_dir, "mission": env.mission}

    def _observe(self) -> np.ndarray:
        env = self._grid_env
        observation = np.empty(self.observation_spec.shape, np.uint8)
        if self._full:
            self._tracker.sync(env.grid)
            cells = self._tracker.cells.copy()
            cells[env.agent_pos[0], env.agent_pos[1]] = (OBJECT_TO_IDX["agent"], COLOR_TO_IDX["red"], env.agent_dir)
        else:
            cells = self._image
        size = cells.size
        carried = env.carrying
        observation[:size] = cells.ravel()
        observation[size] = env.agent_dir
        observation[size + 1] = OBJECT_TO_IDX[carried.type] if carried else EMPTY
        observation[size + 2] = COLOR_TO_IDX[carried.color] if carried else 0
        if self._reads_mission:
            observation[size + 3 :] = self._mission
        return observation


class GridTracker:
    """Mirrors the grid in an array, re-encoding only the cells that changed since the last sync."""

    def __init__(self, view_size: int) -> None:
        self._border = view_size
        self._objects: list[WorldObj | None] = []
        self._doors: dict[int, tuple[Door, int]] = {}
        self._shape = (0, 0)

    def sync(self, grid: Any) -> bool:
        """Update `cells` (uint8 [width, height, 3]) and `padded`; returns whether anything changed."""
        objects = grid.grid
        if (grid.width, grid.height) != self._shape:
            self._begin(grid.width, grid.height)
        changed = False
        if objects != self._objects:  # compares identities: MiniGrid's objects define no equality
            for index, (now, before) in enumerate(zip(objects, self._objects, strict=True)):
                if now is not before:
                    self._write(index, now)
            self._objects = list(objects)
            changed = True
        for index, (door, state) in self._doors.items():
            if door_state(door) != state:
                self._write(index, door)
                changed = True
        return changed

    def _begin(self, width: int, height: int) -> None:
        border = self._border
        self._shape = (width, height)
        self.padded = border_of_walls(width, height, border)
        self.cells = self.padded[border : border + width, border : border + height]
        self.cells[:] = (EMPTY, 0, 0)
        self._objects, self._doors = [None] * (width * height), {}

    def _write(self, index: int, thing: WorldObj | None) -> None:
        y, x = divmod(index, self._shape[0])
        self.cells[x, y] = thing.encode() if thing is not None else (EMPTY, 0, 0)
        if isinstance(thing, Door):
            self._doors = {**self._doors, index: (thing, door_state(thing))}
        elif index in self._doors:
            self._doors = {key: value for key, value in self._doors.items() if key != index}


def door_state(door: Door) -> int:
    """MiniGrid's STATE_TO_IDX: 0 open, 1 closed, 2 locked."""
    return 0 if door.is_open else 2 if door.is_locked else 1


WORDS = tuple(
    "a after agent and avoid ball behind blue box by cell closed colour door drop find fetch front from get go goal green grey "
    "hallway if in is it key lava left locked make match matching maze must near next object of on one open opening or order "
    "partial pick purple put reach red right room same second see square the them then thing through to toggle turn two up "
    "using with yellow you your".split()
)
"""Words of MiniGrid and BabyAI missions. Number 0 is 'no word', 1 any other word."""
WORD_NUMBERS = {word: number + 2 for number, word in enumerate(WORDS)}


def mission_words(mission: str) -> np.ndarray:
    """uint8 [MISSION_WORDS]: the mission's words as numbers, truncated or padded with 0."""
    numbers = [WORD_NUMBERS.get(word, 1) for word in re.findall(r"[a-z]+", mission.lower())][:MISSION_WORDS]
    return np.array(numbers + [0] * (MISSION_WORDS - len(numbers)), np.uint8)


def make_doorkey(size: int) -> gym.Env:
    """DoorKey of any size, as MiniGrid registers it for 5, 6, 8 and 16."""
    return DoorKeyEnv(size=size, render_mode="rgb_array")


def lay_out(env: gym.Env, seed: int | None) -> Any:
    """Reset until a layout succeeds; MiniGrid gives up on a layout with a RecursionError. Returns what `reset` does.

    Raises:
        EnvironmentSetupError: none did.
    """
    for attempt in range(_MAX_LAYOUTS):
        with contextlib.suppress(RecursionError):
            return env.reset(seed=None if attempt else seed)
    raise EnvironmentSetupError(f"no layout succeeded in {_MAX_LAYOUTS} attempts; is there room for all objects?")


def check_size(found: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    """Check that a full grid still has the size that the network was made for.

    Raises:
        EnvironmentSetupError: it has not.
    """
    if found != expected and expected is not None:
        raise EnvironmentSetupError(
            f"the grid is now {found[0]}×{found[1]}, but was {expected[0]}×{expected[1]}: "
            "this environment changes size between episodes; use --observation egocentric"
        )


_OBJECTS = (Ball, Box, Door, Floor, Goal, Key, Lava, Wall)


def is_plain(env: gym.Env) -> bool:
    """Whether `MiniGridEnvironment` is proven to do the same as this environment.

    That is so for MiniGrid's own classes (a test compares every id) with its own objects, types and colours, if nothing is
    replaced in them and no wrapper changes anything.
    """
    task: Any = env.unwrapped
    return (
        only_watched(env)
        and type(task).__module__.partition(".")[0] == "minigrid"
        and not task.agent_pov
        and not any(callable(getattr(type(task), name, None)) for name in vars(task))
        and all(kind in _OBJECTS for kind in vars(task).values() if isinstance(kind, type) and issubclass(kind, WorldObj))
        and has_own_codes()
    )


def has_own_codes() -> bool:
    """Whether MiniGrid's object types and colours are its own, without any that were added."""
    return len(OBJECT_TO_IDX) == OBJECTS + 1 and len(COLOR_TO_IDX) == len(COLOR_NAMES) == COLORS


def limit_placements(env: MiniGridEnv) -> None:
    """Limit the attempts to place the agent.

    BabyAI's rooms search for a cell with nothing in front of it, forever if a full room has none. They treat a
    RecursionError as a failed layout and generate another.
    """
    place_agent, place_obj, left = env.place_agent, env.place_obj, 0

    def start(*args: Any, **options: Any) -> Any:
        nonlocal left
        left = _MAX_PLACEMENTS
        return place_agent(*args, **options)

    def place(obj: WorldObj | None, *args: Any, **options: Any) -> Any:
        nonlocal left
        if obj is None:  # the agent
            left -= 1
            if left < 0:
                raise RecursionError("no free cell for the agent")
        return place_obj(obj, *args, **options)

    env.place_agent, env.place_obj = start, place  # type: ignore[method-assign]
