"""Sprite sheets: several frames in one encoded image."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

PHOTO_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Sheet:
    """Frames of a clip in one image, row by row from the top left.

    Attributes:
        data: the encoded image.
        media_type: of `data`: 'image/png' or 'image/webp'.
        frames: number of frames; cells after the last frame are empty.
        columns: number of frames per row.
        width: of one frame, in pixels.
        height: of one frame, in pixels.
        frame_indices: index of each frame in the clip, ascending; if drawing is costly, indices may repeat.
    """

    data: bytes
    media_type: str
    frames: int
    columns: int
    width: int
    height: int
    frame_indices: tuple[int, ...]


def spread(count: int, wanted: int) -> np.ndarray:
    """Up to `wanted` distinct indices from 0 to count − 1, evenly spaced, including both ends."""
    return np.unique(np.linspace(0, count - 1, wanted).round().astype(int))


def sheet_of(data: bytes, media_type: str, frames: np.ndarray, columns: int, indices: np.ndarray) -> Sheet:
    """The sheet that `data` encodes: frames [T, H, W, …], with their `indices` [T] in the clip."""
    count, height, width = frames.shape[:3]
    return Sheet(data, media_type, count, columns, width, height, tuple(indices.tolist()))


def shrink(frames: np.ndarray, side: int) -> np.ndarray:
    """Shrink to at most `side` pixels, by averaging square blocks: fast, and it keeps edges. The result may be smaller."""
    factor = -(-max(frames.shape[1:3]) // side)
    if factor == 1:
        return frames
    from PIL import Image

    return np.stack([np.asarray(Image.fromarray(frame).reduce(factor)) for frame in frames])


def enlarge(frames: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge each pixel of [T, H, W, …] to a square of `factor` × `factor` pixels."""
    return frames.repeat(factor, axis=1).repeat(factor, axis=2) if factor > 1 else frames


def grid(frames: np.ndarray, columns: int) -> np.ndarray:
    """Arrange uint8 [T, H, W, …] as a grid → [rows·H, columns·W, …]."""
    count, height, width = frames.shape[:3]
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, *frames.shape[1:]), np.uint8)
    cells[:count] = frames
    cells = cells.reshape(rows, columns, height, width, *frames.shape[3:]).swapaxes(1, 2)
    return cells.reshape(rows * height, columns * width, *frames.shape[3:])


def png(indices: np.ndarray, colours: np.ndarray) -> bytes:
    """uint8 [H, W], indices into colours uint8 [C, 3] → lossless PNG. Level 3 is as fast as 1 here, and a third smaller."""
    from PIL import Image

    picture = Image.fromarray(indices)
    picture.putpalette(colours.tobytes())
    target = io.BytesIO()
    picture.save(target, "PNG", compress_level=3)
    return target.getvalue()


def full_png(picture: np.ndarray) -> bytes:
    """RGB uint8 [H, W, 3] → lossless PNG."""
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(picture).save(target, "PNG", compress_level=3)
    return target.getvalue()


def webp(picture: np.ndarray, *, lossless: bool) -> bytes:
    """RGB uint8 [H, W, 3] → WebP, with its fastest method."""
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(picture).save(target, "WEBP", lossless=lossless, quality=0 if lossless else PHOTO_QUALITY, method=0)
    return target.getvalue()
