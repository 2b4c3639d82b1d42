"""Clips of agents that learn: what a run's scorer is really asked about, from real runs of DQN in worlds with sparse rewards."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from vlmrb.pretrain.collecting import make_parts
from vlmrb.pretrain.learning import Learner, clips_of
from vlmrb.types import Clip, Event

LEARNERS = (
    Learner("MiniGrid-Empty-8x8-v0", 12_000),
    Learner("MiniGrid-Unlock-v0", 40_000),
    Learner("MiniGrid-UnlockPickup-v0", 40_000),
    Learner("MiniGrid-KeyCorridorS3R1-v0", 40_000),
    Learner("MiniGrid-KeyCorridorS3R2-v0", 40_000, "uniform"),
    Learner("MiniGrid-MultiRoom-N2-S4-v0", 30_000),
    Learner("MiniGrid-Fetch-5x5-N2-v0", 30_000, "uniform", "iqn"),
    Learner("MiniGrid-LavaGapS5-v0", 20_000),
    Learner("MiniGrid-DistShift1-v0", 20_000, "uniform"),
    Learner("MiniGrid-FourRooms-v0", 30_000),
    Learner("MiniGrid-GoToDoor-5x5-v0", 30_000),
    Learner("BabyAI-GoToLocalS6N2-v0", 30_000),
    Learner("BabyAI-PickupDist-v0", 30_000, "per", "iqn"),
    Learner("BabyAI-OpenDoor-v0", 30_000),
)
"""The runs that training takes clips from. None is of DoorKey, which the model is evaluated on."""

CLIPS = 600
"""How many of each run are kept."""

_FIELDS = ("item_ids", "snapshots", "rewards")


def prepare(folder: Path, seed: int, workers: int, report: Callable[[float], None]) -> None:
    """Train the agents whose clips do not exist yet.

    Args:
        folder: for the clips.
        seed: of the agents.
        workers: processes that train; with 0, this one does.
        report: gets the finished share, in [0, 1].
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(len(LEARNERS)) if not _file(folder, number).exists()]
    make_parts(partial(_film, folder, seed), missing, len(LEARNERS), workers, report)


@cache
def load_clips(folder: Path) -> list[tuple[str, Clip]]:
    """What `prepare` has put there: clips with the ids of their environments."""
    return [(learner.env, clip) for number, learner in enumerate(LEARNERS) for clip in _read(_file(folder, number))]


def _file(folder: Path, number: int) -> Path:
    return folder / f"learner-{number:02d}.npz"


def _film(folder: Path, seed: int, number: int) -> None:
    save_clips(folder, number, clips_of(LEARNERS[number], seed + number, CLIPS))


def save_clips(folder: Path, number: int, clips: Sequence[Clip]) -> None:
    """Write the clips of this learner atomically."""
    path = _file(folder, number)
    told = [[[index, event.name, event.object, event.color] for index, event in clip.events] for clip in clips]
    arrays = {f"{name}-{row}": getattr(clip, name) for row, clip in enumerate(clips) for name in _FIELDS}
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, events=np.array(json.dumps(told)), **arrays)
    partial.rename(path)


def _read(path: Path) -> list[Clip]:
    with np.load(path, allow_pickle=False) as parts:
        told = json.loads(str(parts["events"]))
        clips = []
        for row, events in enumerate(told):
            arrays = {name: parts[f"{name}-{row}"] for name in _FIELDS}
            happened = tuple((index, Event(name, kind, color)) for index, name, kind, color in events)
            clips.append(Clip(row, 0, 0, **arrays, events=happened, closed_by="length"))
        return clips
