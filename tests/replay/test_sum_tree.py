"""The sum tree: totals, shares, and never a slot without mass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmrb.replay.sum_tree import SumTree


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 700), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_total_and_draws_follow_the_masses(capacity: int, seed: int, empty_share: float) -> None:
    rng = np.random.default_rng(seed)
    tree, masses = SumTree(capacity), np.zeros(capacity)
    for _ in range(4):
        slots = rng.integers(0, capacity, size=rng.integers(1, 50))
        values = np.where(rng.random(len(slots)) < empty_share, 0.0, rng.random(len(slots)) * 10 ** rng.uniform(-8, 8))
        tree.set(slots, values)
        for slot, value in zip(slots, values, strict=True):
            masses[slot] = value
    np.testing.assert_array_equal(tree.leaves, masses)
    assert tree.total == pytest.approx(masses.sum(), rel=1e-12)
    if masses.sum() > 0:
        found = tree.find(np.append(rng.random(200), [0.0, 1.0]) * tree.total)
        assert (masses[found] > 0).all()


def test_a_point_falls_on_the_slot_whose_share_holds_it() -> None:
    tree = SumTree(20)
    masses = np.array([0, 2, 0, 1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4], float)
    tree.set(np.arange(20), masses)
    np.testing.assert_array_equal(tree.find(np.array([0.0, 1.99, 2.0, 2.99, 3.0, 5.99, 6.0, 9.99])), [1, 1, 3, 3, 8, 8, 19, 19])


def test_sums_of_zeros_and_ones_stay_exact_over_many_changes() -> None:
    rng = np.random.default_rng(0)
    tree, masses = SumTree(5000), np.zeros(5000)
    for _ in range(300):
        slots = rng.integers(0, 5000, 64)
        masses[slots] = value = float(rng.integers(2))
        tree.set(slots, np.full(64, value))
    assert tree.total == masses.sum()
