"""Aligned arrays, and reading transitions at random places of them."""

from __future__ import annotations

import numpy as np
import pytest

from vlmrb.replay.kernels import take_transitions
from vlmrb.replay.memory import CACHE_LINE, aligned_zeros

RECORD = np.dtype([("action", "int64"), ("reward", "float32"), ("cells", "uint8", (3, 5))], align=True)


@pytest.mark.parametrize("shape", [(1,), (7, 3), (1000,)])
@pytest.mark.parametrize("dtype", [RECORD, np.dtype("float64"), np.dtype("uint8")])
def test_an_aligned_array_is_zero_writable_and_begins_at_a_cache_line(shape: tuple[int, ...], dtype: np.dtype) -> None:
    array = aligned_zeros(shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype) and array.ctypes.data % CACHE_LINE == 0
    assert not array.tobytes().strip(b"\0")
    array.view(np.uint8)[...] = 255
    assert not array.tobytes().strip(b"\xff")


def test_transitions_are_taken_from_a_first_and_a_last_row_and_are_a_copy() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (500, 7), dtype=np.uint32)
    before, slots, lasts = words.copy(), rng.integers(0, 500, 64), rng.integers(0, 500, 64)
    for boundary in (0, 3, 7):
        taken = take_transitions(words, slots, lasts, boundary)
        np.testing.assert_array_equal(taken, np.hstack([words[slots, :boundary], words[lasts, boundary:]]))
        taken[:] = 0
        np.testing.assert_array_equal(words, before)
    assert take_transitions(words, slots[:0], lasts[:0], 3).shape == (0, 7)
