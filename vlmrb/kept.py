"""Checkpoints that a run keeps for branches, next to those that it resumes from: kept/<moment>/step-…, written like any other.

They are no part of resuming. When a run is resumed from an earlier step, those that came after it go, like its curves.
"""

from __future__ import annotations

from dataclasses import dataclass

from vlmrb.moments import EVERY, SUCCESSES
from vlmrb.places import Found, Place

MOMENTS = (*SUCCESSES, EVERY)

MAX_COUNT = 20
"""Checkpoints that a run keeps at regular intervals."""

MAX_BYTES = 4 * 2**30
"""What these may take together."""


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A kept checkpoint.

    Attributes:
        moment: 'first-success', 'fifth-success' or 'every'.
        found: where it is.
    """

    moment: str
    found: Found


def kind_of(moment: str) -> str:
    """The kind of checkpoint, in a place, that a run keeps for a moment."""
    return f"kept/{moment}"


def bounds_of(moment: str) -> tuple[int, int | None]:
    """How many checkpoints of a moment are kept, and how many bytes they may take; the newest always stays."""
    return (MAX_COUNT, MAX_BYTES) if moment == EVERY else (1, None)


def kept_checkpoints(place: Place) -> list[KeptCheckpoint]:
    """A run's kept checkpoints: those of successes first, then by step.

    Raises:
        CheckpointError: the place cannot be read.
    """
    return [KeptCheckpoint(moment, found) for moment in MOMENTS for found in reversed(place.checkpoints(kind_of(moment)))]
