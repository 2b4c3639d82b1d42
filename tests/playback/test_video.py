"""Clips encoded as MP4 files."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from vlmrb.errors import ConfigError
from vlmrb.playback.video import encode_mp4


def noise(count: int, height: int, width: int) -> np.ndarray:
    """Frames of random pixels."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def decoded_mp4(data: bytes) -> tuple[av.VideoStream, list[np.ndarray]]:
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        return stream, [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def test_an_mp4_is_h264_with_every_frame_at_a_watchable_even_size() -> None:
    frames = np.zeros((9, 33, 47, 3), np.uint8)
    frames[:, :, :20] = (250, 0, 0)
    stream, decoded = decoded_mp4(encode_mp4(frames, len(frames), fps=4))
    assert (stream.codec_context.name, stream.pix_fmt, len(decoded)) == ("h264", "yuv420p", 9)
    assert decoded[0].shape[0] % 2 == decoded[0].shape[1] % 2 == 0 and decoded[0].shape[1] >= 200
    assert decoded[4][50, 30, 0] > 200 and decoded[4][50, 30, 2] < 60


@pytest.mark.parametrize(
    ("shape", "scale", "size"),
    [
        ((1, 1, 1), None, (256, 256)),
        ((2, 64, 64), None, (256, 256)),
        ((2, 64, 64), 1, (64, 64)),
        ((2, 21, 33), 3, (64, 100)),
        ((2, 401, 601), None, (402, 602)),
        ((2, 600, 3), None, (600, 4)),
    ],
)
def test_an_mp4_has_the_requested_size(shape: tuple[int, ...], scale: int | None, size: tuple[int, int]) -> None:
    stream, decoded = decoded_mp4(encode_mp4(noise(*shape), shape[0], fps=30, scale=scale))
    assert (stream.height, stream.width) == size and stream.average_rate == 30
    assert len(decoded) == shape[0]


@pytest.mark.parametrize("count", [1, 40, 1024])
def test_an_mp4_starts_with_its_index_so_that_it_plays_while_loading(count: int) -> None:
    data = encode_mp4(noise(count, 16, 16), count, scale=1)
    assert 0 < data.find(b"moov") < data.find(b"mdat")
    assert len(decoded_mp4(data)[1]) == count


@pytest.mark.parametrize("fps", [0, -1, 241, float("nan"), float("inf")])
def test_an_out_of_range_frame_rate_is_rejected(fps: float) -> None:
    with pytest.raises(ConfigError, match=r"fps: got .*allowed: 0\.1 to 240"):
        encode_mp4(noise(2, 16, 16), 2, fps)


COLOURS = [
    (0, 0, 0),
    (255, 255, 255),
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (200, 30, 30),
    (60, 60, 200),
    (112, 39, 195),
    (100, 100, 100),
]


@pytest.mark.parametrize("lines", [64, 480, 720, 1080])
def test_an_mp4_says_how_to_read_its_colours_and_keeps_them_at_any_size(lines: int) -> None:
    frame = np.zeros((lines, 9 * 32, 3), np.uint8)
    for at, colour in enumerate(COLOURS):
        frame[:, at * 32 : (at + 1) * 32] = colour
    stream, decoded = decoded_mp4(encode_mp4([frame] * 2, 2, scale=1))
    context = stream.codec_context
    tags = (context.colorspace, context.color_range, context.color_primaries, context.color_trc)
    assert tags == (Colorspace.ITU601, ColorRange.MPEG, ColorPrimaries.BT709, ColorTrc.IEC61966_2_1)
    assert b"colrnclx" in encode_mp4([frame], 1, scale=1)  # the container says so too
    for picture in decoded:
        shown = picture[lines // 2, 16::32].astype(int)
        assert np.abs(shown - np.array(COLOURS)).max() <= 2, shown.tolist()
