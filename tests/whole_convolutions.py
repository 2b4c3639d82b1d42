"""The network for symbolic grids as its definition reads: a reference for tests and benchmarks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vlmrb.agents.networks import GridTorso


def convolved(torso: GridTorso, grid: tuple[int, int], extras: tuple[int, ...], observations: np.ndarray) -> Tensor:
    """Embed every cell, convolve every grid, append the extras, apply the dense layer."""
    cells = torch.from_numpy(observations[:, : grid[0] * grid[1] * 3]).long().reshape(-1, *grid, 3)
    kind, color, state = (cells[..., n].clamp(max=size - 1) for n, size in enumerate((11, 6, 4)))
    image = (torso.kind[kind, 0, 0] + torso.color[0, color, 0] + torso.state[0, 0, state]).permute(0, 3, 1, 2)
    padding = 0 if min(grid) >= 5 else 1
    for convolution in (torso.convolutions[0], torso.convolutions[2]):
        image = F.relu(F.conv2d(image, convolution.weight, convolution.bias, padding=padding))
    features = [image.flatten(1)]
    for n, (size, start) in enumerate(zip(extras, np.cumsum((0, *extras)), strict=False)):
        chosen = torch.from_numpy(observations[:, grid[0] * grid[1] * 3 + n]).long().clamp(max=size - 1)
        features.append(torso.extras[int(start) + chosen])
    return F.relu(torso.hidden(torch.cat(features, dim=1)))
