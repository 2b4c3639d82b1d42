"""Scripted play: acts in place of the agent for the first steps of a run, so that the buffer holds successes to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vlmrb.envs.base import Environment
from vlmrb.errors import ConfigError


class Play:
    """A script for each environment of a run, with the agent's way to act.

    Args:
        envs: side by side.
        rng: decides everything random in it.

    Raises:
        ConfigError: no script is known for these environments.
    """

    def __init__(self, envs: Sequence[Environment], rng: np.random.Generator) -> None:
        from vlmrb.envs.ogbench_play import ScenePlay

        for env in envs:
            check_play(env)
        self._scripts = [ScenePlay(env.scene, rng) for env in envs]  # type: ignore[attr-defined]

    def act(self, observation: np.ndarray, step: int) -> np.ndarray:
        """Actions float32 [E, A]; scripts look at the simulator's state, not at what the agent sees."""
        return np.stack([script.act() for script in self._scripts])


def check_play(env: Environment) -> None:
    """See that there is a script for an environment.

    Raises:
        ConfigError: there is none.
    """
    if not hasattr(env, "scene"):
        raise ConfigError("play_steps: only OGBench's manipulation tasks have scripted play; give 0 for any other environment")
