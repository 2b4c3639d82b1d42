"""Scripted play in OGBench scenes: OGBench's oracles pursue the goals of the run's task, with detours and noise.

OGBench's data sets come from such play, as downloads of gigabytes; this generates transitions of the run's own task on the fly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_DETOURS = 0.5  # fraction of subtasks unrelated to the task
_NOISE = (0.0, 0.2, 0.5)  # standard deviations of a subtask's action noise; actions are in [−1, 1]
_OPEN = {"drawer": -0.16, "window": 0.2}  # position of the joint when open, metres
_TOLERANCE = 0.04  # metres; as in OGBench
_IN_DRAWER = np.array([0.33, -0.24, 0.066])  # metres; a cube released here falls into the open drawer


class ScenePlay:
    """Acts in one scene.

    Args:
        scene: OGBench's environment.
        rng: chooses subtasks and noise.
    """

    def __init__(self, scene: Any, rng: np.random.Generator) -> None:
        self._scene, self._rng = scene, rng
        self._oracle: Any = None
        self._targets: dict[str, Any] = {}
        self._time = np.inf

    def act(self) -> np.ndarray:
        """The next action, float32 [A] in [−1, 1]."""
        time = float(self._scene.data.time)
        if self._oracle is None or self._oracle.done or time < self._time:  # a new episode starts at 0
            self._start_subtask()
        self._time = time
        action = self._oracle.select_action(None, self._seen())
        noise = self._noise * self._rng.standard_normal(len(action))
        return np.clip(action + noise, -1.0, 1.0).astype(np.float32)

    def aim(self) -> np.ndarray:
        """What the subtask of the last action is about, float32 [17]: its kind, which thing and in which state it shall be, and
        where the thing, its target and the subtask's last position are, seen from the gripper in decimetres."""
        kind = self._targets["privileged/target_task"]
        told = {"cube": "block", "button": "button"}
        index = int(self._targets[f"privileged/target_{told[kind]}"]) if kind in told else 0
        if kind == "cube":
            thing, target = self._cube(index), self._targets["privileged/target_block_pos"]
        elif kind == "button":
            thing = target = self._targets["privileged/target_button_top_pos"]
        else:
            thing = self._scene.data.site_xpos[getattr(self._scene, f"_{kind}_site_id")]
            target = self._targets[f"privileged/target_{kind}_handle_pos"]
        places = np.stack([thing, target, self._oracle._final_pos]) - self._scene.data.site_xpos[self._scene._pinch_site_id]
        done = int(kind == "button" and self._buttons()[index] == self._targets["privileged/target_button_state"])
        kinds = [float(kind == name) for name in ("cube", "button", "drawer", "window")]
        far = 10.0 * float(np.linalg.norm(thing - target))
        return np.array([*kinds, index, done, far, *10.0 * places.ravel(), self._oracle._final_yaw], np.float32)

    def _start_subtask(self) -> None:
        kind, aim = self._next_goal() if self._rng.random() >= _DETOURS else self._detour()
        self._targets = {"privileged/target_task": kind, **getattr(self, f"_aim_at_{kind}")(*aim)}
        self._oracle = self._make_oracle(kind)
        self._oracle.reset(None, self._seen())
        low, high = self._scene._arm_sampling_bounds  # the oracle's own choice is unseeded
        self._oracle._final_pos, self._oracle._final_yaw = self._rng.uniform(low, high), self._rng.uniform(-np.pi, np.pi)
        self._noise = float(self._rng.choice(_NOISE))

    def _seen(self) -> dict[str, Any]:
        return self._scene.compute_ob_info() | self._targets

    def _make_oracle(self, kind: str) -> Any:
        from ogbench.manipspace.oracles.markov.button_markov import ButtonMarkovOracle
        from ogbench.manipspace.oracles.markov.cube_markov import CubeMarkovOracle
        from ogbench.manipspace.oracles.markov.drawer_markov import DrawerMarkovOracle
        from ogbench.manipspace.oracles.markov.window_markov import WindowMarkovOracle

        oracles = {
            "cube": CubeMarkovOracle,
            "button": ButtonMarkovOracle,
            "drawer": DrawerMarkovOracle,
            "window": WindowMarkovOracle,
        }
        closed = {"gripper_always_closed": True} if kind == "button" and not self._cubes else {}
        return oracles[kind](env=self._scene, min_norm=0.4, **closed)

    # -- choosing subtasks

    @property
    def _cubes(self) -> int:
        return int(getattr(self._scene, "_num_cubes", 0))

    @property
    def _slides(self) -> bool:
        return hasattr(self._scene, "_target_drawer_pos")

    def _next_goal(self) -> tuple[str, tuple[Any, ...]]:
        """The next subtask on the way to the goal: locks first, then what is behind them."""
        scene = self._scene
        cubes = [index for index in range(self._cubes) if np.linalg.norm(self._cube(index) - self._cube_goal(index)) > _TOLERANCE]
        if self._slides:
            into_drawer = [index for index in cubes if self._cube_goal(index)[1] < -0.2]
            cubes = [index for index in cubes if index not in into_drawer]
            drawer, window = scene._target_drawer_pos, scene._target_window_pos
            for index in into_drawer:
                if scene._is_in_drawer(self._cube(index)):
                    continue  # it moves with the drawer
                if abs(self._joint("drawer") - _OPEN["drawer"]) > _TOLERANCE:
                    return self._slide("drawer", _OPEN["drawer"])
                return "cube", (index, _IN_DRAWER)
            if abs(self._joint("window") - window) > _TOLERANCE:
                return self._slide("window", window)
            if abs(self._joint("drawer") - drawer) > _TOLERANCE:
                return self._slide("drawer", drawer)
        if cubes:
            lowest = min(cubes, key=lambda index: float(self._cube_goal(index)[2]))
            return "cube", (lowest, self._cube_goal(lowest))
        wrong = self._buttons() != self._button_goals()
        presses = np.flatnonzero(presses_for(self._changes(len(wrong)), wrong) if wrong.any() else wrong)
        return ("button", (int(self._rng.choice(presses)),)) if len(presses) else self._detour()

    def _slide(self, name: str, position: float) -> tuple[str, tuple[Any, ...]]:
        lock = list(_OPEN).index(name)
        return ("button", (lock,)) if self._buttons()[lock] == 0 else (name, (position,))

    def _detour(self) -> tuple[str, tuple[Any, ...]]:
        kinds = ["cube"] * bool(self._cubes) + ["button"] * bool(len(self._buttons())) + ["drawer", "window"] * self._slides
        kind = str(self._rng.choice(kinds))
        if kind == "cube":
            place = self._rng.uniform(*self._scene._target_sampling_bounds)
            return kind, (int(self._rng.integers(self._cubes)), np.array([*place, 0.02]))
        if kind == "button":
            return kind, (int(self._rng.integers(len(self._buttons()))),)
        is_open = abs(self._joint(kind)) > abs(_OPEN[kind]) / 2
        return kind, (0.0 if is_open else _OPEN[kind],)

    # -- the oracles' targets

    def _aim_at_cube(self, index: int, place: np.ndarray) -> dict[str, Any]:
        yaw = np.array([self._rng.uniform(-np.pi, np.pi)])
        return {"privileged/target_block": index, "privileged/target_block_pos": place, "privileged/target_block_yaw": yaw}

    def _aim_at_button(self, index: int) -> dict[str, Any]:
        top = self._scene.data.site_xpos[self._scene._button_site_ids[index]].copy()
        wanted = (int(self._buttons()[index]) + 1) % 2
        return {
            "privileged/target_button": index,
            "privileged/target_button_state": wanted,
            "privileged/target_button_top_pos": top,
        }

    def _aim_at_drawer(self, position: float) -> dict[str, Any]:
        return {"privileged/target_drawer_handle_pos": self._handle("drawer", self._scene._drawer_site_id, position)}

    def _aim_at_window(self, position: float) -> dict[str, Any]:
        return {"privileged/target_window_handle_pos": self._handle("window", self._scene._window_site_id, position)}

    def _handle(self, name: str, site: int, position: float) -> np.ndarray:
        """Position of a handle when its joint is at `position`."""
        axis = self._scene.data.xaxis[self._scene.model.joint(f"{name}_slide").id]
        return self._scene.data.site_xpos[site] + axis * (position - self._joint(name))

    # -- the scene's state

    def _joint(self, name: str) -> float:
        return float(self._scene.data.joint(f"{name}_slide").qpos[0])

    def _cube(self, index: int) -> np.ndarray:
        return self._scene.data.joint(f"object_joint_{index}").qpos[:3]

    def _cube_goal(self, index: int) -> np.ndarray:
        return self._scene.data.mocap_pos[self._scene._cube_target_mocap_ids[index]]

    def _buttons(self) -> np.ndarray:
        return np.asarray(getattr(self._scene, "_cur_button_states", ()))

    def _button_goals(self) -> np.ndarray:
        return np.asarray(getattr(self._scene, "_target_button_states", ()))

    def _changes(self, count: int) -> np.ndarray:
        """bool [N, N]: which buttons (rows) change when one (column) is pressed; in a puzzle its neighbours do too."""
        if not hasattr(self._scene, "_num_rows"):
            return np.eye(count, dtype=bool)
        row, column = np.divmod(np.arange(count), self._scene._num_cols)
        return abs(row[:, None] - row) + abs(column[:, None] - column) <= 1


def presses_for(changes: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Presses bool [N] after which every wrong button is right; all False if no presses achieve that.

    Two presses of a button cancel out and the order does not matter: linear equations modulo 2, solved by elimination.

    Args:
        changes: bool [N, N], which buttons (rows) change when one (column) is pressed.
        wrong: bool [N].
    """
    equations, row, pivots = np.column_stack([changes, wrong]), 0, []
    for column in range(len(wrong)):
        below = row + np.flatnonzero(equations[row:, column])
        if len(below):
            equations[[row, below[0]]] = equations[[below[0], row]]
            others = equations[:, column].copy()
            others[row] = False
            equations[others] ^= equations[row]
            pivots.append(column)
            row += 1
    presses = np.zeros(len(wrong), bool)
    if not equations[row:, -1].any():
        presses[pivots] = equations[:row, -1]
    return presses
