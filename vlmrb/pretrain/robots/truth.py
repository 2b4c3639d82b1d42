"""What really happened in a clip of a robot and what stands where in its frames: the ground truth of every answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlmrb.pretrain.robots.footage import Footage
from vlmrb.pretrain.robots.stage import LOOKS
from vlmrb.types import Event

GRID = 12
"""Patches along a side of a frame."""

PATHS = ("gripper", "cube", "held cube")
"""What is followed through all frames, as columns of `Truth.paths`."""

HAPPENINGS = (
    *(f"{name} cube" for name in ("grasped", "lifted", "dropped", "placed_in_drawer", "reached_target")),
    *(f"{name} {thing}" for name in ("opened", "closed", "unlocked", "locked") for thing in ("drawer", "window")),
    "pressed button",
)
"""What can happen to a thing, as columns of `Truth.happened`."""

_MOVED, _STAYED = 0.025, 0.015  # metres


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The ground truth of F frames, N = GRID² patches each.

    Attributes:
        events: that happen behind the first frame and up to the last one.
        stayed: the gripper is in one place in all frames.
        moved: colours of the cubes that are moved.
        first, last: LOOKS that the first and the last frame show.
        before, after: bool [N, len(LOOKS)], what a patch holds in the first and in the last frame.
        paths: bool [N, F, len(PATHS)].
        happened: bool [N, len(HAPPENINGS)].
    """

    events: tuple[Event, ...]
    stayed: bool
    moved: frozenset[str]
    first: frozenset[str]
    last: frozenset[str]
    before: np.ndarray
    after: np.ndarray
    paths: np.ndarray
    happened: np.ndarray


def is_moved(away: float) -> bool:
    """Whether a cube that is so far from where it was, in metres, has been moved."""
    return away > _MOVED


def is_still(reach: float) -> bool:
    """Whether a gripper that goes so far, in metres, stays in place."""
    return reach < _STAYED


def truth_of(footage: Footage, rows: np.ndarray) -> Truth:
    """The truth of some frames of an episode: int [F], ascending."""
    first, last = int(rows[0]), int(rows[-1])
    events = [(at, thing, event) for at, thing, event in footage.events if first < at <= last]
    patches = _patch_of(footage.places)  # int [T, K], −1 outside
    cubes = [number for number, name in enumerate(footage.things) if name.endswith(" cube")]
    away = np.linalg.norm(footage.cubes[rows] - footage.cubes[first], axis=-1).max(0, initial=0.0)
    reach = np.linalg.norm(footage.gripper[rows] - footage.gripper[first], axis=-1).max()
    paths = np.zeros((GRID * GRID, len(rows), len(PATHS)), bool)
    for number, row in enumerate(rows):
        for thing in (0, *cubes):
            patch = patches[row, thing]
            if patch >= 0:
                paths[patch, number, 0 if thing == 0 else 1] = True
                paths[patch, number, 2] |= footage.held[row, thing]
    happened = np.zeros((GRID * GRID, len(HAPPENINGS)), bool)
    for at, thing, event in events:
        name = f"{event.name} {event.object}"
        if name in _COLUMN and patches[at, thing] >= 0:
            happened[patches[at, thing], _COLUMN[name]] = True
    return Truth(
        tuple(event for _, _, event in events),
        is_still(float(reach)),
        frozenset(
            footage.things[thing].removesuffix(" cube") for number, thing in enumerate(cubes) if is_moved(float(away[number]))
        ),
        frozenset(LOOKS[look] for look in footage.looks[first]),
        frozenset(LOOKS[look] for look in footage.looks[last]),
        _held_by_patches(patches[first], footage.looks[first]),
        _held_by_patches(patches[last], footage.looks[last]),
        paths,
        happened,
    )


def _patch_of(places: np.ndarray) -> np.ndarray:
    cells = np.floor(places * GRID).astype(np.int64)
    inside = ((cells >= 0) & (cells < GRID)).all(-1)
    return np.where(inside, cells[..., 0] * GRID + cells[..., 1], -1)


def _held_by_patches(patches: np.ndarray, looks: np.ndarray) -> np.ndarray:
    table = np.zeros((GRID * GRID, len(LOOKS)), bool)
    inside = patches >= 0
    table[patches[inside], looks[inside]] = True
    return table


_COLUMN = {name: index for index, name in enumerate(HAPPENINGS)}
