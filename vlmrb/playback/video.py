"""Encodes frames as MP4 files that browsers play."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from vlmrb.errors import ConfigError
from vlmrb.store.encoding import add_video

WATCHABLE_PIXELS = 256
"""Frames smaller than this are enlarged by an integer factor to about this size, so that people can see them."""

_CRF = "12"  # finer than the usual 18, at which flat areas are off by up to 4 of 255

_RED, _BLUE = 0.299, 0.114  # BT.601: luma = _RED·R + (1 − _RED − _BLUE)·G + _BLUE·B

_LIFT, _GAIN = 0.45, 1.002
"""Added to luma, and a factor of chroma. Players round differently: FFmpeg down, Chromium with coefficients of six bits.
With these, flat colours are within 2 of 255 in nearly all of them, and never further off than 3."""


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
            frames = (_yuv(_enlarge(picture, scale)) for picture in pictures)
            add_video(container, frames, "libx264", {"crf": _CRF}, fps)
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


def _yuv(frame: np.ndarray) -> Any:
    """RGB uint8 [H, W, 3], of even sides → a YUV 4:2:0 `av.VideoFrame` that says how to read its colours.

    Untagged, a browser guesses the matrix from the number of lines, and colours are off by up to 39 of 255. The matrix is that
    of BT.601 at any size: Chromium's conversion from BT.709 without a GPU is off by up to 13.
    """
    import av
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

    height, width = frame.shape[:2]
    red, green, blue = (frame[..., channel].astype(np.float32) for channel in range(3))
    luma = _RED * red + (1 - _RED - _BLUE) * green + _BLUE * blue
    chroma = [_halve(colour - luma) / (1 - share) * (_GAIN * 112 / 255) + 128 for colour, share in ((blue, _BLUE), (red, _RED))]
    planes = [luma * (219 / 255) + 16 + _LIFT, *chroma]
    stored = np.concatenate([np.rint(plane).astype(np.uint8).ravel() for plane in planes])
    result = av.VideoFrame.from_ndarray(stored.reshape(height * 3 // 2, width), format="yuv420p")
    result.colorspace, result.color_range = Colorspace.ITU601, ColorRange.MPEG
    result.color_primaries, result.color_trc = ColorPrimaries.BT709, ColorTrc.IEC61966_2_1  # those of sRGB
    return result


def _halve(plane: np.ndarray) -> np.ndarray:
    """Average blocks of 2×2 pixels."""
    height, width = plane.shape
    return plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
