"""What a store holds of its runs, and what it need not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TableSize:
    """Rows of a run in one table, and what their values take in bytes: without indexes and unused space."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RunSize:
    """What a run takes.

    Attributes:
        tables: by table, those that have rows of it.
        folder_bytes: of its folder: checkpoints, log, and rows that the store did not take.
    """

    tables: Mapping[str, TableSize]
    folder_bytes: int = 0

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(each.rows for each in self.tables.values())

    @property
    def store_bytes(self) -> int:
        """Bytes in all tables."""
        return sum(each.bytes for each in self.tables.values())


@dataclass(frozen=True, slots=True)
class Surplus:
    """Clips of a run that its retention does not keep.

    Attributes:
        clip_ids: those that nothing needs, ascending.
        bytes: of these clips with their scores.
        needed: how many others stay although the retention does not keep them, by what needs them, in words.
    """

    run_id: int
    clip_ids: tuple[int, ...] = ()
    bytes: int = 0
    needed: Mapping[str, int] = field(default_factory=dict)
