"""MP4 files as a browser shows them."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from vlmrb.playback.video import encode_mp4

COLOURS = np.array(
    [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 30), (60, 60, 200), (100, 100, 100)]
)
PIXELS = """async ([source, columns, row]) => {
    const video = document.createElement("video");
    video.muted = true;
    video.src = source;
    await new Promise((resolve, reject) => {
        video.requestVideoFrameCallback(resolve);
        video.onerror = () => reject(video.error.message);
        document.body.append(video);
        video.play();
    });
    const context = document.createElement("canvas").getContext("2d");
    context.canvas.width = video.videoWidth;
    context.canvas.height = video.videoHeight;
    context.drawImage(video, 0, 0);
    return columns.map((column) => Array.from(context.getImageData(column, row, 1, 1).data.slice(0, 3)));
}"""


@pytest.mark.parametrize("lines", [64, 480, 720, 1080])
def test_a_browser_shows_the_colours_of_a_video_of_any_size(page, lines: int) -> None:
    frame = np.zeros((lines, 32 * len(COLOURS), 3), np.uint8)
    frame[:] = COLOURS.repeat(32, axis=0)
    source = "data:video/mp4;base64," + base64.b64encode(encode_mp4([frame] * 2, 2, scale=1)).decode()
    shown = page.evaluate(PIXELS, [source, list(range(16, 32 * len(COLOURS), 32)), lines // 2])
    assert np.abs(np.array(shown) - COLOURS).max() <= 2, shown
