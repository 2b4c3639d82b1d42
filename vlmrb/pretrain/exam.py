"""What a model is examined on: clips that no training has seen, and the questions about them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from vlmrb.pretrain.questions import Catalogue, Matter
from vlmrb.types import Clip, ScoringRequest


class Asked(NamedTuple):
    """A question of the exam, and the one that should get the opposite answers."""

    matter: Matter
    text: str
    opposite: str


class HeldOut(NamedTuple):
    """A clip that no training has seen."""

    env: str
    clip: Clip
    truth: Any


class Exam(Protocol):
    """One kind of world to be examined on.

    Attributes:
        catalogue: with the answers.
        questions: to be asked; the first one is after progress.
        visuals: other ways to draw the frames, by name; 'normal' is not among them.
    """

    catalogue: Catalogue
    questions: tuple[Asked, ...]
    visuals: tuple[str, ...]

    def held_out(self, clips: int, seed: int) -> list[HeldOut]:
        """So many clips: always the same ones for the same seed."""
        ...

    def timed(self, seed: int) -> list[HeldOut]:
        """Clips to take the time with, more than 8."""
        ...

    def request(self, item: HeldOut, visuals: str = "normal") -> ScoringRequest:
        """A clip with its frames, drawn now."""
        ...
