"""What a model is examined on: clips that training never saw, and the questions about them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from vlmrb.pretrain.questions import PROGRESS, Catalogue, Matter
from vlmrb.types import Clip, ScoringRequest


class Asked(NamedTuple):
    """A question of the exam, and the one that should get the opposite answers."""

    matter: Matter
    text: str
    opposite: str


ASKED_PROGRESS = Asked(
    Matter(PROGRESS), "Does this clip show meaningful progress?", "Does this clip end without meaningful progress?"
)
"""The first question of every exam."""


def does(subject: str, deed: str, *matter: str) -> Asked:
    """'Does <subject> <deed>?', with 'never' for the opposite; `matter` is the family and, if any, the object."""
    return Asked(Matter(*matter), f"Does {subject} {deed}?", f"Does {subject} never {deed}?")


class HeldOut(NamedTuple):
    """A clip that training never saw."""

    env: str
    clip: Clip
    truth: Any


class Exam(Protocol):
    """The exam on one kind of world.

    Attributes:
        catalogue: has the answers.
        questions: to be asked, ASKED_PROGRESS first.
        visuals: other ways to draw the frames, by name; 'normal' is not among them.
    """

    catalogue: Catalogue
    questions: tuple[Asked, ...]
    visuals: tuple[str, ...]

    def held_out(self, clips: int, seed: int) -> list[HeldOut]:
        """This many clips, the same ones for the same seed."""
        ...

    def timed(self, seed: int) -> list[HeldOut]:
        """More than 8 clips to measure the speed on."""
        ...

    def request(self, item: HeldOut, visuals: str = "normal") -> ScoringRequest:
        """A clip with its frames."""
        ...


def equal_shares(count: int, parts: int) -> list[int]:
    """Split a count into `parts` whole shares that differ by at most one."""
    return [count * (part + 1) // parts - count * part // parts for part in range(parts)]
