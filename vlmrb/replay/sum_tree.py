"""A sum tree: holds a non-negative mass per slot and draws slots in proportion to it.

Each node has eight children that lie in one cache line (64 bytes), so a tree of a million slots is seven levels
deep and a walk from the root costs seven cache misses instead of the twenty of a binary tree. A parent is always
re-summed from its children, so rounding errors do not build up; masses of 0 and 1 are summed exactly.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vlmrb.replay.memory import aligned_zeros

FANOUT = 8


class SumTree:
    """Masses of `capacity` slots, all 0 at first."""

    def __init__(self, capacity: int) -> None:
        depth = 1
        while FANOUT**depth < capacity:
            depth += 1
        # one row per node, the masses of its children; levels from the leaves up, the last one is the root alone
        rows = FANOUT ** np.arange(depth - 1, -1, -1, dtype=np.int64)
        self._first_rows = np.cumsum(rows) - rows
        # the full tree, though what lies beyond `capacity` is never touched
        self._nodes = aligned_zeros((int(rows.sum()), FANOUT), np.dtype(np.float64))
        self._leaves = self._nodes.reshape(-1)[:capacity]

    @property
    def total(self) -> float:
        """Sum of all masses."""
        return sum(self._nodes[-1].tolist())  # faster than NumPy for eight numbers

    @property
    def leaves(self) -> np.ndarray:
        """The masses, float64 [capacity]; a view: change them through `set` alone."""
        return self._leaves

    def set(self, slots: np.ndarray, masses: np.ndarray) -> None:
        """Write `masses` (float64 [N], finite, ≥ 0) at `slots` (int64 [N]). Of duplicates the last one stays."""
        _set(self._nodes, self._first_rows, slots, masses)

    def find(self, points: np.ndarray) -> np.ndarray:
        """Slots (int64 [N]) whose share of [0, total) holds each point (float64 [N]); never a slot of mass 0.

        The total must be above 0.
        """
        return _find(self._nodes, self._first_rows, points)


@njit(cache=True)
def _set(nodes, first_rows, slots, values):  # type: ignore[no-untyped-def]
    leaves = nodes.reshape(-1)
    for i in range(len(slots)):
        leaves[slots[i]] = values[i]
    places = slots.copy()  # of each changed mass, within its level
    for level in range(1, len(first_rows)):
        for i in range(len(slots)):
            places[i] //= FANOUT
            children = nodes[first_rows[level - 1] + places[i]]
            total = 0.0
            for child in range(FANOUT):
                total += children[child]
            nodes[first_rows[level] + places[i] // FANOUT, places[i] % FANOUT] = total


@njit(cache=True)
def _find(nodes, first_rows, points):  # type: ignore[no-untyped-def]
    slots = np.zeros(len(points), dtype=np.int64)
    rest, firsts = points.copy(), np.empty_like(points)
    # level by level over the whole batch: a level's nodes are asked for together, so that their cache misses overlap,
    # and each is then walked without a branch
    for level in range(len(first_rows) - 1, -1, -1):
        for i in range(len(points)):
            firsts[i] = nodes[first_rows[level] + slots[i], 0]
        for i in range(len(points)):
            children = nodes[first_rows[level] + slots[i]]
            point, prefix, before, chosen = rest[i], firsts[i], 0.0, 0
            for child in range(1, FANOUT):  # what passes all but the last child belongs to the last
                passed = prefix <= point
                chosen += passed
                before = prefix if passed else before
                prefix += children[child]
            rest[i] = point - before
            slots[i] = slots[i] * FANOUT + chosen
    leaves = nodes.reshape(-1)
    for i in range(len(points)):
        while leaves[slots[i]] == 0.0 and slots[i] > 0:  # rounding has carried the point past the last mass: that one takes it
            slots[i] -= 1
    return slots
