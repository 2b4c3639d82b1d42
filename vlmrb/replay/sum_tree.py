"""A sum tree: holds a non-negative mass per slot and draws slots in proportion to it.

Each node has eight children that lie in one cache line (64 bytes), so a tree of a million slots is seven levels
deep and a walk from the root costs seven cache misses instead of the twenty of a binary tree. A parent is always
re-summed from its children, so rounding errors do not build up; masses of 0 and 1 are summed exactly.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FANOUT = 8


class SumTree:
    """Masses of `capacity` slots, all 0 at first."""

    def __init__(self, capacity: int) -> None:
        sizes = [_round_up(capacity)]
        while sizes[-1] > FANOUT:
            sizes.append(_round_up(sizes[-1] // FANOUT))
        self.capacity = capacity
        # levels from the leaves up, one after the other in one array; the last level is a single node's children
        self._offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self._masses = np.zeros(sum(sizes), dtype=np.float64)
        self._root = self._masses[self._offsets[-1] :]

    @property
    def total(self) -> float:
        """Sum of all masses."""
        return float(self._root.sum())

    @property
    def leaves(self) -> np.ndarray:
        """The masses, float64 [capacity]; a view: change them through `set` alone."""
        return self._masses[: self.capacity]

    def set(self, slots: np.ndarray, masses: np.ndarray) -> None:
        """Write `masses` (float64 [N], finite, ≥ 0) at `slots` (int64 [N]). Of duplicates the last one stays."""
        _set(self._masses, self._offsets, slots, masses)

    def find(self, points: np.ndarray) -> np.ndarray:
        """Slots (int64 [N]) whose share of [0, total) holds each point (float64 [N]); never a slot of mass 0."""
        return _find(self._masses, self._offsets, points)


def _round_up(size: int) -> int:
    return -(-size // FANOUT) * FANOUT


@njit(cache=True)
def _set(masses, offsets, slots, values):  # type: ignore[no-untyped-def]
    for i in range(slots.shape[0]):
        masses[slots[i]] = values[i]
    for i in range(slots.shape[0]):
        node = slots[i]
        for level in range(1, offsets.shape[0]):
            node //= FANOUT
            first = offsets[level - 1] + node * FANOUT
            total = 0.0
            for child in range(FANOUT):
                total += masses[first + child]
            masses[offsets[level] + node] = total


@njit(cache=True)
def _find(masses, offsets, points):  # type: ignore[no-untyped-def]
    count = points.shape[0]
    slots = np.zeros(count, dtype=np.int64)
    rest = points.copy()
    # level by level over the whole batch, and without branches within a node: the cache misses of a level overlap
    for level in range(offsets.shape[0] - 1, -1, -1):
        for i in range(count):
            first = offsets[level] + slots[i] * FANOUT
            point, prefix, before, chosen = rest[i], 0.0, 0.0, 0
            for child in range(FANOUT):
                prefix += masses[first + child]
                passed = prefix <= point
                chosen += passed
                before = prefix if passed else before
            if chosen == FANOUT:  # rounding has carried the point past the end: the last child with mass takes it
                chosen = FANOUT - 1
                while chosen > 0 and masses[first + chosen] == 0.0:
                    chosen -= 1
                before = point - 0.5 * masses[first + chosen]
            rest[i] = point - before
            slots[i] = slots[i] * FANOUT + chosen
    return slots
