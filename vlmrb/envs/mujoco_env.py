"""Gymnasium's own MuJoCo tasks (HalfCheetah, Ant, Hopper, …): states in place of frames, drawn where they are looked at.

Drawing one in software takes longer than dozens of steps, so it is not done while the agent acts.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.drawing import ThreadedRenderer, check_side, leave_out_costly
from vlmrb.envs.gymnasium_env import GymnasiumEnvironment
from vlmrb.envs.headless import cannot_draw
from vlmrb.errors import StoreCorruptError

FRAME_SIDE = 240
"""Pixels along a side of the frames that the scorer is shown."""


def is_mujoco(env: gym.Env) -> bool:
    """Whether this is a task of Gymnasium's whose frames follow from its positions."""
    return any(base.__module__ == "gymnasium.envs.mujoco.mujoco_env" for base in type(env.unwrapped).__mro__)


class MuJoCoEnvironment(GymnasiumEnvironment):
    """One of Gymnasium's MuJoCo tasks.

    Args:
        env: made with render_mode='rgb_array'.
        env_id: as it is registered, with the module before it where there is one.
        success_return: as for any Gymnasium environment.
    """

    def __init__(self, env: gym.Env, env_id: str, success_return: float | None = None) -> None:
        super().__init__(env, success_return)
        self._data: Any = env.unwrapped.data  # type: ignore[attr-defined]
        self.render_spec = {"kind": "mujoco", "env": env_id, "side": FRAME_SIDE}

    def snapshot(self) -> np.ndarray:
        """The positions that a frame depends on, uint8 [S]."""
        parts = (self._data.qpos, self._data.mocap_pos, self._data.mocap_quat)
        return np.concatenate([np.ascontiguousarray(part).view(np.uint8).ravel() for part in parts])


class MuJoCoRenderer(ThreadedRenderer):
    """Draws packed positions as the task's own `render()` does, without shadows, reflections, haze and multi-sampling.

    Args:
        env: Gymnasium's id.
        side: pixels along a side of a frame, 16 to 1024.

    Raises:
        EnvironmentSetupError: no such frame can be drawn.
    """

    def __init__(self, env: str, side: int = FRAME_SIDE) -> None:
        super().__init__(partial(_Drawing, env, check_side(side)))


class _Drawing:
    """The task and its OpenGL context; of use in the thread alone that made it."""

    def __init__(self, env_id: str, side: int) -> None:
        from vlmrb.envs.registered import make_registered

        self._env_id, self._side = env_id, side
        self._env = make_registered(env_id, width=side, height=side)
        self._env.reset(seed=0)
        self._task: Any = self._env.unwrapped
        self._task.model.vis.quality.offsamples = 0
        try:
            self._task.render()  # makes the context
        except Exception as error:
            raise cannot_draw(error) from error
        leave_out_costly(self._task.mujoco_renderer.viewer.scn)

    def draw(self, snapshots: np.ndarray) -> np.ndarray:
        import mujoco

        data = self._task.data
        parts = (data.qpos, data.mocap_pos, data.mocap_quat)
        if snapshots.ndim != 2 or snapshots.shape[1] != sum(part.nbytes for part in parts):
            raise StoreCorruptError(f"data of shape {snapshots.shape} is no state of {self._env_id}, or a damaged one")
        frames = np.empty((len(snapshots), self._side, self._side, 3), np.uint8)
        for snapshot, frame in zip(snapshots, frames, strict=True):
            start = 0
            for part in parts:
                part[:] = snapshot[start : start + part.nbytes].view(part.dtype).reshape(part.shape)
                start += part.nbytes
            mujoco.mj_forward(self._task.model, data)
            frame[:] = self._task.render()
        return frames

    def close(self) -> None:
        self._env.close()
