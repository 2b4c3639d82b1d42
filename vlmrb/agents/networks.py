"""Networks: torsos that encode observations, and heads that compute action values.

Updates of networks this small cost more in calls than in arithmetic, so each torso has a `prepare` that converts stored
observations to its input once, however many networks read them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlmrb.agents.patches import COLORS, KINDS, STATES, Patches, convolve_patches, find_patches
from vlmrb.types import ObservationSpec


def make_torso(spec: ObservationSpec, hidden_size: int) -> Any:
    """A network with `prepare(observation)` for observations [B, *spec.shape] as stored and `forward` → [B, hidden_size]."""
    torsos = {"grid": GridTorso, "vector": VectorTorso, "image": ImageTorso}
    return torsos[spec.kind](spec, hidden_size)


class GridTorso(nn.Module):
    """Symbolic grids: each cell is embedded as the sum of an object, a colour and a state vector; two 3×3 convolutions follow.

    Convolutions matter: on DoorKey-8x8 (`vlm`, `oracle`, seed 1, batches of 128) this network reached 42 % success after
    175,000 steps; two dense layers were at 0 % after 200,000. How they are computed: `vlmrb.agents.patches`.
    """

    def __init__(self, spec: ObservationSpec, hidden_size: int, width: int = 8, channels: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        assert spec.grid_shape is not None
        self._grid = spec.grid_shape[:2]
        self._limits = np.array(spec.extras, np.int64)
        self._padding = 0 if min(self._grid) >= 5 else 1
        self.kind = nn.Parameter(torch.randn(KINDS, 1, 1, width))
        self.color = nn.Parameter(torch.randn(1, COLORS, 1, width) * 0.5)
        self.state = nn.Parameter(torch.randn(1, 1, STATES, width) * 0.5)
        self.extras = nn.Parameter(torch.randn(sum(spec.extras), width))
        self.convolutions = nn.Sequential(nn.Conv2d(width, channels[0], 3), nn.ReLU(), nn.Conv2d(*channels, 3), nn.ReLU())
        places = (self._grid[0] - 4 + 4 * self._padding) * (self._grid[1] - 4 + 4 * self._padding)
        self.hidden = nn.Linear(channels[1] * places + len(spec.extras) * width, hidden_size)

    def prepare(self, observation: np.ndarray, device: torch.device) -> Patches:
        """uint8 [B, cells·3 + extras] → the patches to convolve and their places."""
        return find_patches(observation, self._grid, self._limits, self._padding, device)

    def forward(self, patches: Patches) -> Tensor:
        """Prepared observations → [B, hidden_size]."""
        first, _, second, _ = self.convolutions
        layers: Any = (first.weight, first.bias, second.weight, second.bias, self.hidden.weight, self.hidden.bias)
        return convolve_patches(patches, self.kind, self.color, self.state, self.extras, *layers)


class VectorTorso(nn.Module):
    """Vectors of numbers: two hidden layers."""

    def __init__(self, spec: ObservationSpec, hidden_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(spec.shape[0], hidden_size), nn.ReLU(), nn.Linear(hidden_size, hidden_size), nn.ReLU()
        )

    def prepare(self, observation: np.ndarray, device: torch.device) -> Tensor:
        """float32 [B, D], unchanged."""
        return torch.from_numpy(observation).to(device)

    def forward(self, observation: Tensor) -> Tensor:
        """float32 [B, D] → [B, hidden_size]."""
        features: Tensor = self.layers(observation)
        return features


class ImageTorso(nn.Module):
    """Images: the three convolutions of the Nature DQN (Mnih et al. 2015)."""

    def __init__(self, spec: ObservationSpec, hidden_size: int) -> None:
        super().__init__()
        height, width, channels = spec.shape
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 8, 4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(7) if min(height, width) > 96 else nn.Identity(),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, channels, height, width)).shape[1]
        self.hidden = nn.Linear(flat, hidden_size)

    def prepare(self, observation: np.ndarray, device: torch.device) -> Tensor:
        """uint8 [B, H, W, C] → float32 [B, C, H, W] in [0, 1]."""
        return torch.from_numpy(observation).to(device).permute(0, 3, 1, 2).float() / 255

    def forward(self, image: Tensor) -> Tensor:
        """Prepared observations → [B, hidden_size]."""
        return F.relu(self.hidden(self.convolutions(image)))


class ValueHead(nn.Module):
    """Action values from features; dueling (Wang et al. 2016): value + advantage − mean advantage."""

    def __init__(self, hidden_size: int, n_actions: int, dueling: bool) -> None:
        super().__init__()
        self.advantage = nn.Linear(hidden_size, n_actions)
        self.value = nn.Linear(hidden_size, 1) if dueling else None

    def forward(self, features: Tensor) -> Tensor:
        """[..., hidden_size] → [..., n_actions]."""
        advantage: Tensor = self.advantage(features)
        if self.value is None:
            return advantage
        values: Tensor = self.value(features) + advantage - advantage.mean(dim=-1, keepdim=True)
        return values
