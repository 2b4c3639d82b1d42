"""Uniform replay."""

from __future__ import annotations

import numpy as np

from tests.replay.draws import SIZE, fits, stated
from vlmrb.replay.methods.uniform import UniformSampler


def test_every_item_is_drawn_alike_and_weighs_the_same() -> None:
    slots, table = stated(UniformSampler())
    fits(slots, np.full(SIZE, 1 / SIZE))
    np.testing.assert_array_equal(table, 1 / SIZE)
    np.testing.assert_array_equal(UniformSampler().chances(np.arange(SIZE), SIZE), 1 / SIZE)
    weights = UniformSampler().sample(7, SIZE, np.random.default_rng(0)).weights
    assert weights.dtype == np.float32 and weights.tolist() == [1.0] * 7
