"""Exploration that does not die out: softmax over action values, mixed with uniformly random actions."""

from __future__ import annotations

import numpy as np

from vlmrb.config import TrainConfig
from vlmrb.schedules import linear


class Exploration:
    """Chooses actions for the parallel environments from their values.

    With probability ε an action is uniformly random; ε decays linearly, and with `epsilon_spread` environment i of E never
    explores less than 0.5^(1 + 5i/(E−1)), from one half down to 1.6 %. Otherwise it is drawn from
    softmax(Q / temperature). Where nothing is known yet the values hardly differ, and the draw is nearly uniform: the
    agent does not sit in a corner because an accident of its initial weights says so. Temperature 0 is the argmax.
    """

    def __init__(self, config: TrainConfig, rng: np.random.Generator) -> None:
        self._config, self._rng = config, rng
        place = np.arange(config.n_envs) / max(config.n_envs - 1, 1)
        self._floor = 0.5 ** (1 + 5 * place) if config.epsilon_spread else np.zeros(config.n_envs)

    def epsilon(self, step: int) -> np.ndarray:
        """ε of each environment at `step`, float64 [E]."""
        config = self._config
        shared = linear(config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps, step)
        return np.maximum(self._floor, shared)

    def choose(self, values: np.ndarray, step: int) -> np.ndarray:
        """Actions int64 [E] for action values [E, A] at `step`."""
        count, n_actions = values.shape
        if self._config.temperature > 0:
            gumbel = self._rng.gumbel(size=values.shape)  # argmax(x + Gumbel noise) is a draw from softmax(x)
            preferred = (values / self._config.temperature + gumbel).argmax(axis=1)
        else:
            preferred = values.argmax(axis=1)
        explore = self._rng.random(count) < self.epsilon(step)
        return np.where(explore, self._rng.integers(n_actions, size=count), preferred)
