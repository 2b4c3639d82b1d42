"""What a Qwen-VL model's patch embedding makes of a square is worked out once.

Such a model first multiplies every patch, a square across several frames, by a matrix. In the embedded models that is most of the
work, and simulated pictures are made of few squares. The embedding is linear, so a patch's is the sum of what each of its frames'
squares contributes. These shares are kept, and frames that come as a `Mosaic` are embedded without being drawn.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import Module
from torch.nn.functional import embedding_bag

from vlmrb.types import Mosaic

MOST = 4096
"""Squares kept. Of a batch with more different ones, the frames are drawn."""


class PatchMemory(Module):
    """Stands in for a model's patch embedding, whose results it also takes as they are.

    Args:
        plain: the model's own, with a convolution `proj` that has no bias.
        scale: float32 [3], what a pixel's channels are multiplied by.
        shift: float32 [3], what is added to them then.

    Attributes:
        side: of a patch, in pixels.
        frames: T, of a patch.
    """

    def __init__(self, plain: Any, scale: np.ndarray, shift: np.ndarray) -> None:
        super().__init__()
        self._plain, self._width, self.frames, self.side = plain, plain.embed_dim, plain.temporal_patch_size, plain.patch_size
        weight = plain.proj.weight.detach().reshape(self._width, 3, self.frames, self.side, self.side)
        self._weight = weight.permute(1, 3, 4, 2, 0).reshape(3 * self.side**2, -1).float()  # [3·side², T·D]
        self._scale, self._shift = (torch.from_numpy(each).to(weight.device)[:, None, None] for each in (scale, shift))
        self._rows: dict[bytes, int] = {}
        self._shares = self._weight.new_empty((64, self.frames * self._width))  # [squares, T·D]

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Patches [P, 3·T·side²], or what `embed` has made of them → [P, D]."""
        return given if given.shape[-1] == self._width else self._plain(given)

    def takes(self, videos: Sequence[Any]) -> bool:
        """Whether these are all mosaics of this model's squares, and not too many different ones."""
        return all(isinstance(video, Mosaic) and video.side == self.side for video in videos) and (
            sum(len(video.squares) for video in videos) <= MOST
        )

    def embed(self, videos: Sequence[Mosaic], merge: int) -> torch.Tensor:
        """Patches of all videos, in the order in which the model's processor cuts them: float32 [P, D].

        Args:
            videos: with whole patches; of each, the last frame is repeated until the frames fill a patch.
            merge: sides of the blocks of patches that stay together.
        """
        if len(self._rows) > MOST:
            self._rows.clear()
        places = [self._places(video, merge) for video in videos]
        table = self._shares.view(-1, self._width)
        return embedding_bag(torch.from_numpy(np.concatenate(places)).to(table.device), table, mode="sum")

    def _places(self, video: Mosaic, merge: int) -> np.ndarray:
        """Which share each frame of each patch has: int64 [patches, T]."""
        count, height, width = video.index.shape
        padding = np.full(-count % self.frames, count - 1)
        rows = self._known(video.squares)[video.index[np.concatenate([np.arange(count), padding])]]
        cut = rows.reshape(-1, self.frames, height // merge, merge, width // merge, merge).transpose(0, 2, 4, 3, 5, 1)
        return np.asarray(cut.reshape(-1, self.frames) * self.frames + np.arange(self.frames))

    def _known(self, squares: np.ndarray) -> np.ndarray:
        """The rows of these squares' shares, int64 [N], worked out if they are new."""
        keys = [hashlib.blake2b(square.tobytes(), digest_size=16).digest() for square in squares]
        first = len(self._rows)
        rows = np.array([self._rows.setdefault(key, len(self._rows)) for key in keys])
        new, where = np.unique(rows[rows >= first], return_index=True)
        if len(new):
            pixels = torch.from_numpy(squares[rows >= first][where]).to(self._weight.device).permute(0, 3, 1, 2).float()
            if len(self._rows) > len(self._shares):
                room = self._shares.new_empty((2 ** math.ceil(math.log2(len(self._rows))), self._shares.shape[1]))
                room[:first] = self._shares[:first]
                self._shares = room
            self._shares[first : len(self._rows)] = (pixels * self._scale + self._shift).flatten(1) @ self._weight
        return rows
