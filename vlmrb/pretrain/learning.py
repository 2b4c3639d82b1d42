"""Clips of agents that learn: what a run's scorer is really asked about."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from vlmrb.config import TrainConfig
from vlmrb.store import Store
from vlmrb.train import train
from vlmrb.types import Clip


class Learner(NamedTuple):
    """A run to take clips from."""

    env: str
    steps: int
    replay: str = "per"
    algo: Literal["dqn", "iqn", "sac", "td3"] = "dqn"
    play_steps: int = 0


def clips_of(learner: Learner, seed: int, count: int) -> list[Clip]:
    """Train an agent and return this many of its clips, as they came, evenly spaced over its run."""
    with tempfile.TemporaryDirectory() as folder, Store(str(Path(folder) / "store.db")) as store:
        config = TrainConfig(
            env=learner.env,
            algo=learner.algo,
            replay=learner.replay,
            scorer=None,
            seed=seed,
            total_steps=learner.steps,
            play_steps=learner.play_steps,
            buffer_size=learner.steps,
            eval_interval=learner.steps,
            eval_episodes=1,
            checkpoint_interval=learner.steps,
            device="cpu",
        )
        run_id = train(config, store=store).run_id
        numbers = [clip.clip_id for clip in store.clips(run_id, limit=learner.steps, order="oldest")]
        chosen = np.unique(np.linspace(0, len(numbers) - 1, count).round().astype(int))
        return store.load_clips([numbers[index] for index in chosen])
