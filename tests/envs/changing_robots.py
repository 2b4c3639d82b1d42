"""MuJoCo tasks that change more than positions, as people write and register them."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from vlmrb.envs.headless import choose_gl

choose_gl()  # MuJoCo reads the choice once, on import

from gymnasium.envs.mujoco import MujocoEnv  # noqa: E402
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv  # noqa: E402

_XML = """
<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="above" pos="0 0 4"/>
    <geom name="floor" type="plane" size="2 2 .1" rgba=".5 .5 .5 1"/>
    <body name="door" pos="0 .8 .2"><geom name="door" type="box" size=".3 .3 .2" rgba="0 0 1 1"/></body>
    <body name="ball" pos="0 0 .2">
      <joint name="x" type="slide" axis="1 0 0" range="-1 1"/><geom name="ball" size=".2" rgba="1 0 0 1"/>
    </body>
    <site name="target" pos="0 -.8 .1" size=".2" rgba="0 1 0 1"/>
  </worldbody>
  <actuator><motor joint="x" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


@cache
def _model() -> str:
    path = Path(tempfile.mkdtemp()) / "changing.xml"
    path.write_text(_XML)
    return str(path)


class ChangingRobot(MujocoEnv):
    """Moves its door and target, and recolours its ball, at reset; its constructor knows neither width nor height."""

    metadata: ClassVar = {"render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"], "render_fps": 50}

    def __init__(self, render_mode: str | None = None) -> None:
        space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        super().__init__(_model(), 10, space, render_mode, width=64, height=64, camera_name="above")

    def step(self, action: np.ndarray) -> Any:
        self.do_simulation(action, self.frame_skip)
        return self._observe(), 0.0, False, False, {}

    def reset_model(self) -> np.ndarray:
        self.model.body("door").pos[0] = self.np_random.uniform(-1, 1)
        self.model.site("target").pos[0] = self.np_random.uniform(-1, 1)
        self.model.geom("ball").rgba[:3] = self.np_random.uniform(0, 1, 3)
        self.set_state(self.init_qpos, self.init_qvel)
        return self._observe()

    def _observe(self) -> np.ndarray:
        return np.concatenate([self.data.qpos, self.data.qvel])


class Blinking(ChangingRobot):
    """Its picture depends on the time, too."""

    def render(self) -> Any:
        picture = super().render()
        return 255 - picture if int(self.data.time * 50) % 2 else picture


class SlowedCheetah(HalfCheetahEnv):
    """Recolours Gymnasium's own task."""

    def reset_model(self) -> np.ndarray:
        self.model.geom_rgba[1:, :3] = self.np_random.uniform(0, 1, 3)
        return super().reset_model()


class Recolour(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Recolours whatever it wraps."""

    def __init__(self, env: gym.Env) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def reset(self, **options: Any) -> Any:
        outcome = self.env.reset(**options)
        task: Any = self.unwrapped
        task.model.geom_rgba[1:, :3] = task.np_random.uniform(0, 1, 3)
        return outcome


def recoloured_cheetah(**options: Any) -> gym.Env:
    """Gymnasium's own class, of another colour each time that it is made."""
    env = HalfCheetahEnv(width=64, height=64, **options)
    env.model.geom_rgba[1:, :3] = np.random.default_rng().uniform(0, 1, 3)
    return env


CHEETAH = "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv"
SMALL = {"width": 64, "height": 64}
ROBOTS: dict[str, dict[str, Any]] = {
    "changing": {"entry_point": ChangingRobot},
    "blinking": {"entry_point": Blinking},
    "subclass": {"entry_point": SlowedCheetah, "kwargs": SMALL},
    "wrapper": {"entry_point": CHEETAH, "kwargs": SMALL, "additional_wrappers": (Recolour.wrapper_spec(),)},
    "function": {"entry_point": recoloured_cheetah},
}
