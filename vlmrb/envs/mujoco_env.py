"""Gymnasium's own MuJoCo tasks (HalfCheetah, Ant, Hopper, …): stores states instead of frames and renders on demand.

Rendering a frame in software takes longer than dozens of steps, so it is not done while the agent acts.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.drawing import PackedState, ThreadedRenderer, check_side, leave_out_costly
from vlmrb.envs.gymnasium_env import GymnasiumEnvironment
from vlmrb.envs.headless import cannot_draw
from vlmrb.envs.wrapping import only_watched

FRAME_SIDE = 240
"""Side of the frames shown to the scorer, in pixels."""


def is_gymnasiums_own(env: gym.Env) -> bool:
    """Whether this is one of Gymnasium's own tasks as it is registered, whose frames depend only on positions.

    Other classes, functions that make an environment, and wrappers may change the model, the camera or the picture.
    """
    task = type(env.unwrapped)
    module, _, name = str(env.spec.entry_point if env.spec else "").partition(":")
    return (
        only_watched(env)
        and any(base.__module__ == "gymnasium.envs.mujoco.mujoco_env" for base in task.__mro__)
        and task.__module__.startswith("gymnasium.envs.mujoco.")
        and module.startswith("gymnasium.envs.mujoco")
        and name == task.__name__
    )


class MuJoCoEnvironment(GymnasiumEnvironment):
    """One of Gymnasium's MuJoCo tasks.

    Args:
        env: created with render_mode='rgb_array'.
        env_id: its registered id, with the module prefix if there is one.
        success_return, success_step: as for any Gymnasium environment.
    """

    def __init__(self, env: gym.Env, env_id: str, success_return: float | None = None, success_step: str = "last") -> None:
        super().__init__(env, success_return, success_step)
        self._state = _state_of(env.unwrapped.data)  # type: ignore[attr-defined]
        self.render_spec = {"kind": "mujoco", "env": env_id, "side": FRAME_SIDE}

    def snapshot(self) -> np.ndarray:
        """The positions that a frame depends on, uint8 [S]."""
        return self._state.pack()


def _state_of(data: Any) -> PackedState:
    return PackedState([(part, slice(None)) for part in (data.qpos, data.mocap_pos, data.mocap_quat)])


class MuJoCoRenderer(ThreadedRenderer):
    """Draws packed positions as the task's own `render()` does, but without shadows, reflections, haze and multi-sampling.

    Args:
        env: Gymnasium id.
        side: of a frame in pixels, 16 to 1024.

    Raises:
        EnvironmentSetupError: `side` is out of range.
    """

    def __init__(self, env: str, side: int = FRAME_SIDE) -> None:
        super().__init__(partial(_Drawing, env, check_side(side)))


class _Drawing:
    """The task and its OpenGL context; usable only in the thread that created it."""

    def __init__(self, env_id: str, side: int) -> None:
        from vlmrb.envs.registered import make_registered

        self._env_id = env_id
        self._env = make_registered(env_id, width=side, height=side)
        self._env.reset(seed=0)
        self._task: Any = self._env.unwrapped
        self._task.model.vis.quality.offsamples = self._task.model.vis.quality.shadowsize = 0
        try:
            self._task.render()  # creates the context
        except Exception as error:
            raise cannot_draw(error) from error
        leave_out_costly(self._task.mujoco_renderer.viewer.scn)
        self._state = _state_of(self._task.data)

    def draw(self, snapshots: np.ndarray) -> np.ndarray:
        return self._state.draw_each(snapshots, self._draw_current, self._env_id)

    def _draw_current(self) -> np.ndarray:
        import mujoco

        mujoco.mj_forward(self._task.model, self._task.data)
        return self._task.render()

    def close(self) -> None:
        self._env.close()
