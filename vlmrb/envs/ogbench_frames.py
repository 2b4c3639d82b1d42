"""Pictures of OGBench's scenes from packed states, in any process.

Software drawing is slow: on one core a frame of 200×200 as OGBench delivers it costs 240 ms, without shadows, reflections,
haze and multi-sampling 25 ms. Most of the rest goes into the robot's 200,000 triangles, so a smaller frame is hardly quicker.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from vlmrb.envs.drawing import ThreadedRenderer, check_side, leave_out_costly
from vlmrb.envs.headless import cannot_draw
from vlmrb.envs.ogbench_scene import make_scene
from vlmrb.errors import StoreCorruptError

FRAME_SIDE = 192
"""Pixels along a side of the frames that the scorer is shown."""

_CAMERA = "front"


class SceneState:
    """Everything that a frame of a scene depends on, as bytes and back: joints, targets, colours of what changes them.

    Args:
        scene: OGBench's environment, reset at least once.
    """

    def __init__(self, scene: Any) -> None:
        model, data = scene.model, scene.data
        groups = [
            getattr(scene, name, []) for name in ("_cube_geom_ids_list", "_cube_target_geom_ids_list", "_button_geom_ids_list")
        ]
        geoms = sorted({geom for group in groups for ids in group for geom in ids})
        names = [model.material(index).name for index in range(model.nmat)]
        materials = [names.index(name) for name in ("drawer_handle", "window_handle") if name in names]
        sites = [getattr(scene, name) for name in ("_drawer_target_site_id", "_window_target_site_id") if hasattr(scene, name)]
        everything = slice(None)
        self._parts: list[tuple[np.ndarray, Any]] = [
            (data.qpos, everything),
            (data.mocap_pos, everything),
            (data.mocap_quat, everything),
            (model.geom_rgba, geoms),
            (model.mat_rgba, materials),
            (model.site_pos, sites),
        ]
        self.size = len(self.pack())

    def pack(self) -> np.ndarray:
        """The present state, uint8 [size]."""
        return np.concatenate([np.ascontiguousarray(array[index]).view(np.uint8).ravel() for array, index in self._parts])

    def unpack(self, snapshot: np.ndarray) -> None:
        """Put a state into the scene; its positions follow with the next `mj_forward`."""
        start = 0
        for array, index in self._parts:
            part = array[index]
            array[index] = snapshot[start : start + part.nbytes].view(part.dtype).reshape(part.shape)
            start += part.nbytes


class OGBenchRenderer(ThreadedRenderer):
    """Draws packed states, from any thread.

    Args:
        env: OGBench's id.
        side: pixels along a side of a frame, 16 to 1024.

    Raises:
        EnvironmentSetupError: no such frame can be drawn.
    """

    def __init__(self, env: str, side: int = FRAME_SIDE) -> None:
        super().__init__(partial(_Drawing, env, check_side(side)))


class _Drawing:
    """A scene and its OpenGL context; of use in the thread alone that made it."""

    def __init__(self, env_id: str, side: int) -> None:
        self._env_id, self._side = env_id, side
        self._scene = make_scene(env_id)
        self._scene.reset(seed=0)
        self._state = SceneState(self._scene)
        self._renderer = open_renderer(self._scene.model, side)

    def draw(self, snapshots: np.ndarray) -> np.ndarray:
        import mujoco

        if snapshots.ndim != 2 or snapshots.shape[1] != self._state.size:
            raise StoreCorruptError(f"data of shape {snapshots.shape} is no state of {self._env_id}, or a damaged one")
        frames = np.empty((len(snapshots), self._side, self._side, 3), np.uint8)
        for snapshot, frame in zip(snapshots, frames, strict=True):
            self._state.unpack(snapshot)
            mujoco.mj_forward(self._scene.model, self._scene.data)
            self._renderer.update_scene(self._scene.data, camera=_CAMERA)
            leave_out_costly(self._renderer.scene)
            frame[:] = self._renderer.render()
        return frames

    def close(self) -> None:
        self._renderer.close()


def open_renderer(model: Any, side: int) -> Any:
    """MuJoCo's renderer without multi-sampling, in the calling thread.

    Raises:
        EnvironmentSetupError: there is no OpenGL that works without a screen.
    """
    import mujoco

    model.vis.quality.offsamples = 0
    model.vis.global_.offwidth = model.vis.global_.offheight = side
    try:
        return mujoco.Renderer(model, side, side)
    except Exception as error:
        raise cannot_draw(error) from error
