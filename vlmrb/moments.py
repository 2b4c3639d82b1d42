"""The moments of a run at which a checkpoint is kept, for branches: the setting `keep_checkpoints`."""

from __future__ import annotations

import re
from dataclasses import dataclass

SUCCESSES = {"first-success": 1, "fifth-success": 5}
"""Moments at the end of the step in which this many training episodes have succeeded; scripted play does not count."""

EVERY = "every"
"""The moment of checkpoints that are kept at regular intervals."""

FORM = "'first-success', 'fifth-success' and 'every:N' with N steps in between, separated by commas; or nothing"


@dataclass(frozen=True, slots=True)
class Moments:
    """Which checkpoints a run keeps.

    Attributes:
        successes: names of SUCCESSES.
        every: steps between two checkpoints of the moment EVERY, or None.
    """

    successes: tuple[str, ...] = ()
    every: int | None = None

    @classmethod
    def parse(cls, text: str) -> Moments:
        """What 'first-success,fifth-success,every:100000' says; '' is none.

        Raises:
            ValueError: it says anything else, or one thing twice; the message is the allowed form.
        """
        words = [word.strip() for word in text.split(",")] if text.strip() else []
        intervals = [found for word in words if (found := re.fullmatch(r"every:([1-9][0-9_]{0,14})", word))]
        successes = tuple(name for name in SUCCESSES if name in words)
        if len(successes) + len(intervals) < len(words) or len(intervals) > 1:
            raise ValueError(f"allowed: {FORM}")
        return cls(successes, int(intervals[0][1]) if intervals else None)

    def __str__(self) -> str:
        return ",".join([*self.successes, *([f"{EVERY}:{self.every}"] if self.every else [])])
