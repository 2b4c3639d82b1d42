"""DQN (Mnih et al. 2015) with double Q-learning (van Hasselt et al. 2016), dueling heads and n-step returns as options."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlmrb.agents.exploration import Exploration
from vlmrb.agents.learner import Learner, TensorBatch
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

    @torch.no_grad()
    def _values(self, observation: np.ndarray) -> np.ndarray:
        values: np.ndarray = self._learner.online(self._learner.prepare(observation)).cpu().numpy()  # [N, A]
        return values

    def update(self, batch: Batch) -> AgentUpdate:
        """Huber loss between Q(s, a) and r + γ^k · Q_target(s', argmax_a' Q(s', a'))."""
        learner, data = self._learner, self._learner.tensors(batch)
        value, target = self._value_and_target(data)
        losses = F.smooth_l1_loss(value, target, reduction="none")  # [B]
        reducible = self._reducible(data, losses, target) if self._wants_reducible_losses else None
        loss = (data.weights * losses).mean()
        learner.descend(loss)
        metrics = {"train/td_loss": loss.item(), "train/mean_q": value.mean().item()}
        return AgentUpdate(Feedback(_errors(value, target), reducible), metrics)

    @torch.no_grad()
    def _reducible(self, data: TensorBatch, losses: Tensor, target: Tensor) -> np.ndarray:
        """Loss of the online network minus that of the target network, float32 [B]."""
        value = _of_actions(self._learner.target(data.observations), data.actions)
        return (losses - F.smooth_l1_loss(value, target, reduction="none")).cpu().numpy()

    @torch.no_grad()
    def td_errors(self, batch: Batch) -> np.ndarray:
        """r + γ^k · Q_target(s', argmax_a' Q(s', a')) − Q(s, a), float32 [B]."""
        return _errors(*self._value_and_target(self._learner.tensors(batch)))

    @torch.no_grad()
    def feedback(self, batch: Batch) -> Feedback:
        """What `update` would report, without learning."""
        data = self._learner.tensors(batch)
        value, target = self._value_and_target(data)
        losses = F.smooth_l1_loss(value, target, reduction="none")  # [B]
        return Feedback(_errors(value, target), self._reducible(data, losses, target) if self._wants_reducible_losses else None)

    def _value_and_target(self, data: TensorBatch) -> tuple[Tensor, Tensor]:
        learner = self._learner
        with torch.no_grad():
            next_values = learner.target(data.next_observations)  # [B, A]
            chooser = learner.online(data.next_observations) if self._double else next_values
            best = chooser.argmax(dim=1, keepdim=True)  # [B, 1]
            target = data.rewards + data.discounts * next_values.gather(1, best).squeeze(1)  # [B]
        return _of_actions(learner.online(data.observations), data.actions), target  # [B], [B]

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, generator."""
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        self._learner.load_state_dict(state)


def _of_actions(values: Tensor, actions: Tensor) -> Tensor:
    """[B, A] and [B] → [B]."""
    return values.gather(1, actions.unsqueeze(1)).squeeze(1)


def _errors(value: Tensor, target: Tensor) -> np.ndarray:
    return (target - value).detach().cpu().numpy()
