"""The clips of grid worlds that batches are made of: generated on the fly or of agents that learn, laid out as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlmrb.pretrain.batches import BatchOrder, Scenes
from vlmrb.pretrain.grids.learners import load_clips
from vlmrb.pretrain.grids.worlds import Scene, SceneMaker


class GridSource:
    """Generates the clips of each batch.

    Args:
        folder: filled by `learners.prepare`.
    """

    def __init__(self, folder: Path) -> None:
        self._maker = SceneMaker(learners=load_clips(folder))

    def scenes(self, order: BatchOrder) -> Scenes:
        """The clips of this order, the same ones every time."""
        made = self._maker.balanced((order.seed, order.index), order.clips, order.frames, small=order.plain)
        return lay_out(made, order.frames)


def lay_out(scenes: Sequence[Scene], frames: int) -> Scenes:
    """Scenes as arrays, one patch per cell.

    Returns:
        scenes whose view holds 'tiles' (int64 [N, F], key of the tile that a cell shows in each frame), 'before' and 'after'
        (uint8 [N], index into CONTENTS in the first and in the last frame), 'agents' (bool [N, F], whether the agent is there)
        and 'happened' (bool [N, len(HAPPENINGS)]).
    """
    truths = [scene.truth for scene in scenes]

    def by_cell(arrays: Sequence[np.ndarray]) -> np.ndarray:
        """[F, H, W] for each clip → [N, frames]; shorter clips repeat their last frame."""
        full = [np.concatenate([array, np.repeat(array[-1:], frames - len(array), axis=0)]) for array in arrays]
        return np.concatenate([array.reshape(frames, -1).T for array in full])

    return Scenes(
        np.array([scene.tiles.shape[1:] for scene in scenes]),
        {
            "tiles": by_cell([scene.tiles for scene in scenes]),
            "before": np.concatenate([truth.before.ravel() for truth in truths]),
            "after": np.concatenate([truth.after.ravel() for truth in truths]),
            "agents": by_cell([truth.agents for truth in truths]),
            "happened": np.concatenate([truth.happened.reshape(-1, truth.happened.shape[-1]) for truth in truths]),
        },
        truths,
    )
