"""Aligned arrays, and reading records at random places of them."""

from __future__ import annotations

import numpy as np
import pytest

from vlmrb.replay.memory import CACHE_LINE, aligned_zeros, take_rows

RECORD = np.dtype([("action", "int64"), ("reward", "float32"), ("cells", "uint8", (3, 5))], align=True)


@pytest.mark.parametrize("shape", [(1,), (7, 3), (1000,)])
@pytest.mark.parametrize("dtype", [RECORD, np.dtype("float64"), np.dtype("uint8")])
def test_an_aligned_array_is_zero_writable_and_begins_at_a_cache_line(shape: tuple[int, ...], dtype: np.dtype) -> None:
    array = aligned_zeros(shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype) and array.ctypes.data % CACHE_LINE == 0
    assert not array.tobytes().strip(b"\0")
    array.view(np.uint8)[...] = 255
    assert not array.tobytes().strip(b"\xff")


def test_rows_are_taken_as_numpy_takes_them_and_are_a_copy() -> None:
    rng = np.random.default_rng(0)
    records = aligned_zeros((500,), RECORD)
    records["action"], records["reward"] = rng.integers(0, 9, 500), rng.random(500)
    records["cells"] = rng.integers(0, 256, (500, 3, 5))
    slots = rng.integers(0, 500, 64)
    taken = take_rows(records, slots)
    np.testing.assert_array_equal(taken, records[slots])
    taken["reward"] = -1.0
    assert (records["reward"] >= 0).all() and len(take_rows(records, slots[:0])) == 0
