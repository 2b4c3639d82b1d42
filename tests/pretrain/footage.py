"""Clips that stand for those of agents that learn, where a test has no minutes to train fourteen of them."""

from __future__ import annotations

from pathlib import Path

from vlmrb.pretrain.grids.environments import SCATTERED
from vlmrb.pretrain.grids.learners import LEARNERS, save_clips
from vlmrb.pretrain.grids.worlds import SceneMaker


def put_learners(out: Path) -> Path:
    """Give a training in this folder four clips of planned behaviour for each learner; return the folder."""
    data = out / "training" / "data"
    data.mkdir(parents=True)
    clips = [clip for _, clip in SceneMaker([SCATTERED]).as_they_come((7,), 4)]
    for number in range(len(LEARNERS)):
        save_clips(data, number, clips)
    return out
