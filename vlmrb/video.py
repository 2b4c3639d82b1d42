"""Clips as bytes: exact round trips for the store, and playable MP4 files for people."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path

import numpy as np

from vlmrb.errors import ConfigError, StoreCorruptError

MAX_PIXELS = 2**31
WATCHABLE_PIXELS = 256  # smaller frames are enlarged by whole factors up to about this width


def encode_snapshots(snapshots: np.ndarray) -> bytes:
    """uint8 [T, S] → bytes: each row as its difference from the row before, deflated."""
    assert snapshots.dtype == np.uint8 and snapshots.ndim == 2, (snapshots.dtype, snapshots.shape)
    delta = snapshots.copy()
    delta[1:] -= snapshots[:-1]
    return zlib.compress(delta.tobytes(), 6)


def decode_snapshots(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The inverse of `encode_snapshots`.

    Raises:
        StoreCorruptError: the bytes are not what `shape` promises.
    """
    size = _checked_size(shape)
    try:
        raw = zlib.decompressobj().decompress(data, size + 1)
    except zlib.error as error:
        raise StoreCorruptError(f"a clip's data cannot be read: {error}") from error
    if len(raw) != size:
        raise StoreCorruptError(f"a clip's data holds {len(raw)} bytes where {size} were expected")
    return np.add.accumulate(np.frombuffer(raw, np.uint8).reshape(shape), axis=0, dtype=np.uint8)


def encode_frames(frames: np.ndarray) -> bytes:
    """RGB uint8 [T, H, W, 3] → lossless H.264 (RGB, quantiser 0) in Matroska."""
    assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3, (frames.dtype, frames.shape)
    import av

    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as container:
        stream = container.add_stream("libx264rgb", rate=8)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "rgb24"
        stream.options = {"qp": "0", "preset": "veryfast"}
        _mux(container, stream, frames)
    return target.getvalue()


def decode_frames(data: bytes, shape: tuple[int, int, int, int]) -> np.ndarray:
    """The inverse of `encode_frames`.

    Raises:
        StoreCorruptError: the bytes are not what `shape` promises.
    """
    import av

    _checked_size(shape)
    frames = np.empty(shape, np.uint8)
    count = 0
    try:
        with av.open(io.BytesIO(data), "r", format="matroska") as container:
            for frame in container.decode(video=0):
                if count == shape[0] or (frame.height, frame.width) != shape[1:3]:
                    raise StoreCorruptError(f"a clip's video does not have the shape {shape} that it should")
                frames[count] = frame.to_ndarray(format="rgb24")
                count += 1
    except (av.FFmpegError, IndexError) as error:
        raise StoreCorruptError(f"a clip's video cannot be read: {error}") from error
    if count != shape[0]:
        raise StoreCorruptError(f"a clip's video holds {count} frames where {shape[0]} were expected")
    return frames


def write_mp4(path: str | Path, frames: np.ndarray, fps: int = 8) -> None:
    """Write RGB uint8 [T, H, W, 3] as H.264 that browsers play, enlarged where small; whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    import av

    path = Path(path)
    scale = max(1, round(WATCHABLE_PIXELS / frames.shape[2]))
    frames = frames.repeat(scale, axis=1).repeat(scale, axis=2)
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    beside = path.with_name(f".{path.name}.{os.getpid()}.mp4")
    try:
        with av.open(str(beside), "w", format="mp4", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
            stream.options = {"crf": "18"}
            _mux(container, stream, frames)
        beside.replace(path)
    except OSError as error:  # av's errors are OSErrors too
        beside.unlink(missing_ok=True)
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}. Give --out a file in a folder that exists"
        ) from error


def _mux(container, stream, frames: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    import av

    for picture in frames:
        for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")):
            container.mux(packet)
    for packet in stream.encode():
        container.mux(packet)


def _checked_size(shape: tuple[int, ...]) -> int:
    size = int(np.prod(shape, dtype=object))
    if min(shape) < 1 or size > MAX_PIXELS:
        raise StoreCorruptError(f"a clip of shape {shape} cannot be: each side is at least 1, all together at most {MAX_PIXELS}")
    return size
