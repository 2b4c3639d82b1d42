"""Scripted play: acts in place of the agent for the first steps of a run, so that the buffer has successes to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vlmrb.envs.base import Environment
from vlmrb.errors import ConfigError


class Play:
    """One script per environment of a run, with an agent's `act` method.

    Args:
        envs: the parallel environments.
        rng: source of all randomness.

    Raises:
        ConfigError: these environments have no script.
    """

    def __init__(self, envs: Sequence[Environment], rng: np.random.Generator) -> None:
        from vlmrb.envs.ogbench_play import ScenePlay

        for env in envs:
            check_play(env)
        self._scripts = [ScenePlay(env.scene, rng) for env in envs]  # type: ignore[attr-defined]

    def act(self, observation: np.ndarray, step: int) -> np.ndarray:
        """Actions float32 [E, A]; scripts read the simulator's state, not the observation."""
        return np.stack([script.act() for script in self._scripts])


def check_play(env: Environment) -> None:
    """Check that an environment has a script.

    Raises:
        ConfigError: it has none.
    """
    if not hasattr(env, "scene"):
        raise ConfigError("play_steps: only OGBench's manipulation tasks have scripted play; use 0 for other environments")
