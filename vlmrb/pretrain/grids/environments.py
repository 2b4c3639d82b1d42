"""The worlds that the embedded model learns from: every MiniGrid and BabyAI family but DoorKey, and one of this project.

The model is evaluated on DoorKey, so it never sees one in training. `ScatteredRooms` fills the gaps between the families with
rooms, doors and objects in any number and size, but never laid out as in DoorKey.
"""

from __future__ import annotations

from typing import Any

from minigrid.core.constants import COLOR_NAMES
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Ball, Box, Door, Floor, Goal, Key, Lava, Wall
from minigrid.minigrid_env import MiniGridEnv

from vlmrb.config import TrainConfig
from vlmrb.envs import make_env
from vlmrb.envs.minigrid import MiniGridEnvironment

SCATTERED = "ScatteredRooms"
"""This project's own family."""

_LEFT_OUT = ("DoorKey", "-WFC-")  # what the model is evaluated on; worlds that take seconds to make


def training_families() -> dict[str, tuple[str, ...]]:
    """Environment ids by family, both sorted, without DoorKey."""
    import gymnasium
    import minigrid  # noqa: F401 - registers its environments

    families: dict[str, list[str]] = {SCATTERED: [SCATTERED]}
    for env_id, spec in gymnasium.registry.items():
        if env_id.startswith(("MiniGrid-", "BabyAI-")) and not any(part in env_id for part in _LEFT_OUT):
            families.setdefault(str(spec.entry_point), []).append(env_id)
    return {family: tuple(sorted(families[family])) for family in sorted(families)}


def make_world(env_id: str) -> MiniGridEnvironment:
    """Make an environment of `training_families`, or any other MiniGrid one.

    Raises:
        EnvironmentSetupError: there is no such environment.
    """
    if env_id == SCATTERED:
        return MiniGridEnvironment(ScatteredRooms())
    env = make_env(TrainConfig(env=env_id, replay="uniform", scorer=None))
    assert isinstance(env, MiniGridEnvironment)
    return env


class ScatteredRooms(MiniGridEnv):
    """Up to four rooms with doors or gaps between them and any objects, of a new size in each episode.

    With a single wall from top to bottom, as in DoorKey, the goal is never in the lower right corner.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            mission_space=MissionSpace(mission_func=lambda: "explore"),
            width=8,
            height=8,
            max_steps=300,
            render_mode="rgb_array",
            **options,
        )

    def reset(self, **options: Any) -> Any:
        """Like MiniGrid's, but the agent may start out carrying something."""
        outcome = super().reset(**options)
        if self._chance(0.15):  # so that doors are opened early and unseen objects get dropped
            self.carrying = self._rand_elem([Key, Key, Ball, Box])(self._color())
        return outcome

    def _gen_grid(self, width: int, height: int) -> None:
        self.width = self._rand_int(5, 17)
        self.height = self.width if self._chance(0.75) else self._rand_int(5, 17)
        self.grid = Grid(self.width, self.height)
        self.grid.wall_rect(0, 0, self.width, self.height)
        self._walls: list[bool] = []  # for each wall, whether it is vertical
        self._split(1, 1, self.width - 2, self.height - 2, self._rand_int(0, 4))
        self._scatter()
        self.place_agent()

    def _split(self, left: int, top: int, width: int, height: int, walls: int) -> None:
        """Split a room by a wall with a passage, then both halves, until this many walls are placed."""
        vertical = width > height or (width == height and self._chance(0.5))
        length, across = (width, height) if vertical else (height, width)
        if walls <= 0 or length < 3:
            return
        at = self._rand_int(1, length - 1)
        gap = self._rand_int(0, across)
        for i in range(across):
            x, y = (left + at, top + i) if vertical else (left + i, top + at)
            self.grid.set(x, y, self._passage() if i == gap else Wall())
        self._walls.append(vertical)
        rest = walls - 1
        if vertical:
            self._split(left, top, at, height, rest // 2)
            self._split(left + at + 1, top, width - at - 1, height, rest - rest // 2)
        else:
            self._split(left, top, width, at, rest // 2)
            self._split(left, top + at + 1, width, height - at - 1, rest - rest // 2)

    def _passage(self) -> Door | None:
        if self._chance(0.1):
            return None
        kind = self._rand_int(0, 5)
        return Door(self._color(), is_open=kind == 0, is_locked=kind >= 3)

    def _scatter(self) -> None:
        doors = [thing for thing in self.grid.grid if isinstance(thing, Door)]
        things: list[Any] = [Key(door.color) for door in doors if door.is_locked and self._chance(0.8)]
        free = sum(thing is None for thing in self.grid.grid)
        things += [self._rand_elem([Key, Ball, Box])(self._color()) for _ in range(self._rand_int(0, min(6, free // 6) + 1))]
        if self._chance(0.25):
            things += [Lava() for _ in range(self._rand_int(1, 1 + max(2, free // 12)))]
        if self._chance(0.1):
            things += [Floor(self._color()) for _ in range(self._rand_int(1, 4))]
        for thing in things[: max(1, free // 3)]:
            self.place_obj(thing, max_tries=50)
        if self._chance(0.65):
            self._place_goal()

    def _place_goal(self) -> None:
        corner = (self.width - 2, self.height - 2)
        like_doorkey = self._walls == [True]
        if self._chance(0.4) and not like_doorkey and self.grid.get(*corner) is None:
            self.grid.set(*corner, Goal())
            return
        self.place_obj(Goal(), reject_fn=lambda _, place: like_doorkey and tuple(place) == corner, max_tries=50)

    def _color(self) -> str:
        return str(self._rand_elem(COLOR_NAMES))

    def _chance(self, probability: float) -> bool:
        return bool(self._rand_float(0, 1) < probability)
