"""(e) Rendering frames from snapshots versus MiniGrid's own render()."""

from __future__ import annotations

import numpy as np
import pytest

from vlmrb.config import make_config
from vlmrb.envs import make_env, make_renderer

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("env_id", ["DoorKey-8x8", "DoorKey-16x16"])
def test_rendering_from_snapshots(compare, env_id: str) -> None:
    import gymnasium as gym
    import minigrid  # noqa: F401

    env, rng = make_env(make_config(env=env_id, replay="uniform")), np.random.default_rng(0)
    env.reset(0)
    snapshots = []
    for _ in range(8):
        env.step(int(rng.integers(7)))
        snapshots.append(env.snapshot())
    stack, renderer = np.stack(snapshots), make_renderer(env.render_spec)
    original = gym.make(f"MiniGrid-{env_id}-v0", render_mode="rgb_array")
    original.reset(seed=0)
    compare(
        f"8 frames of {env_id}, snapshots : env.render()",
        lambda: renderer.render(stack),
        lambda: [original.render() for _ in range(8)],
    )
