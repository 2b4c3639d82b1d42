"""Codecs: exact round trips for the store, playable files for people."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vlmrb import video
from vlmrb.errors import ConfigError, StoreCorruptError


@settings(max_examples=50, deadline=None)
@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_snapshots_come_back_exactly(snapshots: np.ndarray) -> None:
    np.testing.assert_array_equal(video.decode_snapshots(video.encode_snapshots(snapshots), snapshots.shape), snapshots)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_noise_of_any_size_comes_back_exactly(count: int, height: int, width: int, seed: int) -> None:
    frames = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(video.decode_frames(video.encode_frames(frames), frames.shape), frames)


def test_identical_frames_all_come_back() -> None:
    frames = np.full((32, 33, 47, 3), 200, np.uint8)
    assert video.decode_frames(video.encode_frames(frames), frames.shape).shape == frames.shape


def test_damaged_data_is_named_and_never_trusted() -> None:
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    data, packed = video.encode_frames(frames), video.encode_snapshots(frames.reshape(4, -1))
    for broken in (data[:40], b"", b"x" * 300):
        with pytest.raises(StoreCorruptError):
            video.decode_frames(broken, (4, 16, 16, 3))
    for shape in ((5, 16, 16, 3), (3, 16, 16, 3), (4, 16, 18, 3), (2**20, 2**20, 2**20, 3)):
        with pytest.raises(StoreCorruptError):
            video.decode_frames(data, shape)
    for broken, shape in ((packed[:5], (4, 768)), (packed, (4, 767)), (packed, (5, 768)), (packed, (0, 768))):
        with pytest.raises(StoreCorruptError):
            video.decode_snapshots(broken, shape)


def test_an_mp4_is_h264_with_every_frame_at_a_watchable_even_size(tmp_path: Path) -> None:
    frames = np.zeros((9, 33, 47, 3), np.uint8)
    frames[:, :, :20] = (250, 0, 0)
    path = tmp_path / "clip.mp4"
    video.write_mp4(path, frames, fps=4)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert (stream.codec_context.name, stream.pix_fmt, len(decoded)) == ("h264", "yuv420p", 9)
    assert decoded[0].shape[0] % 2 == decoded[0].shape[1] % 2 == 0 and decoded[0].shape[1] >= 200
    assert decoded[4][50, 30, 0] > 200 and decoded[4][50, 30, 2] < 60
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        video.write_mp4(tmp_path / "none" / "clip.mp4", np.zeros((2, 8, 8, 3), np.uint8))
