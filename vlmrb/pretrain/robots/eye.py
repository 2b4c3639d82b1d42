"""How the model sees the robot's frames during training, and what it is taught about each patch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vlmrb.pretrain.batches import PackedBatch
from vlmrb.pretrain.robots.pictures import PatchPictures
from vlmrb.pretrain.robots.stage import LOOKS
from vlmrb.pretrain.robots.truth import HAPPENINGS, PATHS


class RobotEye(nn.Module):
    """An `Eye` for the robot: a patch is embedded from the first frame's coordinates and their changes from frame to frame.

    Linear heads predict what a patch contains in the first and the last frame, the paths of gripper and cubes through the frames,
    and what happens in the patch.

    Args:
        frames: F, per clip.
        width: of the vision tower.
        pictures: of the patches.
    """

    def __init__(self, frames: int, width: int, pictures: PatchPictures) -> None:
        super().__init__()
        self._pictures = pictures
        components = pictures.components.shape[1]
        self.weights = nn.Parameter(torch.randn(frames, components, width) / (2 * components) ** 0.5)
        self.contents = nn.Linear(width, 2 * len(LOOKS))
        self.paths = nn.Linear(width, frames * len(PATHS))
        self.happened = nn.Linear(width, len(HAPPENINGS))
        for head in (self.contents, self.paths, self.happened):
            nn.init.constant_(head.bias, -5.0)  # hardly any patch contains anything

    def patches(self, batch: PackedBatch, device: torch.device) -> torch.Tensor:
        """The vision tower's input, float [N, width]."""
        codes = torch.from_numpy(batch.view["codes"]).to(device).float()  # [N, F, C]
        seen = torch.cat([codes[:, :1], codes.diff(dim=1)], dim=1)
        return seen.flatten(1) @ self.weights.flatten(0, 1)

    def loss(self, cells: torch.Tensor, batch: PackedBatch, device: torch.device) -> tuple[torch.Tensor, float]:
        """The loss of the heads on cells [N, width], and the share of the patches with a thing where they name one of them."""

        def of(name: str) -> torch.Tensor:
            return torch.from_numpy(batch.view[name]).to(device).float()

        bce = functional.binary_cross_entropy_with_logits
        contents = self.contents(cells).unflatten(-1, (2, len(LOOKS)))
        holds = torch.stack([of("before"), of("after")], dim=1)
        loss = 2 * bce(contents, holds, reduction="sum") / holds.sum().clamp(min=1)
        paths = of("paths").flatten(1)
        loss = loss + bce(self.paths(cells), paths, reduction="sum") / paths.sum().clamp(min=1)
        loss = loss + bce(self.happened(cells), of("happened"), reduction="sum") / len(batch.grids)
        named = holds[:, 1].gather(1, contents[:, 1].argmax(-1, keepdim=True))[holds[:, 1].any(-1)]
        return loss, float(named.mean().detach())

    def kernel(self) -> np.ndarray:
        """The equivalent patch embedding over pixels in [−1, 1], float32 [width, 3, F, side, side]."""
        weights = self.weights.detach().cpu()
        after = torch.cat([weights[1:], torch.zeros_like(weights[:1])])
        return self._pictures.kernel((weights - after).permute(1, 0, 2).numpy())

    def take_over(self, kernel: np.ndarray) -> None:
        """Embed patches as this patch embedding over pixels does: the inverse of `kernel`."""
        by_frame = torch.from_numpy(self._pictures.weights(kernel)).permute(1, 0, 2)  # [F, C, D]
        self.weights.data.copy_(by_frame.flip(0).cumsum(0).flip(0))
