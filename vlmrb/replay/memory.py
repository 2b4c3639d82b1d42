"""Arrays that start at a cache line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

CACHE_LINE = 64
"""Bytes that the processor fetches from memory at once."""


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """As `np.zeros`, but starting at a cache line: rows of 64 bytes (or a multiple) share no line with their neighbours."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.zeros(size + CACHE_LINE, np.uint8)
    first = -raw.ctypes.data % CACHE_LINE
    return raw[first : first + size].view(dtype).reshape(shape)
