"""What patches of the robot's frames look like, in few numbers: the coordinates of their principal components.

Neighbouring pixels are correlated, so weights over raw pixels are badly conditioned and slow to learn. Training learns in these
coordinates, which are computed once per frame; `PatchPictures.kernel` turns the result into weights over pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vlmrb.pretrain.model import patch_embedding, patch_weights
from vlmrb.pretrain.robots.truth import GRID

SIDE = 16
"""Side of a patch in pixels; frames are GRID · SIDE pixels wide."""

COMPONENTS = 128
_FLOOR = 0.01  # components weaker than this share of the strongest are not amplified further


class PatchPictures:
    """The components, and coordinates in them.

    Args:
        components: float32 [SIDE · SIDE · 3, C]; pixels in [−1, 1] times these give coordinates of about unit size.
    """

    def __init__(self, components: np.ndarray) -> None:
        self.components = components

    @classmethod
    def of(cls, frames: Iterable[np.ndarray]) -> PatchPictures:
        """The components of these frames, RGB uint8 [T, side, side, 3] each."""
        moments, count = np.zeros((3 * SIDE * SIDE, 3 * SIDE * SIDE)), 0
        for some in frames:
            rows = _rows(some).reshape(-1, 3 * SIDE * SIDE)
            moments += rows.T @ rows
            count += len(rows)
        values, vectors = np.linalg.eigh(moments / count)
        strongest = np.sqrt(np.maximum(values[::-1][:COMPONENTS], 0.0))
        scale = np.maximum(strongest, _FLOOR * strongest[0])
        return cls((vectors[:, ::-1][:, :COMPONENTS] / scale).astype(np.float32))

    def codes(self, frames: np.ndarray) -> np.ndarray:
        """RGB uint8 [T, side, side, 3] → float16 [T, GRID², C]."""
        codes: np.ndarray = _rows(frames) @ self.components
        return codes.astype(np.float16)

    def kernel(self, weights: np.ndarray) -> np.ndarray:
        """Weights over codes [C, F, D] as weights over pixels: see `patch_embedding`."""
        return patch_embedding(self.components, weights)

    def weights(self, kernel: np.ndarray) -> np.ndarray:
        """Weights over pixels as weights over codes [C, F, D]: the inverse of `kernel`."""
        return patch_weights(self.components, kernel)

    def save(self, path: Path) -> None:
        """Write the components."""
        np.save(path, self.components)

    @classmethod
    def load(cls, path: Path) -> PatchPictures:
        """Read what `save` has written."""
        return cls(np.load(path, allow_pickle=False))


def _rows(frames: np.ndarray) -> np.ndarray:
    """Pixels in [−1, 1] by patch: float32 [T, GRID², SIDE · SIDE · 3]."""
    count = len(frames)
    scaled = frames.astype(np.float32) / 127.5 - 1.0
    cut = scaled.reshape(count, GRID, SIDE, GRID, SIDE, 3).transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(count, GRID * GRID, -1)
