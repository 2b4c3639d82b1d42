"""Renders stored clips: as sprite sheets for browsers, and as MP4 files for everything else.

A sheet is one image of several frames: a browser fetches a clip with one request and can show any exact frame. Frames
that come from snapshots are redrawn at the size needed, which costs less than shrinking them and adds no colours. Sheets
with few enough colours for a palette become PNG, which is lossless and fastest; other images of MiniGrid become lossless
WebP, and everything else WebP of quality `PHOTO_QUALITY`. Text is drawn as a page of letters, as large as there is room.
"""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from vlmrb.envs import LARGEST_CELL, SMALLEST_CELL, make_renderer, page_size, texts_of
from vlmrb.errors import EnvironmentSetupError, StoreCorruptError
from vlmrb.playback.sheets import Sheet, enlarge, grid, png, sheet_of, shrink, spread, webp
from vlmrb.playback.video import encode_mp4
from vlmrb.store import Store
from vlmrb.store.encoding import palette
from vlmrb.types import CLIPS_PER_RUN, FrameRenderer

THUMBNAIL_FRAMES = 16
COSTLY_THUMBNAIL_FRAMES = 6  # if a frame takes tens of milliseconds to draw
_COSTLY = ("mujoco", "ogbench")
_FLAT = ("minigrid", "text")  # few colours and hard edges
THUMBNAIL_SIDE = 112
SHEET_SIDE = 384
TEXT_SIDE = 640  # of a page, on which long lines have to be legible
SHEET_PIXELS = 2**24
"""Approximate maximum number of pixels in a sheet, which any browser can handle. Clips over 113 steps get smaller frames."""

_RENDERERS = 32  # maximum number kept; each takes up to 9 MB
_COSTLY_COUNTS_AS = 16  # as many others: one with OpenGL takes 60 to 150 MB
_AT_A_TIME = 2  # sheets in the making; all frames of a large one take 14 MB, several times
_CHUNK = 32  # video frames drawn at a time

T = TypeVar("T")


class Playback:
    """Renders stored clips and caches the results. Thread-safe.

    Args:
        store: contains the clips.
        cache_bytes: maximum total size of cached sheets; the least recently used are evicted first.
    """

    def __init__(self, store: Store, *, cache_bytes: int = 64 * 2**20) -> None:
        self._store = store
        self._sheets: _Recent[Sheet] = _Recent(cache_bytes)
        self._renderers: _Recent[FrameRenderer] = _Recent(_RENDERERS)
        self._recipes: _Recent[dict[str, Any]] = _Recent(1_000)
        self._drawing = threading.Lock()  # a tile that several threads need is drawn only once
        self._making = threading.BoundedSemaphore(_AT_A_TIME)

    def thumbnail(self, clip_id: int) -> Sheet:
        """Up to 16 evenly spaced frames in one row, including the first and the last; at most 112 pixels on the long side.

        Raises:
            NotFoundError: the clip does not exist.
            StoreCorruptError: its data is damaged.
        """
        return self._sheets.get(("thumbnail", clip_id), lambda: self._make_thumbnail(clip_id), lambda sheet: len(sheet.data))

    def sheet(self, clip_id: int) -> Sheet:
        """All frames in a grid, each at most 384 pixels on the long side; small ones are enlarged by an integer factor.

        MiniGrid frames that fit are shown exactly as the scorer saw them. Raises the same errors as `thumbnail`.
        """
        return self._sheets.get(("sheet", clip_id), lambda: self._make_sheet(clip_id), lambda sheet: len(sheet.data))

    def mp4(self, clip_id: int, fps: float = 8) -> bytes:
        """All frames as the scorer saw them, as an MP4 video that browsers play. Also raises the errors of `thumbnail`.

        Args:
            clip_id: the clip.
            fps: frames per second, 0.1 to 240.

        Raises:
            ConfigError: fps is out of range.
        """
        snapshots = self._store.clip_snapshots(clip_id)
        return encode_mp4(self._frames_of(clip_id, snapshots), len(snapshots), fps)

    def frames(self, clip_id: int) -> Iterator[np.ndarray]:
        """The frames as the scorer saw them, each RGB uint8 [H, W, 3]. Raises the same errors as `thumbnail`."""
        return self._frames_of(clip_id, self._store.clip_snapshots(clip_id))

    def texts(self, clip_id: int) -> list[str] | None:
        """The text of each step of a clip of text; None for a clip of pictures. Raises the same errors as `thumbnail`."""
        if self._kind(clip_id) != "text":
            return None
        return texts_of(self._store.clip_snapshots(clip_id))

    def _make_thumbnail(self, clip_id: int) -> Sheet:
        snapshots = self._store.clip_snapshots(clip_id)
        chosen = spread(len(snapshots), THUMBNAIL_FRAMES)
        if self._kind(clip_id) in _COSTLY:  # draw only a few, and repeat each for its neighbours
            few = chosen[spread(len(chosen), COSTLY_THUMBNAIL_FRAMES)]
            chosen = few[np.abs(chosen[:, None] - few).argmin(axis=1)]
        drawn, places = np.unique(chosen, return_inverse=True)
        frames = self._draw(clip_id, snapshots[drawn], THUMBNAIL_SIDE)[places]
        data = webp(grid(frames, len(frames)), lossless=self._kind(clip_id) in _FLAT)
        return sheet_of(data, "image/webp", frames, len(frames), chosen)

    def _make_sheet(self, clip_id: int) -> Sheet:
        with self._making:
            return self._sheet_of_all(clip_id, self._store.clip_snapshots(clip_id))

    def _sheet_of_all(self, clip_id: int, snapshots: np.ndarray) -> Sheet:
        largest = TEXT_SIDE if self._kind(clip_id) == "text" else SHEET_SIDE
        side = min(largest, math.isqrt(SHEET_PIXELS // len(snapshots)))
        frames = self._draw(clip_id, snapshots, side)
        count, height, width = frames.shape[:3]
        columns = min(count, math.ceil(math.sqrt(count * height / width)))  # makes the sheet about square
        indexed = palette(frames)
        pictures = enlarge(indexed[0] if indexed else frames, max(1, side // max(height, width)))
        picture = grid(pictures, columns)
        data = png(picture, indexed[1]) if indexed else webp(picture, lossless=self._kind(clip_id) in _FLAT)
        return sheet_of(data, "image/png" if indexed else "image/webp", pictures, columns, np.arange(count))

    def _frames_of(self, clip_id: int, snapshots: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(snapshots), _CHUNK):
            yield from self._draw(clip_id, snapshots[start : start + _CHUNK], None, snapshots)

    def _draw(self, clip_id: int, snapshots: np.ndarray, side: int | None, together: np.ndarray | None = None) -> np.ndarray:
        """Snapshots → RGB uint8 [T, H, W, 3], at most `side` pixels on the long side; never enlarged.

        Args:
            clip_id: the clip.
            snapshots: some of its snapshots.
            side: see above; None for the size that the scorer is shown.
            together: all whose frames must have the same size; None for these.
        """
        recipe, kind = self._recipe(clip_id // CLIPS_PER_RUN), self._kind(clip_id)
        if snapshots.ndim != (4 if kind == "frames" else 2):
            raise StoreCorruptError(f"clip {clip_id} is damaged: the shape of its data does not match its run's renderer")
        try:
            if kind in _COSTLY:  # videos share the renderer of sheets
                side, recipe = side or int(recipe.get("side", SHEET_SIDE)), recipe | {"side": side or SHEET_SIDE}
            if kind == "minigrid" and side is not None:
                cells = int(snapshots[0, :2].max(initial=1))
                recipe = recipe | {"tile_size": max(1, min(recipe.get("tile_size", 32), side // cells))}
            if kind == "text":
                recipe = recipe | _page(snapshots if together is None else together, side)
            key, weight = json.dumps(recipe, sort_keys=True), _COSTLY_COUNTS_AS if kind in _COSTLY else 1
            with self._drawing:
                frames = self._renderers.get(key, lambda: make_renderer(recipe), lambda _: weight).render(snapshots)
        except (StoreCorruptError, EnvironmentSetupError, TypeError, ValueError, MemoryError) as error:
            raise StoreCorruptError(f"clip {clip_id} cannot be drawn: {error}. Restore a backup, or delete the run") from error
        return frames if side is None else shrink(frames, side)

    def _kind(self, clip_id: int) -> str:
        return str(self._recipe(clip_id // CLIPS_PER_RUN).get("kind"))

    def _recipe(self, run_id: int) -> dict[str, Any]:
        return self._recipes.get(run_id, lambda: self._store.run(run_id).render_spec, lambda _: 1)


def _page(snapshots: np.ndarray, side: int | None) -> dict[str, int]:
    """Settings of the text renderer: one page for all of these, with letters as large as fit into `side`."""
    columns, lines = page_size(snapshots)
    page = {"columns": columns, "lines": lines}
    if side is None:
        return page
    # a page has a margin of half a cell on each side, and letters half as wide as high
    cell = min(2 * side // (columns + 2), side // (lines + 1)) // 2 * 2
    return page | {"cell": max(SMALLEST_CELL, min(LARGEST_CELL, cell))}


class _Recent(Generic[T]):
    """A thread-safe cache of limited total size that evicts the least recently used entry first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[Any, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """The value cached under the key, else the result of `make`. Two threads may both call `make` at once."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made, size(made)
                self._size += self._kept[key][1]
            while self._size > self._limit:
                self._size -= self._kept.popitem(last=False)[1][1]
        return made
