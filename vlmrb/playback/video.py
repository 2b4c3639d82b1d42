"""Pictures as MP4 files that browsers play."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable

import numpy as np

from vlmrb.errors import ConfigError
from vlmrb.store.encoding import add_video

WATCHABLE_PIXELS = 256
"""Smaller frames are enlarged by whole factors up to about this width when they are shown to people."""


def encode_mp4(pictures: Iterable[np.ndarray], count: int, fps: float = 8, scale: int | None = None) -> bytes:
    """Pictures, each RGB uint8 [H, W, 3] → an MP4 file of H.264 that browsers play while it loads.

    Args:
        pictures: may be made as they are asked for; only one is held at a time.
        count: how many there are, at least one.
        fps: pictures per second, 0.1 to 240.
        scale: whole factor to enlarge by; None enlarges small ones to about `WATCHABLE_PIXELS`.

    Raises:
        ConfigError: fps is out of range, or FFmpeg cannot write H.264.
    """
    import av

    if not 0.1 <= fps <= 240:
        raise ConfigError(f"fps: got {fps}; allowed are 0.1 to 240 frames per second")
    target = io.BytesIO()
    first, pictures = _peek(pictures)  # the index stands first, in room kept for it; it takes 10 bytes a frame
    scale = scale or max(1, round(WATCHABLE_PIXELS / max(first.shape[:2])))
    try:
        with av.open(target, "w", format="mp4", options={"moov_size": str(2048 + 32 * count)}) as container:
            enlarged = (_enlarge(picture, scale) for picture in pictures)
            add_video(container, enlarged, "libx264", "rgb24", "yuv420p", {"crf": "18"}, fps)
    except av.FFmpegError as error:
        raise ConfigError(f"a video of {first.shape[1]}×{first.shape[0]} pixels cannot be made: {error}") from error
    return target.getvalue()


def _peek(pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, Iterable[np.ndarray]]:
    """The first one, and all of them."""
    rest = iter(pictures)
    first = next(rest)
    return first, itertools.chain([first], rest)


def _enlarge(frame: np.ndarray, scale: int) -> np.ndarray:
    frame = frame.repeat(scale, axis=0).repeat(scale, axis=1)
    return np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")  # yuv420p needs even sides
