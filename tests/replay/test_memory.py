"""Aligned arrays."""

from __future__ import annotations

import numpy as np
import pytest

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
