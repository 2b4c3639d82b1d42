"""What happened in a MiniGrid world, by comparing its state before and after a step."""

from __future__ import annotations

from typing import Any

from minigrid.core.world_object import Box, Door, Goal, WorldObj

from vlmrb.types import Event

_FORWARD = ((1, 0), (0, 1), (-1, 0), (0, -1))


class GridEvents:
    """Reports what a step did to the objects that the agent can reach.

    Args:
        env: the MiniGrid environment, without wrappers.
    """

    def __init__(self, env: Any) -> None:
        self._env = env
        self._carried: WorldObj | None = None
        self._place = (0, 0)
        self._front: WorldObj | None = None
        self._door = (False, False)

    def watch(self) -> None:
        """Remember what the agent carries and faces, before a step."""
        env = self._env
        step_x, step_y = _FORWARD[env.agent_dir]
        self._place = int(env.agent_pos[0]) + step_x, int(env.agent_pos[1]) + step_y
        self._carried, self._front = env.carrying, self._at(self._place)
        if isinstance(self._front, Door):
            self._door = self._front.is_locked, self._front.is_open

    def _at(self, place: tuple[int, int]) -> WorldObj | None:
        (x, y), grid = place, self._env.grid
        return grid.grid[y * grid.width + x] if 0 <= x < grid.width and 0 <= y < grid.height else None

    def seen(self) -> list[Event]:
        """The events since `watch`, after the step."""
        events = []
        carrying, front = self._env.carrying, self._front
        if carrying is not self._carried:
            events += _carrying_events(self._carried, carrying)
        if isinstance(front, Door) and self._door != (front.is_locked, front.is_open):
            events += _door_events(front, *self._door)
        if isinstance(front, Box) and front is not carrying and front is not self._at(self._place):
            events.append(Event("opened", "box", front.color))
        return events

    def ending(self, good: bool, terminated: bool) -> list[Event]:
        """The events of an episode's end; `good` if it terminated with a positive reward."""
        under = self._at((int(self._env.agent_pos[0]), int(self._env.agent_pos[1])))
        if good:
            return [Event("goal_reached", "goal", under.color)] if isinstance(under, Goal) else []
        if terminated and under is not None and under.type == "lava":
            return [Event("died", "lava", under.color)]
        return [Event("failed")] if terminated else []


def _carrying_events(before: WorldObj | None, after: WorldObj | None) -> list[Event]:
    events = []
    if before is not None:
        events.append(Event("dropped", before.type, before.color))
    if after is not None:
        events.append(Event("picked_up", after.type, after.color))
    return events


def _door_events(door: Door, was_locked: bool, was_open: bool) -> list[Event]:
    events = []
    if was_locked and not door.is_locked:
        events.append(Event("unlocked", "door", door.color))
    if door.is_open != was_open:
        events.append(Event("opened" if door.is_open else "closed", "door", door.color))
    return events
