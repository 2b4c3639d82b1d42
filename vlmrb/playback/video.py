"""Encodes frames as MP4 files that browsers play."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable

import numpy as np

from vlmrb.errors import ConfigError
from vlmrb.store.encoding import add_video

WATCHABLE_PIXELS = 256
"""Frames smaller than this are enlarged by an integer factor to about this size, so that people can see them."""


def encode_mp4(pictures: Iterable[np.ndarray], count: int, fps: float = 8, scale: int | None = None) -> bytes:
    """Frames, each RGB uint8 [H, W, 3] → an H.264 MP4 file that browsers play while it loads.

    Args:
        pictures: the frames; a generator works, as only one is held at a time.
        count: number of frames, at least 1.
        fps: frames per second, 0.1 to 240.
        scale: integer factor to enlarge by; None enlarges small frames to about `WATCHABLE_PIXELS`.

    Raises:
        ConfigError: fps is out of range, or FFmpeg cannot encode H.264.
    """
    import av

    if not 0.1 <= fps <= 240:
        raise ConfigError(f"fps: got {fps}; allowed: 0.1 to 240 frames per second")
    target = io.BytesIO()
    first, pictures = _peek(pictures)  # the index goes first, into reserved space; it takes 10 bytes per frame
    scale = scale or max(1, round(WATCHABLE_PIXELS / max(first.shape[:2])))
    try:
        with av.open(target, "w", format="mp4", options={"moov_size": str(2048 + 32 * count)}) as container:
            enlarged = (_enlarge(picture, scale) for picture in pictures)
            add_video(container, enlarged, "libx264", "rgb24", "yuv420p", {"crf": "18"}, fps)
    except av.FFmpegError as error:
        raise ConfigError(f"cannot encode a video of {first.shape[1]}×{first.shape[0]} pixels: {error}") from error
    return target.getvalue()


def _peek(pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, Iterable[np.ndarray]]:
    """The first frame, and an iterable of all frames including the first."""
    rest = iter(pictures)
    first = next(rest)
    return first, itertools.chain([first], rest)


def _enlarge(frame: np.ndarray, scale: int) -> np.ndarray:
    frame = frame.repeat(scale, axis=0).repeat(scale, axis=1)
    return np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")  # yuv420p needs even sides
