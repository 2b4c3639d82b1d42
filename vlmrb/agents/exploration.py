"""ε-greedy exploration, with an optional floor per environment."""

from __future__ import annotations

import numpy as np

from vlmrb.config import TrainConfig
from vlmrb.schedules import linear


class Exploration:
    """Random actions with probability ε, which decays linearly; each environment can have its own floor.

    With `epsilon_spread`, ε in environment i of E never falls below 0.5^(1 + 5i/(E−1)): from one half down to 1.6 %.
    """

    def __init__(self, config: TrainConfig, rng: np.random.Generator) -> None:
        self._config, self._rng = config, rng
        place = np.arange(config.n_envs) / max(config.n_envs - 1, 1)
        self._floor = 0.5 ** (1 + 5 * place) if config.epsilon_spread else np.zeros(config.n_envs)

    def epsilon(self, step: int) -> np.ndarray:
        """ε of each environment at `step`, float64 [E]."""
        config = self._config
        shared = linear(config.epsilon_start, config.epsilon_end, config.epsilon_decay * config.horizon, step)
        return np.maximum(self._floor, shared)

    def choose(self, values: np.ndarray, step: int) -> np.ndarray:
        """Actions int64 [E] for action values [E, A] at `step`."""
        count, n_actions = values.shape
        explore = self._rng.random(count) < self.epsilon(step)
        return np.where(explore, self._rng.integers(n_actions, size=count), values.argmax(axis=1))
