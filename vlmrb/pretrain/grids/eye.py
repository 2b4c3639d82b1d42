"""How the model sees grid worlds during training: a patch is one tile in each frame, and tiles are looked up."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vlmrb.pretrain.batches import PackedBatch
from vlmrb.pretrain.grids.tiles import TilePictures
from vlmrb.pretrain.grids.truth import CONTENTS, HAPPENINGS

_COMMON = 2  # the first contents, empty and wall, are everywhere
_COMMON_WEIGHT = 0.1


class GridEye(nn.Module):
    """An `Eye` for grid worlds.

    A patch is embedded as the sum over the frames of one vector per tile. Linear heads predict what a cell contains in the first
    and the last frame, where the agent goes, and what happens to the cell.

    Args:
        frames: F, per clip.
        width: of the vision tower.
        pictures: of the tiles.
    """

    def __init__(self, frames: int, width: int, pictures: TilePictures) -> None:
        super().__init__()
        self._pictures = pictures
        self.weights = nn.Parameter(torch.randn(pictures.components, frames, width) * 0.1)
        self.register_buffer("_codes", torch.from_numpy(pictures.codes), persistent=False)
        self.contents = nn.Linear(width, 2 * len(CONTENTS))
        self.agents = nn.Linear(width, frames)
        self.happened = nn.Linear(width, len(HAPPENINGS))
        nn.init.constant_(self.agents.bias, -4.0)
        nn.init.constant_(self.happened.bias, -6.0)  # hardly anything happens to a single cell

    def patches(self, batch: PackedBatch, device: torch.device) -> torch.Tensor:
        """The vision tower's input, float [N, width]."""
        tiles = batch.view["tiles"]
        keys, rows = np.unique(tiles, return_inverse=True)
        frames = tiles.shape[1]
        codes = self.get_buffer("_codes")[torch.from_numpy(keys).to(device)]
        vectors = torch.einsum("kc,cfd->kfd", codes, self.weights)
        at = torch.from_numpy(rows.reshape(tiles.shape) * frames + np.arange(frames)).to(device)  # [N, F]
        return functional.embedding_bag(at, vectors.flatten(0, 1), mode="sum")

    def loss(self, cells: torch.Tensor, batch: PackedBatch, device: torch.device) -> tuple[torch.Tensor, float]:
        """The loss of the heads on cells [N, width], and the share of the cells with an object where they name it."""
        view = batch.view
        loss = cells.new_zeros(())
        logits = self.contents(cells).unflatten(-1, (2, len(CONTENTS)))  # [N, 2, C]
        for side, contents in enumerate((view["before"], view["after"])):
            targets = torch.from_numpy(contents).to(device).long()
            weights = torch.where(targets < _COMMON, _COMMON_WEIGHT, 1.0)
            losses = functional.cross_entropy(logits[:, side], targets, reduction="none")
            loss = loss + (losses * weights).sum() / weights.sum()
        agents = torch.from_numpy(view["agents"]).to(device).float()
        happened = torch.from_numpy(view["happened"]).to(device).float()
        bce = functional.binary_cross_entropy_with_logits
        loss = loss + bce(self.agents(cells), agents, reduction="sum") / agents.sum()
        loss = loss + bce(self.happened(cells), happened, reduction="sum") / len(batch.grids)
        things = targets >= _COMMON
        return loss, float((logits[:, 1].argmax(-1) == targets)[things].float().mean().detach())

    def kernel(self) -> np.ndarray:
        """The equivalent patch embedding over pixels in [−1, 1], float32 [width, 3, F, side, side]."""
        return self._pictures.kernel(self.weights.detach().cpu().numpy())

    def take_over(self, kernel: np.ndarray) -> None:
        """Embed patches as this patch embedding over pixels does: the inverse of `kernel`."""
        self.weights.data.copy_(torch.from_numpy(self._pictures.weights(kernel)))
