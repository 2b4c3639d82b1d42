"""Curves with fewer points that look the same: for charts, not for statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmrb.errors import ConfigError


def downsample(
    steps: NDArray[np.int64], values: NDArray[np.float64], points: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Downsample a curve to at most `points` of its own points.

    Keeps the first and the last point, and the lowest and the highest point of each of the equal-sized buckets between
    them, so that no spike is lost. Keeps NaN only from buckets that contain nothing else.

    Args:
        steps: int64 [N], ascending.
        values: float64 [N].
        points: at least 4; a curve with no more points is returned unchanged.

    Raises:
        ConfigError: fewer than 4 points.
    """
    if points < 4:
        raise ConfigError(f"points: got {points}; allowed: 4 or more")
    if len(steps) <= points:
        return steps, values
    between = np.arange(1, len(steps) - 1)
    width = -(-len(between) // ((points - 2) // 2))  # of a bucket, in points
    padding = -len(between) % width
    buckets = np.append(between, np.full(padding, between[-1])).reshape(-1, width)
    known = ~np.isnan(values[buckets])
    lowest = np.where(known, values[buckets], np.inf).argmin(axis=1)
    highest = np.where(known, values[buckets], -np.inf).argmax(axis=1)
    rows = np.arange(len(buckets))
    kept = np.unique(np.concatenate([[0, len(steps) - 1], buckets[rows, lowest], buckets[rows, highest]]))
    return steps[kept], values[kept]
