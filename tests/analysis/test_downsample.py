"""Downsampled curves keep their ends and spikes, and contain only measured points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmrb.analysis.downsample import downsample
from vlmrb.errors import ConfigError


@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=300),
    points=st.integers(4, 60),
)
def test_ends_and_extremes_are_kept_and_every_point_was_measured(values: list[float], points: int) -> None:
    curve = np.array(values)
    steps = 7 * np.arange(len(curve), dtype=np.int64) + 3
    kept, shown = downsample(steps, curve, points)
    assert len(kept) == len(shown) <= max(points, 0)
    np.testing.assert_array_equal(shown, curve[(kept - 3) // 7])
    assert (np.diff(kept) > 0).all()
    if len(curve):
        assert (kept[0], kept[-1]) == (steps[0], steps[-1])
    if not np.isnan(curve).all():
        assert (np.nanmin(shown), np.nanmax(shown)) == (np.nanmin(curve), np.nanmax(curve))


def test_a_short_curve_is_returned_unchanged() -> None:
    steps, values = np.arange(5), np.array([1.0, np.nan, 3.0, 2.0, 0.0])
    assert downsample(steps, values, 5) == (steps, values)


def test_a_single_spike_among_many_points_is_kept() -> None:
    values = np.zeros(100_000)
    values[54_321] = 1.0
    steps, shown = downsample(np.arange(100_000), values, 500)
    assert len(steps) <= 500 and steps[shown == 1.0].tolist() == [54_321]


def test_too_few_points_are_rejected() -> None:
    with pytest.raises(ConfigError, match="4 or more"):
        downsample(np.arange(9), np.zeros(9), 3)
