"""How agents behave in the worlds that the embedded model learns from: at random, on the spot, or by a plan.

The planner picks something that can be done right now (fetch a key, unlock a door with it, drop it, go through a door, reach the
goal, walk into lava …), finds a path by breadth-first search, and slips now and then.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Any

import numpy as np
from minigrid.core.world_object import Door
from minigrid.minigrid_env import MiniGridEnv

LEFT, RIGHT, FORWARD, PICK_UP, DROP, TOGGLE = range(6)
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_ON_THE_SPOT = np.array([0.35, 0.35, 0.0, 0.1, 0.05, 0.15])
_SUBGOAL_WEIGHTS = {
    "fetch_key": 4.0,
    "fetch": 2.0,
    "drop": 3.0,
    "unlock": 8.0,
    "open": 3.0,
    "close": 4.0,
    "pass": 5.0,
    "doorway": 2.0,
    "goal": 1.5,
    "lava": 0.5,
    "wander": 1.0,
}

Place = tuple[int, int]


class Behaviour:
    """One agent's behaviour: a new mood every few steps.

    Args:
        env: the environment it acts in.
        rng: the only source of randomness.
        planned: share of the moods that follow a plan; three quarters of the others are random, one quarter is on the spot.
    """

    def __init__(self, env: MiniGridEnv, rng: np.random.Generator, planned: float = 0.6) -> None:
        self._env, self._rng, self._planned = env, rng, planned
        self._actions = int(env.action_space.n)
        self._steps_left = 0

    def act(self) -> int:
        """The next action."""
        if self._steps_left <= 0:
            self._draw_mood()
        self._steps_left -= 1
        if self._mood == "planned" and self._rng.random() >= self._slips:
            action = self._follow_plan()
        elif self._mood == "on the spot":
            action = int(self._rng.choice(6, p=_ON_THE_SPOT))
        else:
            action = int(self._rng.choice(6, p=self._habits))
        return action if action < self._actions else int(self._rng.integers(self._actions))

    def _draw_mood(self) -> None:
        rng = self._rng
        draw = rng.random()
        rest = (1 - self._planned) / 4
        self._mood = "planned" if draw < self._planned else "on the spot" if draw < self._planned + rest else "random"
        self._steps_left = int(rng.integers(12, 49))
        self._slips = float(rng.choice([0.0, 0.05, 0.2, 0.4]))
        # uniform like an untrained agent, or with habits of its own
        self._habits = np.full(6, 1 / 6) if rng.random() < 0.4 else rng.dirichlet([1.5, 1.5, 4.0, 0.7, 0.5, 0.7])
        self._plan: deque[int] = deque()

    def _follow_plan(self) -> int:
        if self._plan and self._plan[0] == FORWARD and not self._is_free_ahead():
            self._plan.clear()  # something moved into the way
        if not self._plan:
            self._plan = self._make_plan()
        return self._plan.popleft() if self._plan else int(self._rng.choice(6, p=self._habits))

    def _is_free_ahead(self) -> bool:
        ahead = self._env.grid.get(*self._env.front_pos)
        return ahead is None or bool(ahead.can_overlap())

    def _make_plan(self) -> deque[int]:
        subgoals = self._subgoals()
        came_from = _reachable(self._env)
        for _ in range(4):
            if not subgoals:
                break
            weights = np.array([_SUBGOAL_WEIGHTS[name] for name, _ in subgoals])
            name, place = subgoals.pop(int(self._rng.choice(len(subgoals), p=weights / weights.sum())))
            plan = self._plan_for(name, place, came_from)
            if plan:
                return plan
        return deque()

    def _subgoals(self) -> list[tuple[str, Place]]:
        """Everything that can be done now, one entry per kind and place."""
        env = self._env
        found: list[tuple[str, Place]] = [("drop", place) for place in self._some_free(1) if env.carrying]
        found += [("wander", place) for place in self._some_free(1)]
        for index, thing in enumerate(env.grid.grid):
            if thing is None or thing.type in ("wall", "floor"):
                continue
            place = (index % env.grid.width, index // env.grid.width)
            found += [(name, place) for name in _uses(thing, env.carrying)]
        return found

    def _some_free(self, count: int) -> list[Place]:
        grid = self._env.grid
        free = [index for index, thing in enumerate(grid.grid) if thing is None]
        if not free:
            return []
        chosen = self._rng.choice(free, size=min(count, len(free)), replace=False)
        return [(int(index) % grid.width, int(index) // grid.width) for index in chosen]

    def _plan_for(self, name: str, place: Place, came_from: dict[Place, Place | None]) -> deque[int]:
        """Actions that go there and do it; empty if there is no path."""
        ends = {"fetch_key": PICK_UP, "fetch": PICK_UP, "drop": DROP, "unlock": TOGGLE, "open": TOGGLE, "close": TOGGLE}
        beside = [cell for dx, dy in _STEPS if (cell := (place[0] - dx, place[1] - dy)) in came_from]
        if name in ends and beside:  # done from a neighbouring cell, facing it
            path = [*_path(came_from, beside[int(self._rng.integers(len(beside)))]), place]
            return deque([*_moves(self._env, path)[:-1], ends[name]])
        if name in ("goal", "lava") and beside:  # paths avoid these, so `came_from` does not hold them
            return deque(_moves(self._env, [*_path(came_from, beside[0]), place]))
        if place not in came_from:
            return deque()
        path = _path(came_from, place)
        if name == "pass" and len(path) > 1:  # one step beyond the door
            beyond = (2 * path[-1][0] - path[-2][0], 2 * path[-1][1] - path[-2][1])
            path.append(beyond)
        return deque(_moves(self._env, path))


def _uses(thing: Any, carried: Any) -> list[str]:
    if isinstance(thing, Door):
        if thing.is_locked:
            return ["unlock"] if carried is not None and carried.type == "key" and carried.color == thing.color else []
        return ["close", "pass", "doorway"] if thing.is_open else ["open"]
    if thing.type in ("goal", "lava"):
        return [thing.type]
    if carried is None and thing.type in ("key", "ball", "box"):
        return ["fetch_key" if thing.type == "key" else "fetch"]
    return []


def _reachable(env: MiniGridEnv) -> dict[Place, Place | None]:
    """Every cell that can be reached without stepping on a goal or into lava, with the cell before it."""
    start = (int(env.agent_pos[0]), int(env.agent_pos[1]))
    came_from: dict[Place, Place | None] = {start: None}
    width, cells = env.grid.width, env.grid.grid
    waiting = deque([start])
    while waiting:
        x, y = waiting.popleft()
        for dx, dy in _STEPS:
            cell = (x + dx, y + dy)
            if cell in came_from or not (0 <= cell[0] < width and 0 <= cell[1] < env.grid.height):
                continue
            thing = cells[cell[1] * width + cell[0]]
            if thing is None or thing.type == "floor" or (thing.type == "door" and thing.is_open):
                came_from[cell] = (x, y)
                waiting.append(cell)
    return came_from


def _path(came_from: dict[Place, Place | None], end: Place) -> list[Place]:
    path = [end]
    while (before := came_from[path[-1]]) is not None:
        path.append(before)
    return path[::-1]


def _moves(env: MiniGridEnv, path: list[Place]) -> list[int]:
    """Turns and steps along a path of neighbouring cells that starts at the agent; the last action is a step."""
    moves, direction = [], int(env.agent_dir)
    for (x, y), (next_x, next_y) in pairwise(path):
        wanted = _STEPS.index((next_x - x, next_y - y))
        turn = (wanted - direction) % 4
        moves += [[], [RIGHT], [RIGHT, RIGHT], [LEFT]][turn]
        moves.append(FORWARD)
        direction = wanted
    return moves
