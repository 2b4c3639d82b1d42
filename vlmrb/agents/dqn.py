"""DQN (Mnih et al. 2015) with double Q-learning (van Hasselt et al. 2016), dueling heads and n-step returns as options."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vlmrb.agents.exploration import Exploration
from vlmrb.agents.learner import Learner
from vlmrb.agents.networks import ValueHead, make_torso
from vlmrb.config import TrainConfig
from vlmrb.types import AgentUpdate, Batch, Feedback, ObservationSpec


class QNetwork(nn.Module):
    """Q(s, ·)."""

    def __init__(self, spec: ObservationSpec, n_actions: int, hidden_size: int, dueling: bool) -> None:
        super().__init__()
        self.torso = make_torso(spec, hidden_size)
        self.head = ValueHead(hidden_size, n_actions, dueling)

    def forward(self, observation: Any) -> Tensor:
        """Prepared observations → [B, A]."""
        values: Tensor = self.head(self.torso(observation))
        return values


class DQN:
    """Deep Q-network.

    Args:
        config: learning_rate, tau, target_update_interval, double, dueling, hidden_size.
        spec: observations.
        n_actions: A.
        exploration: chooses actions by their values.
        seed: of the initial weights.
        device: where the networks live.
        feedback: what updates report besides TD errors (`vlmrb.types.Feedback`).
    """

    def __init__(
        self,
        config: TrainConfig,
        spec: ObservationSpec,
        n_actions: int,
        exploration: Exploration,
        seed: int,
        device: torch.device,
        feedback: Collection[str] = (),
    ) -> None:
        self._double, self._wants_reducible_losses = config.double, "reducible_losses" in feedback
        self._learner = Learner(
            lambda: QNetwork(spec, n_actions, config.hidden_size, config.dueling), config, exploration, seed, device
        )

    def act(self, observation: np.ndarray, step: int) -> np.ndarray:
        """Actions [E], exploring."""
        return self._learner.exploration.choose(self._values(observation), step)

    def best_action(self, observation: np.ndarray) -> np.ndarray:
        """argmax_a Q(s, a), int64 [N]."""
        best: np.ndarray = self._values(observation).argmax(axis=1)
        return best

    def _values(self, observation: np.ndarray) -> np.ndarray:
        return _values(self._learner.online, self._learner.prepare(observation))  # [N, A]

    def update(self, batch: Batch) -> AgentUpdate:
        """Huber loss between Q(s, a) and r + γ^k · Q_target(s', argmax_a' Q(s', a'))."""
        learner, rows = self._learner, np.arange(len(batch.actions))
        observations, target = learner.prepare(batch.observations), self._target(batch)
        values = learner.online(observations)  # [B, A]
        value = _array(values)[rows, batch.actions]
        errors = target - value
        reducible = self._reducible_losses(batch, observations, target, errors)  # before the networks change
        gradient = np.zeros(values.shape, np.float32)
        gradient[rows, batch.actions] = -batch.weights * errors.clip(-1, 1) / len(rows)
        learner.descend(values, torch.from_numpy(gradient).to(learner.device))
        metrics = {"train/td_loss": float((batch.weights * _huber(errors)).mean()), "train/mean_q": float(value.mean())}
        return AgentUpdate(Feedback(errors, reducible), metrics)

    def td_errors(self, batch: Batch) -> np.ndarray:
        """r + γ^k · Q_target(s', argmax_a' Q(s', a')) − Q(s, a), float32 [B]."""
        values = self._values(batch.observations)
        errors: np.ndarray = self._target(batch) - values[np.arange(len(values)), batch.actions]
        return errors

    def feedback(self, batch: Batch) -> Feedback:
        """What `update` would report, without learning."""
        observations, target = self._learner.prepare(batch.observations), self._target(batch)
        errors = target - _values(self._learner.online, observations)[np.arange(len(target)), batch.actions]
        return Feedback(errors, self._reducible_losses(batch, observations, target, errors))

    def _reducible_losses(self, batch: Batch, observations: Any, target: np.ndarray, errors: np.ndarray) -> np.ndarray | None:
        """Losses of the online network minus those of the target network, float32 [B]; None if nobody wants them."""
        if not self._wants_reducible_losses:
            return None
        values = _values(self._learner.target, observations)
        reducible: np.ndarray = _huber(errors) - _huber(target - values[np.arange(len(target)), batch.actions])
        return reducible

    def _target(self, batch: Batch) -> np.ndarray:
        """float32 [B]."""
        learner = self._learner
        observations = learner.prepare(batch.next_observations)
        values = _values(learner.target, observations)  # [B, A]
        best = (_values(learner.online, observations) if self._double else values).argmax(axis=1)
        target: np.ndarray = batch.rewards + batch.discounts * (1 - batch.terminated) * values[np.arange(len(best)), best]
        return target

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, generator."""
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        self._learner.load_state_dict(state)


@torch.no_grad()
def _values(network: nn.Module, observations: Any) -> np.ndarray:
    """Q(s, ·) of prepared observations, float32 [B, A]."""
    return _array(network(observations))


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().cpu().numpy()
    return array


def _huber(errors: np.ndarray) -> np.ndarray:
    """[B] → [B]."""
    size = np.abs(errors)
    inner = np.minimum(size, np.float32(1))
    losses: np.ndarray = inner * (size - inner / 2)
    return losses
