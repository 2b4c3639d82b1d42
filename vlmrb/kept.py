"""Checkpoints that a run keeps for branches, in its folder: kept/<moment>/step-…, written like any other (`vlmrb.checkpoint`).

They are no part of resuming. When a run is resumed from an earlier step, those that came after it go, like its curves.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from vlmrb.checkpoint import list_checkpoints, size_of
from vlmrb.moments import EVERY, SUCCESSES

MOMENTS = (*SUCCESSES, EVERY)

MAX_COUNT = 20
"""Checkpoints that a run keeps at regular intervals."""

MAX_BYTES = 4 * 2**30
"""What these may take on the disk together."""


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A kept checkpoint.

    Attributes:
        moment: 'first-success', 'fifth-success' or 'every'.
        step: of the run.
        path: its folder.
    """

    moment: str
    step: int
    path: Path

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return size_of(self.path)


def folder_of_moment(run_folder: Path, moment: str) -> Path:
    """Where a run keeps the checkpoints of a moment."""
    return run_folder / "kept" / moment


def kept_checkpoints(run_folder: Path) -> list[KeptCheckpoint]:
    """A run's kept checkpoints: those of successes first, then by step."""
    return [
        KeptCheckpoint(moment, step, path)
        for moment in MOMENTS
        for step, path in reversed(list_checkpoints(folder_of_moment(run_folder, moment)))
    ]


def drop_oldest(run_folder: Path) -> None:
    """Remove the oldest checkpoints that were kept at regular intervals until both bounds hold; the newest always stays."""
    regular = [each for each in kept_checkpoints(run_folder) if each.moment == EVERY]
    sizes = [each.size for each in regular]
    for index, each in enumerate(regular[:-1]):
        if len(regular) - index <= MAX_COUNT and sum(sizes[index:]) <= MAX_BYTES:
            return
        shutil.rmtree(each.path, ignore_errors=True)


def drop_after(run_folder: Path, step: int) -> None:
    """Remove those of steps that the run is to do again."""
    for each in kept_checkpoints(run_folder):
        if each.step > step:
            shutil.rmtree(each.path, ignore_errors=True)
