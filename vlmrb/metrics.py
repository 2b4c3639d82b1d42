"""Running means between log rows, and the run's counters."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from vlmrb.types import RunCounters


class MeanMetrics:
    """Collects values by name and returns their means since the last call."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, name: str, value: float) -> None:
        """Add a value."""
        self._sums[name] += value
        self._counts[name] += 1

    def take(self) -> dict[str, float]:
        """Return the means by name and reset."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        return means


@dataclass
class Counters:
    """Counts over the whole run, saved in checkpoints; `RunCounters` documents them."""

    episodes: int = 0
    clips: int = 0
    clips_scored: int = 0
    positive: int = 0
    unknown: int = 0
    stale: int = 0
    dropped: int = 0

    @property
    def positive_rate(self) -> float | None:
        """Fraction of yes among the clips with a known answer; None before the first."""
        return self.taken().positive_rate

    def taken(self, **others: Any) -> RunCounters:
        """The current counts as `RunCounters`, whose other fields are `others`."""
        return RunCounters(**asdict(self), **others)

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the values that `as_dict` returned."""
        for name in self.as_dict():
            setattr(self, name, saved[name])

    def as_dict(self) -> dict[str, Any]:
        """All counters by name."""
        return asdict(self)
