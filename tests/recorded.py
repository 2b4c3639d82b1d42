"""Stores with clips recorded in real environments, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.doorkey import record_clips
from vlmrb.config import make_config
from vlmrb.envs import make_env
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore


def record_run(
    store: Store, clips: int = 6, *, env: str = "DoorKey-5x5", length: int = 32, labels: Sequence[bool] = (), **settings: str
) -> int:
    """A run with clips of an agent that often solves the task; the first ones are scored with `labels`."""
    recorded = record_clips(env, clips, lambda _: 0.5, np.random.default_rng(0), length)
    render_spec = make_env(make_config(env=env, replay="uniform", **settings)).render_spec
    return store_clips(store, recorded, render_spec, labels)


def record_frames(store: Store, frames: Sequence[np.ndarray]) -> int:
    """A run whose clips are frames, each uint8 [T, H, W, 3]."""
    clips = [
        Clip(number, 0, 0, np.arange(len(each)), each, np.zeros(len(each), np.float32), (), "length")
        for number, each in enumerate(frames)
    ]
    return store_clips(store, clips, {"kind": "frames"})


def store_clips(store: Store, clips: Sequence[Clip], render_spec: dict[str, object], labels: Sequence[bool] = ()) -> int:
    """A run with these clips, renumbered."""
    run_id = store.create_run(make_config(scorer="oracle").model_dump(), render_spec=render_spec, success_rule="the goal")
    writer = store.writer(run_id)
    for number, clip in enumerate(clips):
        writer.add_clip(replace(clip, clip_id=run_id * CLIPS_PER_RUN + number))
    for number, label in enumerate(labels):
        writer.add_score(
            ClipScore(run_id * CLIPS_PER_RUN + number, 0.8 if label else 0.3, None, None, 0.5, "hand", "hand", "", None)
        )
    writer.flush()
    return run_id
