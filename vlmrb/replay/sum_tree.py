"""A sum tree: holds a non-negative mass per slot and draws slots in proportion to it.

Each node has eight children that lie in one cache line (64 bytes), so a tree of a million slots is seven levels
deep and a walk from the root costs seven cache misses instead of the twenty of a binary tree. A parent is always
re-summed from its children, so rounding errors do not build up; masses of 0 and 1 are summed exactly.
"""

from __future__ import annotations

import numpy as np

from vlmrb.replay.memory import aligned_zeros


class SumTree:
    """Masses of `capacity` slots, all 0 at first."""

    def __init__(self, capacity: int) -> None:
        from vlmrb.replay import kernels

        self._kernels = kernels
        depth = 1
        while kernels.FANOUT**depth < capacity:
            depth += 1
        # one row per node, the masses of its children; levels from the leaves up, the last one is the root alone
        rows = kernels.FANOUT ** np.arange(depth - 1, -1, -1, dtype=np.int64)
        self._first_rows = np.cumsum(rows) - rows
        # the full tree, though what lies beyond `capacity` is never touched
        self._nodes = aligned_zeros((int(rows.sum()), kernels.FANOUT), np.dtype(np.float64))
        self._leaves = self._nodes.reshape(-1)[:capacity]

    @property
    def total(self) -> float:
        """Sum of all masses."""
        return float(sum(self._nodes[-1].tolist()))  # faster than NumPy for eight numbers

    @property
    def leaves(self) -> np.ndarray:
        """The masses, float64 [capacity]; a view: change them through `set` alone."""
        return self._leaves

    def set(self, slots: np.ndarray, masses: np.ndarray) -> None:
        """Write `masses` (float64 [N], finite, ≥ 0) at `slots` (int64 [N]). Of duplicates the last one stays."""
        self._kernels.set_masses(self._nodes, self._first_rows, slots, masses)

    def add_chances(self, chances: np.ndarray, slots: np.ndarray, share: float, total: float) -> None:
        """Add to `chances` (float64 [N]) how likely each of `slots` is drawn, where `share` of the draws go to this tree.

        `total` is the sum of all masses, which the caller knows.
        """
        self._kernels.add_chances(chances, self._leaves, slots, share, total)

    def find(self, points: np.ndarray) -> np.ndarray:
        """Slots (int64 [N]) whose share of [0, total) holds each point (float64 [N]); never a slot of mass 0.

        The total must be above 0.
        """
        return self._kernels.find_points(self._nodes, self._first_rows, points)  # type: ignore[no-any-return]
