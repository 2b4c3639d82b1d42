"""Events in OGBench scenes, from the simulator's state: each is reported once, when it happens.

Each quantity has separate on and off thresholds, so events do not flicker, and fingers that touch a cube for a moment, as they do
when a robot fumbles, have not grasped it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.types import Event

_PADS = ("ur5e/robotiq/right_pad", "ur5e/robotiq/left_pad")
_GRASPED_AFTER = 5
"""Steps of 50 ms for which both pads must touch a cube: no fewer than between two of the eight frames of a clip of 32 steps."""

_LIFTED_BY, _LANDED_BY = 0.03, 0.01  # metres above where both pads first touched the cube
_AT_TARGET, _AWAY_FROM_TARGET = 0.04, 0.05  # metres; OGBench's own tolerance is 0.04
_OPEN, _CLOSED = 0.75, 0.25  # fractions of the range
_OPEN_AT = {"drawer": -0.16, "window": 0.2}  # position of the joint when open, metres
_PRESSED = -0.02  # metres; where OGBench switches a button's state


class _Latch:
    """On from `on` upwards, off from `off` downwards, unchanged in between."""

    def __init__(self, on: float, off: float) -> None:
        self._on, self._off, self.value = on, off, False

    def begin(self, quantity: float) -> None:
        """Reset."""
        self.value = quantity >= self._on

    def turned(self, quantity: float) -> int:
        """1 if it has just switched on, −1 if it has just switched off, else 0."""
        before = self.value
        self.value = quantity > self._off if before else quantity >= self._on
        return int(self.value) - int(before)


class SceneEvents:
    """Watches the cubes, drawer, window and buttons of one OGBench scene, as far as it has them.

    Args:
        scene: OGBench's environment, reset at least once.

    Attributes:
        cubes: one `Cube` per cube.
        button_colors: colour of a button in each of its states.
    """

    def __init__(self, scene: Any) -> None:
        model = scene.model
        self._scene, self._model, self._data = scene, model, scene.data
        self.cubes = [Cube(scene, index) for index in range(getattr(scene, "_num_cubes", 0))]
        joints = {model.joint(index).name for index in range(model.njnt)}
        self._slides = {name: _Latch(_OPEN, _CLOSED) for name in _OPEN_AT if f"{name}_slide" in joints}
        self._slide_at = {name: int(model.joint(f"{name}_slide").qposadr[0]) for name in self._slides}
        buttons = range(getattr(scene, "_num_buttons", 0))
        self._button_at = np.array([int(model.joint(f"buttonbox_joint_{index}").qposadr[0]) for index in buttons], int)
        self.button_colors = ("red", "white" if self._slides else "blue")
        self.begin()

    def begin(self) -> None:
        """Start a new episode: what already holds at the start is not an event."""
        for cube in self.cubes:
            cube.begin()
        for name, latch in self._slides.items():
            latch.begin(self.opening(name))
        self._depths = self._data.qpos[self._button_at].copy()
        self._states = self._button_states()

    def look(self) -> tuple[Event, ...]:
        """Events since the last call."""
        events = [event for cube in self.cubes for event in cube.look()]
        for name, latch in self._slides.items():
            turned = latch.turned(self.opening(name))
            events += [Event("opened" if turned > 0 else "closed", name)] if turned else []
        return (*events, *self._pressed())

    def opening(self, name: str) -> float:
        """How far the drawer or window is open, as a fraction of its range."""
        return float(self._data.qpos[self._slide_at[name]]) / _OPEN_AT[name]

    def _button_states(self) -> np.ndarray:
        return np.array(self._scene._cur_button_states) if len(self._button_at) else np.zeros(0, int)

    def _pressed(self) -> list[Event]:
        depths, states = self._data.qpos[self._button_at], self._button_states()
        pressed = np.flatnonzero((self._depths > _PRESSED) & (depths <= _PRESSED))
        events = [Event("pressed", "button", self.button_colors[int(states[index])]) for index in pressed]
        for name, before, now in zip(self._slides, self._states, states, strict=False):
            events += [Event("unlocked" if now else "locked", name)] if now != before else []
        self._depths, self._states = depths.copy(), states
        return events


class Cube:
    """One cube: grasped, lifted, dropped, placed in the drawer, at its target.

    Attributes:
        color: OGBench's name for it.
    """

    def __init__(self, scene: Any, index: int) -> None:
        model = scene.model
        self._scene, self._data = scene, scene.data
        self._at = int(model.joint(f"object_joint_{index}").qposadr[0])
        self._target = scene._cube_target_mocap_ids[index]
        self._pad_of_geom = np.full(model.ngeom, -1)
        for number, name in enumerate(_PADS):
            self._pad_of_geom[np.flatnonzero(model.geom_bodyid == model.body(name).id)] = number
        self._own = np.zeros(model.ngeom, bool)
        self._own[scene._cube_geom_ids_list[index]] = True
        self.color = _name_of_color(scene, scene._cube_colors[index])
        self._grasp, self._lift = _Latch(2, 0), _Latch(_LIFTED_BY, _LANDED_BY)
        self._drawer, self._goal = _Latch(1, 0), _Latch(-_AT_TARGET, -_AWAY_FROM_TARGET)

    def begin(self) -> None:
        """Reset."""
        self._rest, self._touched_for = float(self.position[2]), 0
        self._grasp.begin(0)
        self._lift.begin(0)
        self._drawer.begin(self._in_drawer())
        self._goal.begin(-self._distance())

    def look(self) -> list[Event]:
        """Its events since the last call."""
        names = []
        pads = self._touching_pads()
        self._touched_for = self._touched_for + 1 if pads == len(_PADS) else 0
        if self._touched_for == 1 and not self._grasp.value:
            self._rest = float(self.position[2])
        grasped = self._grasp.turned(pads if self._touched_for >= _GRASPED_AFTER else min(pads, 1))
        if grasped > 0:
            names.append("grasped")
        height = float(self.position[2]) - self._rest
        if grasped < 0 and self._lift.value and height > _LIFTED_BY:
            names.append("dropped")
        if self._lift.turned(height if self._grasp.value else 0.0) > 0:
            names.append("lifted")
        if self._drawer.turned(self._in_drawer() * (0.5 if self._grasp.value else 1.0)) > 0:  # once released there
            names.append("placed_in_drawer")
        if self._goal.turned(-self._distance()) > 0:
            names.append("reached_target")
        return [Event(name, "cube", self.color) for name in names]

    @property
    def position(self) -> np.ndarray:
        """float [3], metres."""
        return self._data.qpos[self._at : self._at + 3]

    @property
    def is_held(self) -> bool:
        """Whether the gripper holds it."""
        return self._grasp.value

    def _distance(self) -> float:
        return float(np.linalg.norm(self.position - self._data.mocap_pos[self._target]))

    def _in_drawer(self) -> bool:
        return bool(self._scene._is_in_drawer(self.position)) if hasattr(self._scene, "_is_in_drawer") else False

    def _touching_pads(self) -> int:
        geoms = self._data.contact.geom  # [contacts, 2]
        others = np.concatenate([geoms[self._own[geoms[:, 0]], 1], geoms[self._own[geoms[:, 1]], 0]])
        return len(set(self._pad_of_geom[others].tolist()) - {-1})


def _name_of_color(scene: Any, color: np.ndarray) -> str:
    return next((name for name, value in scene._colors.items() if np.allclose(value[:3], color[:3])), "")
