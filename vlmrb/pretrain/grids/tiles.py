"""What tiles look like, in few numbers: MiniGrid's pictures span a space of about a hundred dimensions.

A patch of the model is exactly one tile in each frame of the clip, so its embedding is the sum over the frames of one vector per
tile. Training learns these vectors in the coordinates of the pictures' principal components, which is fast and well conditioned;
`TilePictures.kernel` turns them into the weights over pixels that the finished model has.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from vlmrb.envs.minigrid_view import COLORS, DOOR, POSES, STATES
from vlmrb.envs.rendering import MiniGridRenderer
from vlmrb.pretrain.model import patch_embedding, patch_weights

TILE = 32
"""Side of a tile in pixels: MiniGrid's default, at which runs draw their clips."""

_PAINTED = {
    "empty": "red",
    "wall": "grey",
    "goal": "green",
    "lava": "red",
}  # they come in one colour only; an empty cell has none
_SMALLEST = 1e-4  # components with singular values below this share of the largest are rounding errors
_SCALE = 1 / 8  # of the coordinates, so that one learning rate suits these and all other weights


class TilePictures:
    """Coordinates of every tile that MiniGrid can draw.

    Attributes:
        codes: float32 [keys, C], coordinates by the renderer's tile key; NaN for keys that no cell has.
        components: C, how many there are.
    """

    def __init__(self) -> None:
        keys = _possible_keys()
        left, values, right = _decompose()
        self.components = int((values > _SMALLEST * values[0]).sum())
        spread = _SCALE * np.sqrt(len(keys))
        self.codes = np.full((keys.max() + 1, self.components), np.nan, np.float32)
        self.codes[keys] = left[:, : self.components] * spread
        self._to_pixels = right[: self.components].T / values[: self.components] * spread  # [TILE·TILE·3, C]

    def kernel(self, weights: np.ndarray) -> np.ndarray:
        """Weights over codes [C, F, D] as weights over pixels: see `patch_embedding`."""
        return patch_embedding(self._to_pixels, weights)

    def weights(self, kernel: np.ndarray) -> np.ndarray:
        """Weights over pixels as weights over codes [C, F, D]: the inverse of `kernel`."""
        return patch_weights(self._to_pixels, kernel)


@cache  # MiniGrid takes seconds to draw them all
def _decompose() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular vectors and values of all pictures, in [−1, 1], as rows: [K, R], [R] and [R, TILE·TILE·3]."""
    keys = _possible_keys()
    pictures = MiniGridRenderer(TILE).tiles(keys).astype(np.float64) / 127.5 - 1.0
    left, values, right = np.linalg.svd(pictures.reshape(len(keys), -1), full_matrices=False)
    return left, values, right


def _possible_keys() -> np.ndarray:
    """int64 [K]: keys of everything that a cell can show, lit or not, without the agent or, where it can stand, with it."""
    keys = []
    for name, kind in OBJECT_TO_IDX.items():
        if name in ("unseen", "agent"):
            continue
        colors = [COLOR_TO_IDX[_PAINTED[name]]] if name in _PAINTED else range(COLORS)
        for color, state in product(colors, range(STATES if kind == DOOR else 1)):
            walkable = name in ("empty", "floor", "goal", "lava") or (kind == DOOR and state == 0)
            for lit, pose in product(range(2), range(POSES if walkable else 1)):
                keys.append((((kind * COLORS + color) * STATES + state) * 2 + lit) * POSES + pose)
    return np.array(sorted(keys))
