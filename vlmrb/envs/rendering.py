"""Render frames from snapshots, in any process and pixel-identical to the environment's own `render()`.

A MiniGrid frame is a mosaic of few distinct tiles. The renderer keeps one small image per (object, colour, state,
highlighted, agent direction), drawn by MiniGrid itself on first use, and gathers them by index.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.envs.minigrid_view import COLORS, HEADER, OBJECTS, POSES, STATES, are_snapshots, lay_tiles, tile_keys
from vlmrb.errors import EnvironmentSetupError, StoreCorruptError
from vlmrb.types import FrameRenderer, Mosaic

SWAPPED_SPRITES = {"key": "lava", "lava": "key", "goal": "wall", "wall": "goal", "door": "ball", "ball": "box", "box": "door"}
"""'swapped' visuals: each object looks like another with a different meaning. Locked, closed and open doors look alike."""


def make_renderer(render_spec: dict[str, Any]) -> FrameRenderer:
    """Create the renderer that `render_spec` describes.

    Raises:
        EnvironmentSetupError: the recipe's kind is unknown.
    """
    kind = render_spec.get("kind")
    settings = {key: value for key, value in render_spec.items() if key != "kind"}
    if kind == "minigrid":
        return MiniGridRenderer(**settings)
    if kind == "ogbench":
        from vlmrb.envs.ogbench_frames import OGBenchRenderer

        return OGBenchRenderer(**settings)
    if kind == "mujoco":
        from vlmrb.envs.mujoco_env import MuJoCoRenderer

        return MuJoCoRenderer(**settings)
    if kind == "text":
        from vlmrb.envs.text_frames import TextFrames

        return TextFrames(**settings)
    if kind == "frames":
        return FramesRenderer()
    raise EnvironmentSetupError(
        f"render recipe: unknown kind {kind!r}; known: 'minigrid', 'ogbench', 'mujoco', 'text', 'frames'. "
        "It may come from a newer version of VLM-RB"
    )


class FramesRenderer:
    """For environments without snapshots: the frames themselves are stored."""

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, H, W, 3] → the same."""
        return snapshots


class MiniGridRenderer:
    """Draws MiniGrid snapshots.

    Args:
        tile_size: pixels per cell.
        view_size: side of the agent's view, in cells.
        highlight: brighten the cells that the agent sees.
        visuals: 'normal', 'swapped' (misleading sprites) or 'abstract' (each object is a random texture).
    """

    def __init__(self, tile_size: int = 32, view_size: int = 7, highlight: bool = True, visuals: str = "normal") -> None:
        self.tile_size, self.view_size, self.highlight, self.visuals = tile_size, view_size, highlight, visuals
        kinds = OBJECTS * COLORS * STATES * 2 * POSES
        self._tiles = np.zeros((kinds, tile_size, tile_size, 3), np.uint8)
        self._drawn = np.zeros(kinds, bool)

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] → RGB uint8 [F, height·tile_size, width·tile_size, 3].

        Raises:
            StoreCorruptError: these are not MiniGrid snapshots.
        """
        keys = self.tile_keys(snapshots)  # [F, height, width]
        self._draw_missing(keys)
        frames, height, width = keys.shape
        size = self.tile_size
        word = np.uint64 if size % 8 == 0 else np.uint8  # eight bytes at a time if tile rows allow it
        tiles = self._tiles.reshape(len(self._tiles), size, size * 3).view(word)
        image = np.empty((frames, height * size, width * tiles.shape[2]), word)
        lay_tiles(tiles, keys, image)
        return image.view(np.uint8).reshape(frames, height * size, width * size, 3)

    def mosaic(self, snapshots: np.ndarray) -> Mosaic:
        """The frames that `render` draws, as their tiles.

        Raises:
            StoreCorruptError: these are not MiniGrid snapshots.
        """
        keys = self.tile_keys(snapshots)
        different, index = np.unique(keys, return_inverse=True)
        return Mosaic(self.tiles(different), index.reshape(keys.shape).astype(np.uint32))

    def tiles(self, keys: np.ndarray) -> np.ndarray:
        """Images of tiles by key (int64 [K]): RGB uint8 [K, tile_size, tile_size, 3]."""
        self._draw_missing(keys)
        return self._tiles[keys]

    def tile_keys(self, snapshots: np.ndarray) -> np.ndarray:
        """Snapshots uint8 [F, S] → key of each cell's tile, int64 [F, height, width].

        Raises:
            StoreCorruptError: these are not MiniGrid snapshots.
        """
        snapshots = np.ascontiguousarray(snapshots)
        if not are_snapshots(snapshots, self.view_size):  # compiled code would read out of bounds
            raise StoreCorruptError(f"data of shape {snapshots.shape} is not a MiniGrid snapshot, or is damaged")
        keys = np.empty((len(snapshots), int(snapshots[0, 1]), int(snapshots[0, 0])), np.int64)
        tile_keys(snapshots, self.view_size, self.highlight, keys)
        return keys

    def ahead(self, snapshot: np.ndarray) -> str:
        """What the agent faces in a snapshot (uint8 [S]): colour and kind, such as 'red ball' or 'grey wall'.

        Raises:
            StoreCorruptError: this is no MiniGrid snapshot.
        """
        from minigrid.core.constants import DIR_TO_VEC, IDX_TO_COLOR, IDX_TO_OBJECT

        self.tile_keys(snapshot[None])  # checks it
        width, height, x, y, direction = (int(number) for number in snapshot[:HEADER])
        x, y = x + int(DIR_TO_VEC[direction][0]), y + int(DIR_TO_VEC[direction][1])
        if not (0 <= x < width and 0 <= y < height):
            return ""
        kind, color, _ = snapshot[-3 * width * height :].reshape(width, height, 3)[x, y]
        return f"{IDX_TO_COLOR[int(color)]} {IDX_TO_OBJECT[int(kind)]}"

    def _draw_missing(self, keys: np.ndarray) -> None:
        needed = np.zeros(len(self._drawn), bool)
        needed[keys] = True
        for key in np.flatnonzero(needed & ~self._drawn):
            self._tiles[key] = self._draw(int(key))
            self._drawn[key] = True

    def _draw(self, key: int) -> np.ndarray:
        from minigrid.core.constants import COLOR_TO_IDX, IDX_TO_COLOR, IDX_TO_OBJECT, OBJECT_TO_IDX
        from minigrid.core.grid import Grid
        from minigrid.core.world_object import Goal, WorldObj

        key, pose = divmod(key, POSES)
        key, highlight = divmod(key, 2)
        key, state = divmod(key, STATES)
        kind, color = divmod(key, COLORS)
        name = IDX_TO_OBJECT[kind]
        if self.visuals == "abstract":
            return _texture(kind, color, state, bool(highlight), pose, self.tile_size)
        if self.visuals == "swapped":
            name = SWAPPED_SPRITES.get(name, name)
            kind, state = OBJECT_TO_IDX[name], 1 if name == "door" else 0
            color = {"goal": COLOR_TO_IDX["green"], "wall": COLOR_TO_IDX["grey"]}.get(name, color)  # as MiniGrid paints them
        thing = Goal(IDX_TO_COLOR[color]) if name == "goal" else WorldObj.decode(kind, color, state)
        return Grid.render_tile(thing, agent_dir=pose - 1 if pose else None, highlight=bool(highlight), tile_size=self.tile_size)


def _texture(kind: int, color: int, state: int, highlight: bool, pose: int, size: int) -> np.ndarray:
    """A random pattern, the same for equal cells: objects look different but have no meaning."""
    rng = np.random.default_rng([kind, color, state, pose])
    coarse = rng.integers(0, 256, (4, 4, 3)).astype(np.float64)
    index = np.arange(size) * 4 // size
    tile = coarse[index][:, index]
    return (tile + 0.3 * (255 - tile) if highlight else tile).astype(np.uint8)
