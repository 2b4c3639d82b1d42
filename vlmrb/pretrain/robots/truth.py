"""What happened in a clip of the robot and what is where in its frames: the ground truth behind every answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlmrb.pretrain.robots.footage import Footage
from vlmrb.pretrain.robots.stage import LOOKS
from vlmrb.pretrain.truth import Truth

GRID = 12
"""Patches along a side of a frame."""

PATHS = ("gripper", "cube", "held cube")
"""What is tracked through all frames: the columns of `RobotTruth.paths`."""

HAPPENINGS = (
    *(f"{name} cube" for name in ("grasped", "lifted", "dropped", "placed_in_drawer", "reached_target")),
    *(f"{name} {thing}" for name in ("opened", "closed", "unlocked", "locked") for thing in ("drawer", "window")),
    "pressed button",
)
"""What can happen to a thing: the columns of `RobotTruth.happened`."""

_MOVED, _STAYED = 0.025, 0.015  # metres


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RobotTruth(Truth):
    """The ground truth of F frames of N = GRID² patches; its events come after the first frame, up to the last.

    Attributes:
        moved: colours of the cubes that are moved.
        kept: colours of the cubes that are held in the last frame.
        before, after: bool [N, len(LOOKS)], what a patch contains in the first and in the last frame.
        paths: bool [N, F, len(PATHS)], True where it is in a patch.
        happened: bool [N, len(HAPPENINGS)], True where it happens in a patch.
    """

    moved: frozenset[str]
    kept: frozenset[str]
    before: np.ndarray
    after: np.ndarray
    paths: np.ndarray
    happened: np.ndarray


def is_moved(away: float) -> bool:
    """Whether a cube counts as moved when it ends up this far from where it was, in metres."""
    return away > _MOVED


def is_still(reach: float) -> bool:
    """Whether a gripper that moves this far, in metres, counts as staying in place."""
    return reach < _STAYED


def truth_of(footage: Footage, rows: np.ndarray) -> RobotTruth:
    """The truth of the frames `rows` of an episode: int [F], ascending."""
    first, last = int(rows[0]), int(rows[-1])
    events = [(at, thing, event) for at, thing, event in footage.events if first < at <= last]
    patches = _patch_of(footage.places)  # int [T, K]
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
    return RobotTruth(
        events=tuple(event for _, _, event in events),
        stayed=is_still(float(reach)),
        first=frozenset(LOOKS[look] for look in footage.looks[first]),
        last=frozenset(LOOKS[look] for look in footage.looks[last]),
        moved=frozenset(
            footage.things[thing].removesuffix(" cube") for number, thing in enumerate(cubes) if is_moved(float(away[number]))
        ),
        kept=frozenset(footage.things[thing].removesuffix(" cube") for thing in cubes if footage.held[last, thing]),
        before=_contents(patches[first], footage.looks[first]),
        after=_contents(patches[last], footage.looks[last]),
        paths=paths,
        happened=happened,
    )


def _patch_of(places: np.ndarray) -> np.ndarray:
    """Places in the picture, float [..., 2] → number of the patch, int [...]; −1 outside the picture."""
    cells = np.floor(places * GRID).astype(np.int64)
    inside = ((cells >= 0) & (cells < GRID)).all(-1)
    return np.where(inside, cells[..., 0] * GRID + cells[..., 1], -1)


def _contents(patches: np.ndarray, looks: np.ndarray) -> np.ndarray:
    """bool [N, len(LOOKS)], from each thing's patch and look."""
    table = np.zeros((GRID * GRID, len(LOOKS)), bool)
    inside = patches >= 0
    table[patches[inside], looks[inside]] = True
    return table


_COLUMN = {name: index for index, name in enumerate(HAPPENINGS)}
