"""One of OGBench's scenes with a new layout, look and behaviour in every episode, and what is where in a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vlmrb.envs.drawing import leave_out_costly
from vlmrb.envs.ogbench_events import SceneEvents
from vlmrb.envs.ogbench_frames import FRAME_SIDE, SceneState, open_renderer, visible_of
from vlmrb.envs.ogbench_play import ScenePlay
from vlmrb.envs.ogbench_scene import make_scene
from vlmrb.types import Event

CUBE_COLORS = ("red", "blue", "orange", "green", "purple", "yellow", "magenta", "gray")
LOOKS = (
    "open gripper",
    "closed gripper",
    *(f"{color} cube" for color in CUBE_COLORS),
    *(f"{color} button" for color in ("red", "blue", "white")),
    *(
        f"{lock} {state} {thing}"
        for thing in ("drawer", "window")
        for state in ("open", "closed")
        for lock in ("locked", "unlocked")
    ),
)
"""What a thing can look like; `Footage.looks` indexes into it."""

_CAMERA = "front"
_PLAIN_SHARE = 0.5  # of the episodes that look like OGBench's own
_SHIFT, _TURN, _ZOOM = 0.08, 0.05, 3.0  # maximum for the camera, in metres, radians and degrees
_TINT, _LIGHT = 0.3, 0.3  # maximum relative change of colours and of light
_PAINTED_BY_STATE = ("drawer_handle", "window_handle")
_MOOD_STEPS = (8, 60)
_PUSH_STEPS, _FUMBLE_STEPS = (3, 16), (6, 26)
_REACH = 0.05  # metres that the arm goes in a step, at most
_MISSED_BY = 0.03  # metres, standard deviation
RESTLESS = {"play": 0.5, "fumble": 0.22, "push": 0.17, "tremble": 0.11}
BUSY = {"play": 0.75, "fumble": 0.12, "push": 0.03, "rest": 0.1}
"""Probabilities of the robot's moods."""


class Stage:
    """A scene to film.

    Args:
        env_id: of an OGBench environment without a fixed task: 'scene-v0', 'cube-double-v0', 'puzzle-3x3-v0' …

    Attributes:
        env: this id.
    """

    def __init__(self, env_id: str) -> None:
        self.env = env_id
        self._scene = make_scene(env_id)
        self._rng = np.random.default_rng(0)
        self._reset()
        model = self._scene.model
        self._state = SceneState(model, self._scene.data, visible_of(self._scene))
        self._renderer = open_renderer(model, FRAME_SIDE)
        self._camera = int(model.camera(_CAMERA).id)
        self._own_looks = {
            name: getattr(model, name).copy() for name in ("cam_pos", "cam_quat", "cam_fovy", "mat_rgba", "light_diffuse")
        }
        self._own_headlight = np.array(model.vis.headlight.diffuse)
        self._own_colors = None if not self._cubes else self._scene._cube_colors.copy()

    @property
    def _cubes(self) -> int:
        return int(getattr(self._scene, "_num_cubes", 0))

    @property
    def _buttons(self) -> int:
        return int(getattr(self._scene, "_num_buttons", 0))

    @property
    def _slides(self) -> bool:
        return hasattr(self._scene, "_target_drawer_pos")

    def begin(self, rng: np.random.Generator, moods: Mapping[str, float] = RESTLESS) -> None:
        """Start a new episode with a new layout, goal, colours, camera and mood."""
        self._rng, self._moods = rng, dict(moods)
        is_plain = bool(rng.random() < _PLAIN_SHARE)
        if self._own_colors is not None:
            self._scene._cube_colors[:] = self._own_colors
            if not is_plain:
                names = rng.permutation(CUBE_COLORS)[: len(self._own_colors)]
                self._scene._cube_colors[:] = [self._scene._colors[name] for name in names]
        self._reset()
        self._paint(is_plain)
        self._events = SceneEvents(self._scene)
        self._cube_names = [f"{cube.color} cube" for cube in self._events.cubes]
        self._play = ScenePlay(self._scene, rng)
        self._mood_ends = 0

    def step(self, action: np.ndarray | None = None) -> tuple[Event, ...]:
        """Let the robot act once, by its mood or as told (float32 [5] in [−1, 1]); return what happened."""
        self._scene.step(self._act() if action is None else action)
        return self._events.look()

    def suggest(self) -> np.ndarray:
        """What scripted play would do now, float32 [5]."""
        return self._play.act()

    def observe(self) -> np.ndarray:
        """The state, and what the last suggestion aims at: float32 [D]."""
        return np.concatenate([self._scene.compute_observation(), self._play.aim()]).astype(np.float32)

    # -- states recorded elsewhere

    def state(self) -> np.ndarray:
        """What `begin_at` and `show` take: a snapshot, as runs store it, uint8 [S]."""
        return self._state.pack()

    def begin_at(self, rng: np.random.Generator, snapshot: np.ndarray) -> None:
        """Start an episode in this state, with new looks, that `show` continues."""
        self.begin(rng)
        recorded = self._restore(snapshot)
        for index in range(self._buttons):
            color = recorded[self._scene._button_geom_ids_list[index][0]]
            self._scene._cur_button_states[index] = not np.allclose(color, self._scene._colors["red"])
        self._look_again()
        self._events.begin()

    def show(self, snapshot: np.ndarray) -> tuple[Event, ...]:
        """Show the state that followed; return what happened in between."""
        self._scene.pre_step()  # it notices by the joints which buttons are pressed
        self._restore(snapshot)
        self._look_again()
        return self._events.look()

    def _restore(self, snapshot: np.ndarray) -> np.ndarray:
        """Restore joints and targets; return the colours that were recorded: those here stay as they are."""
        colors = self._scene.model.geom_rgba
        kept = colors.copy()
        self._state.unpack(snapshot)
        recorded = colors.copy()
        colors[:] = kept
        return recorded

    def _look_again(self) -> None:
        import mujoco

        mujoco.mj_forward(self._scene.model, self._scene.data)
        self._scene.post_step()

    def draw(self) -> np.ndarray:
        """A frame, RGB uint8 [FRAME_SIDE, FRAME_SIDE, 3]."""
        self._renderer.update_scene(self._scene.data, camera=_CAMERA)
        leave_out_costly(self._renderer.scene)
        return np.array(self._renderer.render())

    def close(self) -> None:
        """Release the OpenGL context."""
        self._renderer.close()
        self._scene.close()

    # -- what is where

    def things(self) -> list[str]:
        """Names of the things that `see` describes, in its order."""
        named = ["gripper", *self._cube_names, *(f"button {index}" for index in range(self._buttons))]
        return named + ["drawer", "window"] * self._slides

    def see(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places, looks and held of all K things, one row of `Footage`'s: float32 [K, 2], uint8 [K], bool [K]."""
        scene, sites, events = self._scene, self._scene.data.site_xpos, self._events
        closed = float(scene.data.qpos[scene._gripper_opening_joint_id]) > 0.4
        seen = [(sites[scene._pinch_site_id], LOOKS[int(closed)], False)]
        seen += [(cube.position, name, cube.is_held) for cube, name in zip(events.cubes, self._cube_names, strict=True)]
        for index in range(self._buttons):
            color = events.button_colors[int(scene._cur_button_states[index])]
            seen.append((sites[scene._button_site_ids[index]], f"{color} button", False))
        for number, name in enumerate(("drawer", "window") if self._slides else ()):
            lock = "unlocked" if scene._cur_button_states[number] else "locked"
            state = "open" if events.opening(name) > 0.5 else "closed"
            seen.append((sites[getattr(scene, f"_{name}_site_id")], f"{lock} {state} {name}", False))
        points, looks, held = zip(*seen, strict=True)
        return self._project(np.array(points)), np.array([LOOKS.index(look) for look in looks], np.uint8), np.array(held)

    def nearest_button(self) -> int:
        """Index of the button nearest to the gripper."""
        buttons = self._scene.data.site_xpos[self._scene._button_site_ids]
        return int(np.linalg.norm(buttons - self.gripper(), axis=1).argmin())

    def gripper(self) -> np.ndarray:
        """Position of the gripper in metres, float32 [3]."""
        return np.array(self._scene.data.site_xpos[self._scene._pinch_site_id], np.float32)

    def cubes(self) -> np.ndarray:
        """Positions of the cubes in metres, float32 [C, 3]."""
        return np.array([cube.position for cube in self._events.cubes], np.float32).reshape(-1, 3)

    def _project(self, points: np.ndarray) -> np.ndarray:
        data, model = self._scene.data, self._scene.model
        seen = (points - data.cam_xpos[self._camera]) @ data.cam_xmat[self._camera].reshape(3, 3)  # x right, y up, −z ahead
        reach = np.tan(np.radians(model.cam_fovy[self._camera]) / 2)
        across, up = seen[:, 0] / -seen[:, 2] / reach, seen[:, 1] / -seen[:, 2] / reach
        return np.stack([(1 - up) / 2, (1 + across) / 2], axis=1).astype(np.float32)

    # -- layout and looks

    def _reset(self) -> None:
        self._scene.reset(seed=int(self._rng.integers(2**31)), options={"task_info": self._draw_task()})

    def _draw_task(self) -> dict[str, Any]:
        """A random start and goal, in the format of OGBench's own tasks."""
        rng = self._rng
        sides = []
        for _ in range(2):
            places = self._draw_places()
            states = rng.integers(2, size=self._buttons)
            drawer, window = (float(rng.choice([0.0, way])) for way in (-0.16, 0.2))
            sides.append((places, states, drawer, window))
        (places, states, drawer, window), (goals, goal_states, goal_drawer, goal_window) = sides
        if self._slides:
            if rng.random() < 0.3:
                goals = np.array([[0.33, -0.356, 0.066]] * len(goals))  # in the drawer
            return {
                "task_name": "random",
                "init": {"block_xyzs": places, "button_states": states, "drawer_pos": drawer, "window_pos": window},
                "goal": {"block_xyzs": goals, "button_states": goal_states, "drawer_pos": goal_drawer, "window_pos": goal_window},
            }
        if self._cubes:
            return {"task_name": "random", "init_xyzs": places, "goal_xyzs": goals}
        return {"task_name": "random", "init_button_states": states, "goal_button_states": goal_states}

    def _draw_places(self) -> np.ndarray:
        """Random places on the table without overlap, float [cubes, 3]."""
        low, high = self._scene._object_sampling_bounds
        places: list[np.ndarray] = []
        while len(places) < self._cubes:
            place = np.array([*self._rng.uniform(low, high), 0.02])
            if all(np.linalg.norm(place - other) > 0.07 for other in places):
                places.append(place)
        return np.array(places).reshape(-1, 3)

    def _paint(self, is_plain: bool) -> None:
        """Set camera, material colours and light: OGBench's own, or variations of them."""
        import mujoco

        model, rng = self._scene.model, self._rng
        kept = [model.material(name).id for name in _PAINTED_BY_STATE if self._slides]
        by_state = model.mat_rgba[kept].copy()
        for name, value in self._own_looks.items():
            getattr(model, name)[:] = value
        model.vis.headlight.diffuse[:] = self._own_headlight
        if not is_plain:
            camera = self._camera
            model.cam_pos[camera] += rng.uniform(-_SHIFT, _SHIFT, 3)
            turn = np.empty(4)
            mujoco.mju_euler2Quat(turn, rng.uniform(-_TURN, _TURN, 3), "xyz")
            mujoco.mju_mulQuat(model.cam_quat[camera], self._own_looks["cam_quat"][camera], turn)
            model.cam_fovy[camera] += rng.uniform(-_ZOOM, _ZOOM)
            tint = rng.uniform(1 - _TINT, 1 + _TINT, (model.nmat, 3))
            model.mat_rgba[:, :3] = np.clip(model.mat_rgba[:, :3] * tint, 0, 1)
            light = rng.uniform(1 - _LIGHT, 1 + _LIGHT)
            model.light_diffuse[:] *= light
            model.vis.headlight.diffuse[:] = np.clip(self._own_headlight * light, 0, 1)
        model.mat_rgba[kept] = by_state
        mujoco.mj_forward(model, self._scene.data)

    # -- behaviour

    def _act(self) -> np.ndarray:
        """By mood: play, fumble like a half-trained agent, push in one direction like an untrained one, tremble, or rest."""
        rng = self._rng
        self._mood_ends -= 1
        if self._mood_ends <= 0:
            self._mood = str(rng.choice(list(self._moods), p=list(self._moods.values())))
            self._mood_ends = int(rng.integers(*_MOOD_STEPS))
            self._whim_ends = 0
        if self._mood == "play":
            return self._play.act()
        if self._mood == "rest":
            return np.zeros(5, np.float32)
        if self._mood == "tremble":
            return rng.uniform(-1, 1, 5).astype(np.float32)
        self._whim_ends -= 1
        if self._whim_ends <= 0:
            self._whim_ends = int(rng.integers(*(_FUMBLE_STEPS if self._mood == "fumble" else _PUSH_STEPS)))
            self._whim = np.clip(rng.normal(0, 0.8, 5), -1, 1)
            self._aim = int(rng.integers(len(self._graspable())))
            self._missed = rng.normal(0, _MISSED_BY, 3)
        action = self._whim.copy()
        if self._mood == "fumble":
            action[:3] = 0.3 * action[:3] + (self._graspable()[self._aim] + self._missed - self.gripper()) / _REACH
        return np.clip(action + rng.normal(0, 0.2, 5), -1, 1).astype(np.float32)

    def _graspable(self) -> np.ndarray:
        """Where cubes, buttons and handles are, float [things, 3], metres."""
        scene = self._scene
        sites = [*(scene._button_site_ids if self._buttons else ())]
        sites += [scene._drawer_site_id, scene._window_site_id] if self._slides else []
        return np.concatenate([self.cubes(), scene.data.site_xpos[np.array(sites, int)]])
