"""What happened in a clip of a grid world and what its frames show: the ground truth behind every answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from vlmrb.envs.minigrid_view import DOOR, EMPTY, HEADER, WALL
from vlmrb.pretrain.truth import Truth
from vlmrb.types import Clip, Event

COLORS = tuple(sorted(COLOR_TO_IDX, key=lambda name: COLOR_TO_IDX[name]))
THINGS = ("key", "ball", "box")
_PLAIN = ("empty", "wall", "goal", "lava", "floor")
_DOOR_STATES = ("open", "closed", "locked")
CONTENTS = (
    *_PLAIN,
    *(f"{color} {thing}" for thing in THINGS for color in COLORS),
    *(f"{state} {color} door" for state in _DOOR_STATES for color in COLORS),
)
"""What a cell can contain; `GridTruth.before` and `after` index into it."""

HAPPENINGS = (
    *(f"{name} {color} {thing}" for name in ("picked_up", "dropped") for thing in THINGS for color in COLORS),
    *(f"{name} {color} door" for name in ("unlocked", "opened", "closed") for color in COLORS),
    "opened box",
    "goal_reached",
    "died",
)
"""What can happen to a cell: the columns of `GridTruth.happened`."""

_AHEAD = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])  # by the agent's direction


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GridTruth(Truth):
    """The ground truth of one clip and of the frames that the model sees.

    Attributes:
        faced: what the agent stood in front of in any frame, such as 'red ball' or 'blue door'.
        kept: what it picked up and still carries at the end of the clip, such as 'red key'.
        before, after: uint8 [H, W], index into CONTENTS of each cell in the first and in the last frame.
        agents: bool [F, H, W], True where the agent is.
        happened: bool [H, W, len(HAPPENINGS)], True where it happened to a cell at any step of the clip.
    """

    faced: frozenset[str]
    kept: frozenset[str]
    before: np.ndarray
    after: np.ndarray
    agents: np.ndarray
    happened: np.ndarray


def truth_of(clip: Clip, frame_indices: np.ndarray, view_size: int = 7) -> GridTruth:
    """Work out the truth of a MiniGrid clip.

    Args:
        clip: with snapshots of a MiniGrid environment.
        frame_indices: int [F], the steps whose frames the model sees, ascending.
        view_size: side of the agent's view, as in the render recipe.
    """
    places, cells = _unpack(clip, view_size)
    width, height = cells.shape[1:3]
    entered = [(index, Event("entered", "room")) for index in room_entries(cells[0], places)]
    seen = cells[frame_indices[[0, -1]]]
    before, after = _CONTENT_OF[seen[..., 0], seen[..., 1], seen[..., 2]].transpose(0, 2, 1)  # [height, width] each
    agents = np.zeros((len(frame_indices), height, width), bool)
    at = places[frame_indices]
    agents[np.arange(len(at)), at[:, 1], at[:, 0]] = True
    return GridTruth(
        faced=_faced(cells[frame_indices], clip.snapshots[frame_indices, 2:5].astype(np.int64)),
        kept=_kept(event for _, event in clip.events),
        events=tuple(event for _, event in sorted((*clip.events, *entered), key=lambda pair: pair[0])),
        stayed=bool((places == places[0]).all()),
        before=before,
        after=after,
        agents=agents,
        happened=_happened(clip, places, (height, width)),
        first=frozenset(CONTENTS[i] for i in np.unique(before)),
        last=frozenset(CONTENTS[i] for i in np.unique(after)),
    )


def passages(clip: Clip, view_size: int = 7) -> frozenset[str]:
    """What an agent does at doors, as kinds for `choose_balanced`: 'stood in doorway', 'entered room'; often neither."""
    places, cells = _unpack(clip, view_size)
    in_doorway = (cells[0, places[:, 0], places[:, 1], 0] == DOOR).any()
    if not in_doorway:
        return frozenset()
    return frozenset({"stood in doorway", *(["entered room"] if room_entries(cells[0], places) else [])})


def _unpack(clip: Clip, view_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the agent is, int64 [T, 2], and the grids, uint8 [T, width, height, 3]."""
    width, height = (int(value) for value in clip.snapshots[0, :2])
    cells = clip.snapshots[:, HEADER + (view_size**2 + 7) // 8 :]
    return clip.snapshots[:, 2:4].astype(np.int64), cells.reshape(len(clip), width, height, 3)


def _faced(cells: np.ndarray, poses: np.ndarray) -> frozenset[str]:
    """What is in front of the agent, from grids uint8 [F, width, height, 3] and its places and directions int [F, 3]."""
    ahead = poses[:, :2] + _AHEAD[poses[:, 2]]
    inside = ((ahead >= 0) & (ahead < cells.shape[1:3])).all(1)
    rows = np.flatnonzero(inside)
    kinds = cells[rows, ahead[rows, 0], ahead[rows, 1]]
    contents = {CONTENTS[index] for index in np.unique(_CONTENT_OF[kinds[:, 0], kinds[:, 1], kinds[:, 2]])}
    return frozenset(" ".join(content.split()[-2:]) for content in contents if content not in _PLAIN)  # without a door's state


def _kept(events: Iterable[Event]) -> frozenset[str]:
    """The thing that is picked up last and not dropped afterwards, as far as the clip shows."""
    kept = ""
    for event in events:
        if event.name == "picked_up":
            kept = f"{event.color} {event.object}"
        elif event.name == "dropped":
            kept = ""
    return frozenset({kept} if kept else ())


def room_entries(cells: np.ndarray, places: np.ndarray) -> list[int]:
    """Steps at which the agent enters a room that it has not been in before within the clip.

    A room is everything that can be reached without passing a door. Door cells belong to no room.

    Args:
        cells: uint8 [width, height, 3], the grid; walls and doors do not move.
        places: int [T, 2], where the agent is.
    """
    rooms = _rooms(cells)
    been: set[int] = set()
    entered = []
    for index, (x, y) in enumerate(places):
        room = int(rooms[x, y])
        if room and room not in been:
            if been:
                entered.append(index)
            been.add(room)
    return entered


def _rooms(cells: np.ndarray) -> np.ndarray:
    """int [width, height]: number of the room, from 1; 0 for walls and doors."""
    rooms = np.where((cells[..., 0] == WALL) | (cells[..., 0] == DOOR), 0, -1)
    count = 0
    for x, y in np.argwhere(rooms == -1):
        if rooms[x, y] != -1:
            continue
        count += 1
        rooms[x, y] = count
        waiting = [(int(x), int(y))]
        while waiting:
            at_x, at_y = waiting.pop()
            for cell in ((at_x + 1, at_y), (at_x - 1, at_y), (at_x, at_y + 1), (at_x, at_y - 1)):
                if 0 <= cell[0] < rooms.shape[0] and 0 <= cell[1] < rooms.shape[1] and rooms[cell] == -1:
                    rooms[cell] = count
                    waiting.append(cell)
    return rooms


def _happened(clip: Clip, places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    table = np.zeros((*shape, len(HAPPENINGS)), bool)
    for index, event in clip.events:
        column = _COLUMN.get(_happening(event))
        if column is None:
            continue
        x, y = places[index]
        if event.name not in ("goal_reached", "died"):  # these happen where the agent is, all others in front of it
            x, y = places[index] + _AHEAD[clip.snapshots[index, 4]]
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            table[y, x, column] = True
    return table


def _happening(event: Event) -> str:
    if event.name in ("goal_reached", "died"):
        return event.name
    if (event.name, event.object) == ("opened", "box"):
        return "opened box"
    return str(event)


def _content_table() -> np.ndarray:
    """uint8 [objects, colours, states]: index into CONTENTS."""
    table = np.full((len(OBJECT_TO_IDX), len(COLORS), 3), CONTENTS.index("empty"), np.uint8)
    for name in _PLAIN:
        table[OBJECT_TO_IDX[name]] = CONTENTS.index(name)
    for color_index, color in enumerate(COLORS):
        for thing in THINGS:
            table[OBJECT_TO_IDX[thing], color_index] = CONTENTS.index(f"{color} {thing}")
        for state_index, state in enumerate(_DOOR_STATES):
            table[DOOR, color_index, state_index] = CONTENTS.index(f"{state} {color} door")
    table[EMPTY] = CONTENTS.index("empty")
    return table


_COLUMN = {name: index for index, name in enumerate(HAPPENINGS)}
_CONTENT_OF = _content_table()
