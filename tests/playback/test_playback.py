"""Stored clips as sheets, thumbnails and videos."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.recorded import record_frames, record_run, store_clips
from vlmrb.envs import make_renderer
from vlmrb.errors import ConfigError, NotFoundError, StoreCorruptError
from vlmrb.playback import Playback, Sheet
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, Clip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "runs.db")) as opened:
        yield opened


def cut(sheet: Sheet) -> np.ndarray:
    """The frames of a sheet, RGB uint8 [T, H, W, 3], cut out by its layout alone."""
    with Image.open(io.BytesIO(sheet.data)) as picture:
        assert sheet.media_type == Image.MIME[picture.format]
        pixels = np.asarray(picture.convert("RGB"))
    rows = -(-sheet.frames // sheet.columns)
    assert pixels.shape == (rows * sheet.height, sheet.columns * sheet.width, 3)
    corners = [(at // sheet.columns * sheet.height, at % sheet.columns * sheet.width) for at in range(sheet.frames)]
    return np.stack([pixels[top : top + sheet.height, left : left + sheet.width] for top, left in corners])


def drawn(store: Store, clip_id: int, **changed: int) -> np.ndarray:
    """The clip as the scorer sees it."""
    return make_renderer(store.run(clip_id // CLIPS_PER_RUN).render_spec | changed).render(store.clip_snapshots(clip_id))


def photos(count: int, height: int, width: int) -> np.ndarray:
    """Frames with many colours and no hard edges."""
    y, x = np.mgrid[:height, :width]
    planes = [128 + 120 * np.sin(x / 40 + y / 60 + phase) for phase in (0, 1, 2)]
    return np.stack([np.roll(np.stack(planes, -1), at, axis=1) for at in range(count)]).astype(np.uint8)


@pytest.mark.parametrize(("env", "factor"), [("DoorKey-5x5", 2), ("DoorKey-8x8", 1)])
@pytest.mark.parametrize("visuals", ["normal", "abstract"])
def test_a_sheet_contains_every_frame_pixel_for_pixel(store: Store, env: str, factor: int, visuals: str) -> None:
    clip_id = record_run(store, 1, env=env, visuals=visuals) * CLIPS_PER_RUN
    expected = drawn(store, clip_id).repeat(factor, axis=1).repeat(factor, axis=2)
    sheet = Playback(store).sheet(clip_id)
    np.testing.assert_array_equal(cut(sheet), expected)
    assert sheet.frame_indices == tuple(range(len(expected)))


def test_a_thumbnail_is_one_row_of_small_frames_from_first_to_last(store: Store) -> None:
    clip_id = record_run(store, 1, env="DoorKey-8x8") * CLIPS_PER_RUN
    thumbnail = Playback(store).thumbnail(clip_id)
    indices = thumbnail.frame_indices
    last = store.clip(clip_id).length - 1
    assert (thumbnail.frames, thumbnail.columns, indices[0], indices[-1]) == (len(indices), len(indices), 0, last)
    assert len(indices) <= 16 and max(np.diff(indices)) - min(np.diff(indices)) <= 1
    assert (thumbnail.width, thumbnail.height) == (112, 112)
    np.testing.assert_array_equal(cut(thumbnail), drawn(store, clip_id, tile_size=14)[list(indices)])


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17])
def test_every_frame_of_a_short_clip_is_shown(store: Store, length: int) -> None:
    clip_id = record_frames(store, [photos(length, 40, 40)]) * CLIPS_PER_RUN
    playback = Playback(store)
    assert playback.thumbnail(clip_id).frames == min(length, 16)
    assert playback.sheet(clip_id).frames == length


def test_a_grid_too_large_for_a_sheet_is_drawn_with_smaller_tiles(store: Store) -> None:
    clip_id = record_run(store, 1, env="DoorKey-16x16") * CLIPS_PER_RUN
    sheet = Playback(store).sheet(clip_id)
    assert (sheet.width, sheet.height) == (384, 384)
    np.testing.assert_array_equal(cut(sheet), drawn(store, clip_id, tile_size=24))


@pytest.mark.parametrize(("size", "shown"), [((200, 200), (200, 200)), ((400, 600), (200, 300)), ((90, 60), (360, 240))])
def test_photographs_keep_their_aspect_ratio_and_colours(store: Store, size: tuple[int, int], shown: tuple[int, int]) -> None:
    frames = photos(5, *size)
    clip_id = record_frames(store, [frames]) * CLIPS_PER_RUN
    sheet = Playback(store).sheet(clip_id)
    assert (sheet.height, sheet.width, sheet.media_type) == (*shown, "image/webp")
    centres = np.stack([frame[shown[0] // 2, :: shown[1] // 3] for frame in cut(sheet)]).astype(int)
    expected = np.stack([frame[size[0] // 2, :: size[1] // 3] for frame in frames]).astype(int)
    assert np.abs(centres - expected).mean() < 12


def test_the_sheet_of_a_long_clip_stays_within_the_size_limit(store: Store) -> None:
    frames = np.zeros((300, 256, 256, 3), np.uint8)
    frames[np.arange(300), :, :, 0] = (np.arange(300) % 256)[:, None, None]
    clip_id = record_frames(store, [frames]) * CLIPS_PER_RUN
    sheet = Playback(store).sheet(clip_id)
    assert sheet.frames * sheet.width * sheet.height <= 2**24
    np.testing.assert_array_equal(cut(sheet)[:, 50, 50], frames[:, 100, 100])


@pytest.mark.parametrize("shape", [(3, 1, 900), (3, 900, 1), (2, 1, 1)])
def test_frames_of_odd_shapes_can_be_shown(store: Store, shape: tuple[int, int, int]) -> None:
    clip_id = record_frames(store, [photos(*shape)]) * CLIPS_PER_RUN
    playback = Playback(store)
    for sheet, side in ((playback.thumbnail(clip_id), 112), (playback.sheet(clip_id), 384)):
        assert len(cut(sheet)) == shape[0] and max(sheet.width, sheet.height) <= side


def test_an_mp4_shows_every_frame_at_the_requested_rate(store: Store) -> None:
    clip_id = record_run(store, 1) * CLIPS_PER_RUN
    with av.open(io.BytesIO(Playback(store).mp4(clip_id, fps=4))) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, sum(1 for _ in container.decode(stream))) == (4, store.clip(clip_id).length)
    with pytest.raises(ConfigError, match="fps"):
        Playback(store).mp4(clip_id, fps=0)


def test_concurrent_threads_get_the_same_pictures(store: Store) -> None:
    first = record_run(store, 4) * CLIPS_PER_RUN
    wanted = [first + number for number in range(4)] * 6
    playback = Playback(store)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(playback.thumbnail, wanted))
    alone = Playback(store)
    assert [sheet.data for sheet in found] == [alone.thumbnail(clip_id).data for clip_id in wanted]


def test_the_cache_has_a_size_limit_and_evicts_the_least_recently_used(store: Store) -> None:
    run_id = record_run(store, 3)
    one, two, three = (run_id * CLIPS_PER_RUN + number for number in range(3))
    sizes = [len(Playback(store).thumbnail(clip_id).data) for clip_id in (one, two, three)]
    playback = Playback(store, cache_bytes=sum(sizes) - 1)
    for clip_id in (one, two, one, three):
        playback.thumbnail(clip_id)
    store.delete_run(run_id)
    assert playback.thumbnail(one).frame_indices[0] == playback.thumbnail(three).frame_indices[0] == 0
    with pytest.raises(NotFoundError):
        playback.thumbnail(two)


@pytest.mark.parametrize("picture", ["thumbnail", "sheet", "mp4"])
def test_a_missing_clip_is_not_found(store: Store, picture: str) -> None:
    record_run(store, 1)
    with pytest.raises(NotFoundError, match="no clip 10000099"):
        getattr(Playback(store), picture)(10_000_099)


@pytest.mark.parametrize("picture", ["thumbnail", "sheet", "mp4"])
def test_damaged_data_is_reported_as_corrupt(tmp_path: Path, store: Store, picture: str) -> None:
    clip_id = record_run(store, 1) * CLIPS_PER_RUN
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("UPDATE clip_data SET data = substr(data, 1, 20)")
    connection.close()
    with pytest.raises(StoreCorruptError, match=f"clip {clip_id}"):
        getattr(Playback(store), picture)(clip_id)


def invalid_snapshots() -> Iterator[np.ndarray]:
    """Data that claims to be snapshots of a grid, but is not."""
    rng = np.random.default_rng(0)
    yield rng.integers(0, 256, (4, 87), dtype=np.uint8)
    yield np.zeros((4, 87), np.uint8)
    yield np.full((4, 20), 255, np.uint8)
    yield np.zeros((4, 3), np.uint8)
    for at, value in ((0, 6), (2, 5), (4, 9), (12, 10), (13, 6), (14, 3)):  # one byte of a valid one out of range
        good = np.zeros((4, 87), np.uint8)
        good[:, :2] = 5
        good[3, at] = value
        yield good


@pytest.mark.parametrize("snapshots", list(invalid_snapshots()))
def test_invalid_snapshots_are_rejected_before_they_are_drawn(store: Store, snapshots: np.ndarray) -> None:
    clip = Clip(0, 0, 0, np.arange(4), snapshots, np.zeros(4, np.float32), (), "length")
    clip_id = store_clips(store, [clip], {"kind": "minigrid"}) * CLIPS_PER_RUN
    for picture in (Playback(store).thumbnail, Playback(store).sheet, Playback(store).mp4):
        with pytest.raises(StoreCorruptError, match=f"clip {clip_id} cannot be drawn"):
            picture(clip_id)


@pytest.mark.parametrize(
    "recipe",
    [{"kind": "frames"}, {"kind": "hologram"}, {}, {"kind": "minigrid", "spin": 3}, {"kind": "minigrid", "tile_size": "x"}],
)
def test_a_recipe_that_does_not_match_the_data_is_reported(store: Store, recipe: dict[str, object]) -> None:
    snapshots = np.zeros((4, 87), np.uint8)
    snapshots[:, :2] = 5
    clip = Clip(0, 0, 0, np.arange(4), snapshots, np.zeros(4, np.float32), (), "length")
    clip_id = store_clips(store, [clip], recipe) * CLIPS_PER_RUN
    for picture in (Playback(store).thumbnail, Playback(store).sheet, Playback(store).mp4):
        with pytest.raises(StoreCorruptError, match=f"clip {clip_id}"):
            picture(clip_id)
