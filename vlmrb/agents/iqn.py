"""IQN: implicit quantile networks (Dabney et al. 2018, arXiv 1806.06923), choosing the next action as in double Q-learning."""

from __future__ import annotations

import math
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

COSINES = 64  # features per quantile fraction, as in the paper
ACTING_QUANTILES = 32  # evenly spaced fractions, averaged for an action's value: acting draws no random numbers


class QuantileNetwork(nn.Module):
    """Z_τ(s, ·): the return's quantile at each fraction τ."""

    def __init__(self, spec: ObservationSpec, n_actions: int, hidden_size: int, dueling: bool) -> None:
        super().__init__()
        self.torso = make_torso(spec, hidden_size)
        self.fraction = nn.Linear(COSINES, hidden_size)
        self.head = ValueHead(hidden_size, n_actions, dueling)
        self._frequencies: Tensor
        self.register_buffer("_frequencies", math.pi * torch.arange(1, COSINES + 1), persistent=False)

    def forward(self, observation: Any, fractions: Tensor) -> Tensor:
        """Prepared observations of B states and τ, [B, N] or [1, N] for the same fractions in all states → [B, N, A]."""
        features = self.torso(observation).unsqueeze(1)  # [B, 1, H]
        cosines = torch.cos(fractions.unsqueeze(-1) * self._frequencies)  # [B or 1, N, COSINES]
        quantiles: Tensor = self.head(features * F.relu(self.fraction(cosines)))
        return quantiles


class IQN:
    """Implicit quantile network agent; takes the same arguments as DQN and also reads `config.quantiles`."""

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
        self._quantiles, self._wants_reducible_losses = config.quantiles, "reducible_losses" in feedback
        self._learner = Learner(
            lambda: QuantileNetwork(spec, n_actions, config.hidden_size, config.dueling), config, exploration, seed, device
        )
        self._acting_fractions = ((torch.arange(ACTING_QUANTILES, device=device) + 0.5) / ACTING_QUANTILES).unsqueeze(0)  # [1, N]

    def act(self, observation: np.ndarray, step: int) -> np.ndarray:
        """Actions [E], exploring."""
        return self._learner.exploration.choose(self._values(observation), step)

    def best_action(self, observation: np.ndarray) -> np.ndarray:
        """argmax_a of the mean over evenly spaced quantiles, int64 [N]."""
        best: np.ndarray = self._values(observation).argmax(axis=1)
        return best

    @torch.no_grad()
    def _values(self, observation: np.ndarray) -> np.ndarray:
        return self._mean_values(self._learner.online, self._learner.prepare(observation)).cpu().numpy()  # [N, A]

    def _mean_values(self, network: nn.Module, states: Any) -> Tensor:
        quantiles: Tensor = network(states, self._acting_fractions)  # [B, N, A]
        return quantiles.mean(dim=1)  # [B, A]

    def update(self, batch: Batch) -> AgentUpdate:
        """Quantile Huber loss between all pairs of predicted and target quantiles (equation 3)."""
        learner, data = self._learner, self._learner.tensors(batch)
        next_fractions, fractions = self._draw(len(data.actions)), self._draw(len(data.actions))  # [B, N'], [B, N]
        quantiles, target = self._quantiles_and_target(data, fractions, next_fractions)
        losses = _quantile_losses(quantiles, target, fractions)  # [B]
        reducible = self._reducible(data, losses, target, fractions) if self._wants_reducible_losses else None
        loss = (data.weights * losses).mean()
        learner.descend(loss)
        metrics = {"train/td_loss": loss.item(), "train/mean_q": quantiles.mean().item()}
        return AgentUpdate(Feedback(_errors(quantiles, target), reducible), metrics)

    @torch.no_grad()
    def _reducible(self, data: TensorBatch, losses: Tensor, target: Tensor, fractions: Tensor) -> np.ndarray:
        """Loss of the online network minus that of the target network, float32 [B]."""
        quantiles = _of_action(self._learner.target(data.observations, fractions), data.actions)
        return (losses - _quantile_losses(quantiles, target, fractions)).cpu().numpy()

    @torch.no_grad()
    def td_errors(self, batch: Batch) -> np.ndarray:
        """Mean target quantile minus mean predicted quantile, float32 [B], over evenly spaced fractions: nothing is drawn."""
        data = self._learner.tensors(batch)
        return _errors(*self._quantiles_and_target(data, self._acting_fractions, self._acting_fractions))

    @torch.no_grad()
    def feedback(self, batch: Batch) -> Feedback:
        """What `update` would report, but over evenly spaced fractions: nothing is drawn."""
        data = self._learner.tensors(batch)
        fractions = self._acting_fractions.expand(len(data.actions), -1)
        quantiles, target = self._quantiles_and_target(data, fractions, fractions)
        losses = _quantile_losses(quantiles, target, fractions)  # [B]
        reducible = self._reducible(data, losses, target, fractions) if self._wants_reducible_losses else None
        return Feedback(_errors(quantiles, target), reducible)

    def _quantiles_and_target(self, data: TensorBatch, fractions: Tensor, next_fractions: Tensor) -> tuple[Tensor, Tensor]:
        learner = self._learner
        with torch.no_grad():
            best = self._mean_values(learner.online, data.next_observations).argmax(dim=1)  # [B]
            next_quantiles = _of_action(learner.target(data.next_observations, next_fractions), best)  # [B, N']
            target = data.rewards.unsqueeze(1) + data.discounts.unsqueeze(1) * next_quantiles  # [B, N']
        return _of_action(learner.online(data.observations, fractions), data.actions), target  # [B, N], [B, N']

    def _draw(self, count: int) -> Tensor:
        return torch.rand(count, self._quantiles, generator=self._learner.generator, device=self._learner.device)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, generator."""
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        self._learner.load_state_dict(state)


def _quantile_losses(quantiles: Tensor, target: Tensor, fractions: Tensor) -> Tensor:
    """Quantile Huber loss of predictions [B, N] at fractions [B, N] and targets [B, N']: [B]."""
    errors = target.unsqueeze(1) - quantiles.unsqueeze(2)  # [B, N, N']
    huber = F.huber_loss(errors, torch.zeros_like(errors), reduction="none")
    asymmetry = (fractions.unsqueeze(2) - (errors.detach() < 0).float()).abs()
    return (asymmetry * huber).mean(dim=2).sum(dim=1)


def _of_action(quantiles: Tensor, actions: Tensor) -> Tensor:
    """[B, N, A] and [B] → [B, N]."""
    return quantiles.gather(2, actions[:, None, None].expand(-1, quantiles.shape[1], 1)).squeeze(2)


def _errors(quantiles: Tensor, target: Tensor) -> np.ndarray:
    return (target.mean(dim=1) - quantiles.mean(dim=1)).detach().cpu().numpy()
