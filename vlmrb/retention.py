"""Which of its clips a run keeps: the setting `keep_clips`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORM = "'all', 'yes' (those labelled yes), 'every:N' (every Nth clip), 'newest:N' (the newest N) or 'none', with N from 1 on"


@dataclass(frozen=True, slots=True)
class Retention:
    """Which clips stay. Whatever still needs a clip, such as a person's label, keeps it too (`vlmrb.housekeeping`).

    Attributes:
        kind: 'all', 'yes', 'every', 'newest' or 'none'.
        count: N of 'every' and 'newest'; else 0.
    """

    kind: str
    count: int = 0

    @classmethod
    def parse(cls, value: object) -> Retention:
        """What a setting says; True and False, which earlier versions stored, are 'all' and 'none'.

        Raises:
            ValueError: it says anything else; the message is the allowed form.
        """
        if isinstance(value, bool):
            return cls("all" if value else "none")
        text = str(value).strip().lower()
        if text in ("all", "yes", "none"):
            return cls(text)
        found = re.fullmatch(r"(every|newest):([1-9][0-9_]{0,14})", text)
        if found is None:
            raise ValueError(f"allowed: {FORM}")
        return cls(found[1], int(found[2]))

    def __str__(self) -> str:
        return f"{self.kind}:{self.count}" if self.count else self.kind

    @property
    def stores(self) -> bool:
        """Whether clips are stored at all."""
        return self.kind != "none"

    @property
    def removes(self) -> bool:
        """Whether stored clips go again."""
        return self.kind in ("yes", "every", "newest")

    def keeps(self, number: int, newest: int, label: bool | None) -> bool:
        """Whether a stored clip stays by itself.

        Args:
            number: of the clip in its run, from 0.
            newest: of the run's newest clip.
            label: of its newest score.
        """
        if self.kind == "yes":
            return label is True
        if self.kind == "every":
            return number % self.count == 0
        return self.kind != "newest" or number > newest - self.count


def retention_of(config: Mapping[str, Any]) -> Retention:
    """Which clips a run with these stored settings keeps; all where a version stored something else."""
    try:
        return Retention.parse(config.get("keep_clips", "all"))
    except ValueError:
        return Retention("all")
