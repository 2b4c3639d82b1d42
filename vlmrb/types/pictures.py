"""Pictures made of squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """Frames in which few squares repeat themselves, as in simulated pictures. `np.asarray` draws them: RGB uint8 [F, H, W, 3].

    Attributes:
        squares: each different one, RGB uint8 [N, side, side, 3].
        index: which of them is where, an integer [F, rows, columns] each.
    """

    squares: np.ndarray
    index: np.ndarray

    @classmethod
    def of(cls, frames: np.ndarray, side: int) -> Mosaic | None:
        """The frames, RGB uint8 [F, H, W, 3], in squares of so many pixels; None if they do not fit, or do not repeat."""
        count, height, width, _ = frames.shape
        if height % side or width % side or not frames.size:
            return None
        grid = (count, height // side, width // side)
        squares = frames.reshape(count, grid[1], side, grid[2], side, 3).swapaxes(2, 3).reshape(-1, side, side, 3)
        numbers: dict[bytes, int] = {}
        index = np.array([numbers.setdefault(square.tobytes(), len(numbers)) for square in squares], np.uint32)
        if 2 * len(numbers) > len(squares):
            return None
        _, first = np.unique(index, return_index=True)
        return cls(squares[first], index.reshape(grid))

    @property
    def side(self) -> int:
        """Of the squares, in pixels."""
        return int(self.squares.shape[1])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the frames."""
        count, rows, columns = self.index.shape
        return count, rows * self.side, columns * self.side, 3

    @property
    def nbytes(self) -> int:
        """Of the frames, once drawn."""
        return int(self.index.size) * self.side**2 * 3

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, frames: Any) -> Mosaic:
        """Some of the frames, by their numbers."""
        return Mosaic(self.squares, self.index[frames])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        count, rows, columns = self.index.shape
        drawn = np.empty(self.shape, np.uint8)
        drawn.reshape(count, rows, self.side, columns, self.side, 3).swapaxes(2, 3)[...] = self.squares[self.index]
        return drawn if dtype is None else drawn.astype(dtype, copy=False)
