"""MiniGrid environments as people register them: with wrappers, classes and objects of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import gymnasium as gym
import minigrid  # noqa: F401  (registers its environments)
import numpy as np
from gymnasium.envs.registration import WrapperSpec
from minigrid.core.world_object import Ball, Door, WorldObj
from minigrid.envs import CrossingEnv, DoorKeyEnv, EmptyEnv
from minigrid.utils.rendering import fill_coords, point_in_rect

DOORKEY = "minigrid.envs:DoorKeyEnv"


class FourActions(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Turn, walk and one button for everything else; each step costs a point."""

    ACTIONS = (0, 1, 2, 5)

    def __init__(self, env: gym.Env) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self.action_space = gym.spaces.Discrete(4)

    def step(self, action: int) -> Any:
        observation, reward, *rest = self.env.step(self.ACTIONS[action])
        return observation, float(reward) - 1.0, *rest


class Chameleon(Ball):
    """Changes its colour by itself, and looks like nothing in MiniGrid."""

    def render(self, img: np.ndarray) -> None:
        fill_coords(img, point_in_rect(0.2, 0.8, 0.4, 0.6), (1, 2, 250))


class Curtain(WorldObj):
    """Hides what is behind it, unlike a floor, and has a state."""

    drawn = 0

    def __init__(self) -> None:
        super().__init__("floor", "blue")

    def see_behind(self) -> bool:
        return self.drawn < 2

    def encode(self) -> tuple[int, int, int]:
        kind, color, _ = super().encode()
        return kind, color, self.drawn

    def render(self, img: np.ndarray) -> None:
        fill_coords(img, point_in_rect(0, 1, 0, 0.3 * (1 + self.drawn)), (9, 90, 9))


class Changing(EmptyEnv):
    """A ball changes colour, a curtain opens and closes, a door opens by itself; a chameleon appears after three steps."""

    def _gen_grid(self, width: int, height: int) -> None:
        super()._gen_grid(width, height)
        self.ball, self.curtain, self.door = Ball("red"), Curtain(), Door("green")
        self.put_obj(self.ball, 3, 3)
        self.put_obj(self.curtain, 3, 1)
        self.put_obj(self.door, 1, 3)

    def step(self, action: int) -> Any:
        self.ball.color = ("red", "green", "blue")[self.step_count % 3]
        self.curtain.drawn = self.step_count % 3
        self.door.is_open = self.step_count % 4 == 3
        if self.step_count == 3:
            self.put_obj(Chameleon("grey"), 5, 5)
        return super().step(action)


class Blinded(DoorKeyEnv):
    """Observes only what is straight ahead, and draws a frame around its picture."""

    def gen_obs(self) -> dict[str, Any]:
        seen = super().gen_obs()
        seen["image"][:2] = 0
        return seen

    def get_frame(self, *args: Any, **options: Any) -> np.ndarray:
        picture = super().get_frame(*args, **options)
        picture[:4] = 77
        return picture


class TalkingEnv(EmptyEnv):
    """Its mission changes with every step."""

    def step(self, action: int) -> Any:
        self.mission = f"take step {self.step_count} to the zebra"
        return super().step(action)


def patched(**options: Any) -> gym.Env:
    """MiniGrid's own class, with a method replaced."""
    env = EmptyEnv(size=6, **options)
    original = env.gen_obs
    env.gen_obs = lambda: original() | {"direction": 3 - env.agent_dir}
    return env


def crossing_of_curtains(**options: Any) -> gym.Env:
    """MiniGrid's own class, with obstacles that are not."""
    return CrossingEnv(size=9, num_crossings=1, obstacle_type=Curtain, **options)


class Registered:
    """An id for the length of a test."""

    entries: ClassVar[dict[str, dict[str, Any]]] = {
        "four actions": {"entry_point": DOORKEY, "kwargs": {"size": 5}, "additional_wrappers": (FourActions.wrapper_spec(),)},
        "changing": {"entry_point": Changing, "kwargs": {"size": 8}},
        "blinded": {"entry_point": Blinded, "kwargs": {"size": 6}, "max_episode_steps": 30},
        "talking": {"entry_point": TalkingEnv, "kwargs": {"size": 6}},
        "patched": {"entry_point": patched},
        "curtains": {"entry_point": crossing_of_curtains},
        "point of view": {"entry_point": DOORKEY, "kwargs": {"size": 6, "agent_pov": True}},
    }


def wrapper(name: str, **kwargs: Any) -> WrapperSpec:
    """One of MiniGrid's own wrappers, as a registration names it."""
    return WrapperSpec(name, f"minigrid.wrappers:{name}", kwargs)


@contextmanager
def registered(env_id: str, **registration: Any) -> Iterator[str]:
    """Register an environment; the registry is as before afterwards."""
    before = gym.registry.get(env_id)
    gym.registry.pop(env_id, None)
    gym.register(env_id, **registration)
    try:
        yield env_id
    finally:
        gym.registry.pop(env_id)
        if before is not None:
            gym.registry[env_id] = before
