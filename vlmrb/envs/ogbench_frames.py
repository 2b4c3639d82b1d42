"""Render OGBench scenes from packed states, in any process.

Software rendering is slow: on one core a 200×200 frame takes 240 ms as OGBench renders it, and 25 ms without shadows,
reflections, haze and multi-sampling. Most of that goes into the robot's 200,000 triangles, and most of these are smaller than a
pixel: without them it takes 10 ms. Half of this is the floor, a plane that MuJoCo draws as 40,000 squares.
"""

from __future__ import annotations

import copy
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from vlmrb.envs.drawing import PackedState, ThreadedRenderer, check_side, leave_out_costly
from vlmrb.envs.headless import cannot_draw
from vlmrb.envs.ogbench_scene import forget_scenes, make_scene
from vlmrb.memory import give_back_memory

FRAME_SIDE = 192
"""Side of the frames shown to the scorer, in pixels."""

_CAMERA = "front"

_SEEN = 1.0
"""Metres that a frame spans where the robot is."""

_FLOOR_SQUARE = 0.5
"""Side of the squares that the floor is drawn as, in metres. OGBench has 0.01; the pictures are the same."""


class Visible(NamedTuple):
    """Indices of what changes its colour or its place without a joint: geoms, materials and sites."""

    geoms: list[int]
    materials: list[int]
    sites: list[int]


def visible_of(scene: Any) -> Visible:
    """What can change in pictures of OGBench's environment, which must have been reset at least once."""
    model = scene.model
    groups = [getattr(scene, name, []) for name in ("_cube_geom_ids_list", "_cube_target_geom_ids_list", "_button_geom_ids_list")]
    names = [model.material(index).name for index in range(model.nmat)]
    return Visible(
        geoms=sorted({geom for group in groups for ids in group for geom in ids}),
        materials=[names.index(name) for name in ("drawer_handle", "window_handle") if name in names],
        sites=[getattr(scene, name) for name in ("_drawer_target_site_id", "_window_target_site_id") if hasattr(scene, name)],
    )


class SceneState(PackedState):
    """Packs everything that a frame of a scene depends on: joints, targets, and the colours that change.

    Args:
        model, data: MuJoCo's.
        visible: of this model.
    """

    def __init__(self, model: Any, data: Any, visible: Visible) -> None:
        everything = slice(None)
        super().__init__(
            [
                (data.qpos, everything),
                (data.mocap_pos, everything),
                (data.mocap_quat, everything),
                (model.geom_rgba, visible.geoms),
                (model.mat_rgba, visible.materials),
                (model.site_pos, visible.sites),
            ]
        )


class OGBenchRenderer(ThreadedRenderer):
    """Draws packed states, from any thread.

    Args:
        env: OGBench id.
        side: of a frame in pixels, 16 to 1024.

    Raises:
        EnvironmentSetupError: `side` is out of range.
    """

    def __init__(self, env: str, side: int = FRAME_SIDE) -> None:
        super().__init__(partial(_Drawing, env, check_side(side)))


class _Drawing:
    """A scene and its OpenGL context; usable only in the thread that created it."""

    def __init__(self, env_id: str, side: int) -> None:
        import mujoco

        compiled, visible = _compiled(env_id)
        self._env_id, self._model = env_id, copy.copy(compiled)
        self._data = mujoco.MjData(self._model)
        self._state = SceneState(self._model, self._data, visible)
        self._renderer = open_renderer(self._model, side)

    def draw(self, snapshots: np.ndarray) -> np.ndarray:
        return self._state.draw_each(snapshots, self._draw_current, self._env_id)

    def _draw_current(self) -> np.ndarray:
        import mujoco

        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera=_CAMERA)
        leave_out_costly(self._renderer.scene)
        return self._renderer.render()

    def close(self) -> None:
        self._renderer.close()


@lru_cache(maxsize=2)
def _compiled(env_id: str) -> tuple[Any, Visible]:
    """A scene's compiled model, without the several times larger description that it was compiled from."""
    scene = make_scene(env_id)
    scene.reset(seed=0)
    found = scene.model, visible_of(scene)
    del scene
    forget_scenes()
    give_back_memory()
    return found


def open_renderer(model: Any, side: int) -> Any:
    """MuJoCo's renderer without multi-sampling and without triangles smaller than a pixel, in the calling thread.

    What the model's meshes and planes look like changes, not what they collide with.

    Raises:
        EnvironmentSetupError: no OpenGL works here without a screen.
    """
    import mujoco

    coarsen(model, _SEEN / side)
    model.geom_size[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE, 2] = _FLOOR_SQUARE
    model.vis.quality.offsamples = model.vis.quality.shadowsize = 0
    model.vis.global_.offwidth = model.vis.global_.offheight = side
    try:
        return mujoco.Renderer(model, side, side)
    except Exception as error:
        raise cannot_draw(error) from error


def coarsen(model: Any, cell: float) -> None:
    """Replace vertices of a mesh that lie in the same cube of a grid by one of them, and leave out what is then no triangle.

    Args:
        model: an `MjModel`; its faces are changed in place. Collisions follow from vertices and hulls, which stay.
        cell: side of the cubes in metres, above 0.
    """
    for mesh in range(model.nmesh):
        faces = slice(model.mesh_faceadr[mesh], model.mesh_faceadr[mesh] + model.mesh_facenum[mesh])
        vertices = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
        _, first, cube = np.unique(np.floor(vertices / cell).astype(np.int64), axis=0, return_index=True, return_inverse=True)
        merged = first[cube.ravel()[model.mesh_face[faces]]]
        corners = np.sort(merged, axis=1)
        _, once = np.unique(corners, axis=0, return_index=True)
        kept = np.sort(once[(np.diff(corners[once], axis=1) > 0).all(axis=1)])
        if not len(kept):  # the mesh is smaller than a cube
            continue
        for name, values in (
            ("mesh_face", merged),
            ("mesh_facenormal", model.mesh_facenormal[faces]),
            ("mesh_facetexcoord", model.mesh_facetexcoord[faces]),
        ):
            getattr(model, name)[faces.start : faces.start + len(kept)] = values[kept]
        model.mesh_facenum[mesh] = len(kept)
