"""DQN (Mnih et al. 2015) with double Q-learning (van Hasselt et al. 2016), dueling heads and n-step returns as options."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlmrb.agents.exploration import Exploration
from vlmrb.agents.learner import Learner, TensorBatch
from vlmrb.agents.networks import ValueHead, make_torso
from vlmrb.config import TrainConfig
from vlmrb.types import AgentUpdate, Batch, ObservationSpec


class QNetwork(nn.Module):
    """Q(s, ·)."""

    def __init__(self, spec: ObservationSpec, n_actions: int, hidden_size: int, dueling: bool) -> None:
        super().__init__()
        self.torso = make_torso(spec, hidden_size)
        self.head = ValueHead(hidden_size, n_actions, dueling)

    def forward(self, observation: Tensor) -> Tensor:
        """Prepared observations [B, …] → [B, A]."""
        return self.head(self.torso(observation))


class DQN:
    """Deep Q-network.

    Args:
        config: learning_rate, tau, target_update_interval, double, dueling, hidden_size.
        spec: observations.
        n_actions: A.
        exploration: chooses among the action values.
        seed: of the initial weights.
        device: where the networks live.
    """

    def __init__(
        self,
        config: TrainConfig,
        spec: ObservationSpec,
        n_actions: int,
        exploration: Exploration,
        seed: int,
        device: torch.device,
    ) -> None:
        self._double = config.double
        self._learner = Learner(
            lambda: QNetwork(spec, n_actions, config.hidden_size, config.dueling), config, exploration, seed, device
        )

    def act(self, observation: np.ndarray, step: int) -> np.ndarray:
        """Actions [E], exploring."""
        return self._learner.exploration.choose(self._values(observation), step)

    def best_action(self, observation: np.ndarray) -> np.ndarray:
        """argmax_a Q(s, a), int64 [N]."""
        return self._values(observation).argmax(axis=1)

    @torch.no_grad()
    def _values(self, observation: np.ndarray) -> np.ndarray:
        return self._learner.online(self._learner.prepare(observation)).cpu().numpy()  # [N, A]

    def update(self, batch: Batch) -> AgentUpdate:
        """Huber loss between Q(s, a) and r + γ^k · Q_target(s', argmax_a' Q(s', a'))."""
        learner, data = self._learner, self._learner.tensors(batch)
        value, target = self._value_and_target(data)
        loss = (data.weights * F.smooth_l1_loss(value, target, reduction="none")).mean()
        learner.descend(loss)
        return AgentUpdate(_errors(value, target), {"train/td_loss": loss.item(), "train/mean_q": value.mean().item()})

    @torch.no_grad()
    def td_errors(self, batch: Batch) -> np.ndarray:
        """r + γ^k · Q_target(s', argmax_a' Q(s', a')) − Q(s, a), float32 [B]."""
        return _errors(*self._value_and_target(self._learner.tensors(batch)))

    def _value_and_target(self, data: TensorBatch) -> tuple[Tensor, Tensor]:
        learner = self._learner
        with torch.no_grad():
            next_values = learner.target(data.next_observations)  # [B, A]
            chooser = learner.online(data.next_observations) if self._double else next_values
            best = chooser.argmax(dim=1, keepdim=True)  # [B, 1]
            target = data.rewards + data.discounts * next_values.gather(1, best).squeeze(1)  # [B]
        value = learner.online(data.observations).gather(1, data.actions.unsqueeze(1)).squeeze(1)  # [B]
        return value, target

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, generator."""
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        self._learner.load_state_dict(state)


def _errors(value: Tensor, target: Tensor) -> np.ndarray:
    return (target - value).detach().cpu().numpy()
