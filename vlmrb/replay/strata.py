"""A stratum: the items that one label leads to."""

from __future__ import annotations

import numpy as np

from vlmrb.replay.sum_tree import SumTree


class Stratum:
    """Priorities of `capacity` slots by one label, all 0 at first, and their masses to draw by.

    Attributes:
        priorities: float64 [capacity] in [0, 1]; masses follow at the next `write`.
        tree: masses: the priorities, times |δ| where that boosts them.
        largest: no mass is above it; the largest one after `recount`.
    """

    def __init__(self, capacity: int) -> None:
        self.priorities = np.zeros(capacity)
        self.tree = SumTree(capacity)
        self.largest = 0.0

    def write(self, slots: np.ndarray, boost: np.ndarray | None) -> None:
        """Masses of these slots from their priorities, times `boost` (float64 [capacity]) if there is one."""
        if not len(slots):
            return
        masses = self.priorities[slots]
        if boost is not None:
            masses = masses * boost[slots]
        self.tree.set(slots, masses)
        self.largest = max(self.largest, float(masses.max()))

    def clear(self, slots: np.ndarray) -> None:
        """No mass at these slots any more."""
        if self.priorities[slots].any():
            self.priorities[slots] = 0.0
            self.tree.set(slots, np.zeros(len(slots)))

    def recount(self) -> None:
        """Look up the largest mass."""
        self.largest = float(self.tree.leaves.max())
