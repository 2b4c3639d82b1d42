"""Lossless encoding of clips.

Decoders do not trust their input: shapes are bounded, sizes are checked before memory is allocated, and only the one
video codec that the encoder writes is ever opened.
"""

from __future__ import annotations

import functools
import io
import logging
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from vlmrb.errors import StoreCorruptError

MAX_BYTES = 2**31
"""Largest size of a decoded clip."""

MAX_COLOURS = 256
_SMALL = 32 * 32  # pixels; below this, a video's headers are larger than its frames

# First byte of encoded frames.
_PALETTE, _COLOURS, _DEFLATED = b"P", b"C", b"Z"


def encode_snapshots(snapshots: np.ndarray) -> bytes:
    """uint8 [T, S] → bytes: each row as its difference from the previous row, deflated."""
    assert snapshots.dtype == np.uint8 and snapshots.ndim == 2, (snapshots.dtype, snapshots.shape)
    return _deflate(snapshots)


def decode_snapshots(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The inverse of `encode_snapshots`.

    Raises:
        StoreCorruptError: the bytes do not match `shape`.
    """
    return _inflate(data, shape, _checked_size(shape, 2))


def encode_frames(frames: np.ndarray) -> bytes:
    """RGB uint8 [T, H, W, 3], T ≥ 1 → bytes, without loss.

    Rendered frames rarely have more than 256 colours. They are stored as one plane of palette indices in lossless H.264,
    half the size of lossless RGB. Tiny frames are deflated; so are those that FFmpeg refuses, logged once per reason.
    """
    assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3, (frames.dtype, frames.shape)
    import av

    if frames.shape[1] * frames.shape[2] >= _SMALL:
        try:
            indexed = palette(frames)
            if indexed is None:
                return _COLOURS + _h264(frames, "libx264rgb", "rgb24")
            indices, colours = indexed
            return _PALETTE + bytes([len(colours) - 1]) + colours.tobytes() + _h264(indices, "libx264", "gray")
        except (av.FFmpegError, ValueError) as error:  # beyond H.264's size limits, or an FFmpeg built without x264
            _warn_once(f"frames of {frames.shape[2]}×{frames.shape[1]} pixels cannot be stored as video ({error})")
    return _DEFLATED + _deflate(frames)


def decode_frames(data: bytes, shape: tuple[int, int, int, int]) -> np.ndarray:
    """The inverse of `encode_frames`.

    Raises:
        StoreCorruptError: the bytes do not match `shape`.
    """
    size = _checked_size(shape, 4)
    if shape[3] != 3:
        raise StoreCorruptError(f"frames cannot have shape {shape}: RGB has 3 channels")
    kind, body = data[:1], data[1:]
    if kind == _DEFLATED:
        return _inflate(body, shape, size)
    if kind == _COLOURS:
        return _video(body, shape)
    count = body[0] + 1 if body else 0
    if kind == _PALETTE and len(body) > 1 + 3 * count:
        end = 1 + 3 * count
        colours = np.zeros((MAX_COLOURS, 3), np.uint8)
        colours[:count] = np.frombuffer(body[1:end], np.uint8).reshape(-1, 3)
        indices = _video(body[end:], shape[:3])
        return np.stack([colours[:, channel][indices] for channel in range(3)], axis=-1)
    raise StoreCorruptError("a clip's frames are stored in a format unknown to this version of vlmrb")


def encoder_problem() -> str:
    """Why this machine cannot store frames as lossless video; '' if it can."""
    import av

    pictures = np.zeros((1, 64, 64, 3), np.uint8)
    for codec, layout, stored in (("libx264", "gray", pictures[..., 0]), ("libx264rgb", "rgb24", pictures)):
        try:
            _h264(stored, codec, layout)
        except (av.FFmpegError, ValueError) as error:
            return f"{codec}: {error}"
    return ""


@functools.cache
def _warn_once(problem: str) -> None:
    logging.getLogger(__name__).warning(
        "%s; they are deflated instead: nothing is lost, but the store grows several times faster", problem
    )


# -- deflated differences


def _deflate(rows: np.ndarray) -> bytes:
    delta = rows.copy()
    delta[1:] -= rows[:-1]
    return zlib.compress(delta.tobytes(), 6)


def _inflate(data: bytes, shape: tuple[int, ...], size: int) -> np.ndarray:
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise StoreCorruptError(f"a clip's data cannot be read: {error}") from error
    if len(raw) != size or not inflater.eof:
        raise StoreCorruptError(f"a clip's data does not hold the expected {size} bytes")
    return np.add.accumulate(np.frombuffer(raw, np.uint8).reshape(shape), axis=0, dtype=np.uint8)


# -- lossless video


def palette(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Frames as indices uint8 [T, H, W] into colours uint8 [C, 3], dark to bright; None if there are more than 256 colours.

    Rows of pixels unchanged from the previous frame are skipped.
    """
    table = np.zeros(1 << 24, np.uint8)  # by colour: 1 if it occurs, later its index
    changes: list[tuple[np.ndarray, np.ndarray]] = []  # per frame: rows, their packed colours
    for at, frame in enumerate(frames):
        rows = np.flatnonzero((frame != frames[at - 1]).any(axis=(1, 2))) if at else np.arange(len(frame))
        red, green, blue = (frame[rows, :, channel].astype(np.uint32) for channel in range(3))
        colours = red | green << 8 | blue << 16
        table[colours] = 1
        changes.append((rows, colours))
        if at == 0 and np.count_nonzero(table) > MAX_COLOURS:
            return None
    found = np.flatnonzero(table.view(bool))
    if len(found) > MAX_COLOURS:
        return None
    rgb = np.stack([found & 255, found >> 8 & 255, found >> 16], axis=1)
    order = np.argsort(rgb.sum(axis=1), kind="stable")  # similar colours get similar indices, which compresses better
    table[found[order]] = np.arange(len(found))
    indices = np.empty(frames.shape[:3], np.uint8)
    for at, (rows, colours) in enumerate(changes):
        indices[at] = indices[at - 1] if at else 0
        indices[at, rows] = table[colours]
    return indices, rgb[order].astype(np.uint8)


def _h264(pictures: np.ndarray, codec: str, layout: str) -> bytes:
    """uint8 [T, H, W] ('gray') or [T, H, W, 3] ('rgb24') → lossless H.264 in Matroska."""
    import av

    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as container:
        options = {"qp": "0", "preset": "fast" if layout == "gray" else "veryfast"}
        add_video(container, (_frame(picture, layout) for picture in pictures), codec, options, 8)
    return target.getvalue()


def _frame(picture: np.ndarray, layout: str) -> Any:
    import av
    from av.video.reformatter import ColorRange

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=layout)
    if layout == "gray":
        frame.color_range = ColorRange.JPEG  # full range: 0–255 stay as they are
    return frame


def add_video(container: Any, frames: Iterable[Any], codec: str, options: dict[str, str], fps: float) -> None:
    """Encode `av.VideoFrame`s, all of one size, pixel format and colour space, as the container's only stream."""
    from fractions import Fraction

    stream = None
    for frame in frames:
        if stream is None:
            stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000), options=options)
            stream.height, stream.width, stream.pix_fmt = frame.height, frame.width, frame.format.name
            context = stream.codec_context
            context.thread_count = 1  # leave the other cores to the learner and the scorer
            for tag in ("color_range", "colorspace", "color_primaries", "color_trc"):
                setattr(context, tag, getattr(frame, tag))
        container.mux(stream.encode(frame))
    assert stream is not None, "a video has at least one frame"
    container.mux(stream.encode())


def _video(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Lossless H.264 → uint8 of exactly `shape`: [T, H, W] or [T, H, W, 3]."""
    import av

    try:
        with av.open(io.BytesIO(data), "r", format="matroska") as container:
            if len(container.streams.video) != 1 or len(container.streams) != 1:
                raise StoreCorruptError("a clip's video does not hold exactly one stream")
            context = container.streams.video[0].codec_context
            if context is None or context.name != "h264" or (context.height, context.width) != shape[1:3]:
                found = f"{context.name} of {context.width}×{context.height}" if context else "of an unknown kind"
                raise StoreCorruptError(f"a clip's video is {found}, not h264 of shape {shape}")
            context.thread_count = 1
            pictures = np.empty(shape, np.uint8)
            count = 0
            for frame in container.decode(video=0):
                if count == shape[0] or (frame.height, frame.width) != shape[1:3]:
                    raise StoreCorruptError(f"a clip's video does not have the expected shape {shape}")
                pictures[count] = _pixels(frame, len(shape) == 3)
                count += 1
    except (av.FFmpegError, ValueError, IndexError, OSError) as error:
        raise StoreCorruptError(f"a clip's video cannot be read: {error}") from error
    if count != shape[0]:
        raise StoreCorruptError(f"a clip's video holds {count} frames where {shape[0]} were expected")
    return pictures


def _pixels(frame: Any, gray: bool) -> np.ndarray:
    """The stored pixels, without a conversion that might round."""
    if not gray and frame.format.name == "gbrp":
        pixels: np.ndarray = frame.to_ndarray()
        return pixels
    if gray and frame.format.name in ("gray", "yuv420p", "yuvj420p"):  # H.264 decoders add empty colour planes
        plane = frame.planes[0]
        return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    raise StoreCorruptError(f"a clip's video has the pixel format {frame.format.name}, which vlmrb does not write")


def _checked_size(shape: tuple[int, ...], sides: int) -> int:
    size = int(np.prod(shape, dtype=object)) if len(shape) == sides else 0
    if size < 1 or min(shape) < 1 or size > MAX_BYTES:
        raise StoreCorruptError(f"a clip cannot have shape {shape}; allowed: {sides} dimensions ≥ 1, at most {MAX_BYTES} bytes")
    return size
