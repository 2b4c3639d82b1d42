"""Clips come back from their bytes exactly, and damaged bytes are reported."""

from __future__ import annotations

import contextlib
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vlmrb.errors import StoreCorruptError
from vlmrb.store import encoding


@settings(max_examples=50, deadline=None)
@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_snapshots_come_back_exactly(snapshots: np.ndarray) -> None:
    np.testing.assert_array_equal(encoding.decode_snapshots(encoding.encode_snapshots(snapshots), snapshots.shape), snapshots)


def noise(count: int, height: int, width: int, *, colours: int = 256, seed: int = 0) -> np.ndarray:
    """Frames of random pixels; gray levels if there are few colours."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, colours, (count, height, width, 3 if colours == 256 else 1), dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (count, height, width, 3)))


def round_trip(frames: np.ndarray) -> bytes:
    data = encoding.encode_frames(frames)
    decoded = encoding.decode_frames(data, frames.shape)
    np.testing.assert_array_equal(decoded, frames)
    assert (decoded.dtype, decoded.flags.c_contiguous) == (np.uint8, True)
    return data


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 70), st.integers(1, 70), st.sampled_from([2, 200, 256]), st.integers(0, 2**32 - 1))
def test_noise_of_any_size_and_palette_comes_back_exactly(count: int, height: int, width: int, colours: int, seed: int) -> None:
    round_trip(noise(count, height, width, colours=colours, seed=seed))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 401, 601), (3, 2, 17_000), (300, 40, 40), (1, 3, 1_000)])
@pytest.mark.parametrize("colours", [3, 256])
def test_unusual_sizes_come_back_exactly(shape: tuple[int, int, int], colours: int) -> None:
    round_trip(noise(*shape, colours=colours))


@pytest.mark.parametrize("colours", [1, 255, 256, 257])
def test_any_number_of_colours_comes_back_exactly(colours: int) -> None:
    frames = np.zeros((2, 40, 40, 3), np.uint8)
    numbers = np.arange(colours)
    frames[1].reshape(-1, 3)[:colours] = np.stack([255 - numbers % 256, numbers // 256, numbers % 7], axis=1)
    assert round_trip(frames)[:1] == (b"P" if colours < 256 else b"C")  # black adds one


def test_identical_frames_all_come_back_and_take_little_space() -> None:
    frames = np.repeat(noise(1, 64, 64), 32, axis=0)
    assert len(round_trip(frames)) < len(round_trip(frames[:1])) + 4_000


def test_an_environments_frames_come_back_exactly_and_are_small() -> None:
    import gymnasium

    environment = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    environment.reset(seed=0)
    frames = []
    for step in range(32):
        if environment.step(step // 3 % 2)[2]:
            environment.reset()
        frames.append(environment.render())
    environment.close()
    data = round_trip(np.stack(frames))
    assert len(data) < 20_000 < np.stack(frames).nbytes / 1_000


def test_damaged_data_is_reported_and_never_trusted() -> None:
    for frames in (noise(4, 8, 8), noise(4, 40, 40), noise(4, 40, 40, colours=9)):
        data, packed = encoding.encode_frames(frames), encoding.encode_snapshots(frames.reshape(4, -1))
        for broken in (
            data[: len(data) // 2],
            data[:1],
            b"",
            b"x" * 300,
            b"P\x05",
            b"P\x00abc",
            b"C" + packed,
            b"Z" + data[1:-1],
        ):
            with pytest.raises(StoreCorruptError):
                encoding.decode_frames(broken, frames.shape)
        for shape in (
            (5, *frames.shape[1:]),
            (3, *frames.shape[1:]),
            (4, 40, 8, 3),
            (4, 8, 9, 3),
            (2**20, 2**20, 2**20, 3),
            (4, 8, 8),
        ):
            with pytest.raises(StoreCorruptError):
                encoding.decode_frames(data, shape)
        size = frames[0].size
        for broken, shape in ((packed[:-5], (4, size)), (packed, (4, size - 1)), (packed, (5, size)), (packed, (0, size))):
            with pytest.raises(StoreCorruptError):
                encoding.decode_snapshots(broken, shape)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([9, 256]))
def test_random_damage_never_does_worse_than_wrong_pixels_or_a_clear_error(seed: int, colours: int) -> None:
    rng = np.random.default_rng(seed)
    frames = noise(3, 40, 40, colours=colours)
    data = np.frombuffer(encoding.encode_frames(frames), np.uint8).copy()
    data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
    with contextlib.suppress(StoreCorruptError):
        assert encoding.decode_frames(data.tobytes(), frames.shape).shape == frames.shape


def test_only_the_codec_that_the_store_writes_is_opened(tmp_path: Path) -> None:
    target = tmp_path / "other.mkv"
    with av.open(str(target), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 40
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((40, 40, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    with pytest.raises(StoreCorruptError, match="mpeg4"):
        encoding.decode_frames(b"C" + target.read_bytes(), (1, 40, 40, 3))


def test_frames_that_cannot_be_video_are_stored_without_loss_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    frames = noise(2, 2, 16_987)
    for _ in range(2):
        assert round_trip(frames)[:1] == b"Z"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "16987×2 pixels cannot be stored as video" in caplog.text


def test_this_machine_stores_frames_as_video() -> None:
    assert encoding.encoder_problem() == ""
