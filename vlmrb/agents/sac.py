"""Soft actor-critic (Haarnoja et al. 2018): a squashed Gaussian policy, twin critics, and an automatically tuned temperature."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlmrb.agents.actor_critic import ActorCritic, errors_of, random_actions
from vlmrb.agents.learner import TensorBatch
from vlmrb.agents.networks import make_torso
from vlmrb.config import TrainConfig
from vlmrb.types import AgentUpdate, Batch, Feedback, ObservationSpec

LOG_STD_RANGE = (-20.0, 2.0)


class GaussianPolicy(nn.Module):
    """π(a|s): tanh of a Gaussian with a mean and a standard deviation per action dimension."""

    def __init__(self, spec: ObservationSpec, action_size: int, hidden_size: int) -> None:
        super().__init__()
        self.torso = make_torso(spec, hidden_size)
        self.head = nn.Linear(hidden_size, 2 * action_size)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Prepared observations [B, …] → mean and log standard deviation before the tanh, each [B, A]."""
        mean, log_std = self.head(self.torso(observation)).chunk(2, dim=1)
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def sample(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [B, A] from standard normal noise [B, A], and their log π [B]."""
        mean, log_std = self(observation)
        raw = mean + noise * log_std.exp()
        return torch.tanh(raw), squashed_log_prob(raw, noise, log_std)


def squashed_log_prob(raw: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
    """Log density [B] of tanh(raw), where raw = mean + noise · exp(log_std); finite even where tanh saturates.

    log(1 − tanh²x) is written as 2 (log 2 − x − softplus(−2x)).
    """
    gaussian = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
    return (gaussian - 2 * (math.log(2) - raw - F.softplus(-2 * raw))).sum(dim=1)


class SAC:
    """Soft actor-critic.

    Args:
        config: learning_rate, tau, hidden_size, learning_starts, target_entropy.
        spec: observations.
        action_size: A.
        rng: for the random actions before `learning_starts`.
        seed: of weights and noise.
        device: where the networks live.
        feedback: what updates report besides TD errors (`vlmrb.types.Feedback`).
    """

    def __init__(
        self,
        config: TrainConfig,
        spec: ObservationSpec,
        action_size: int,
        rng: np.random.Generator,
        seed: int,
        device: torch.device,
        feedback: Collection[str] = (),
    ) -> None:
        self._config, self._rng, self._action_size = config, rng, action_size
        self._wants_reducible_losses = "reducible_losses" in feedback
        self._log_alpha = torch.zeros(1, device=device, requires_grad=True)
        self._networks = ActorCritic(
            lambda: GaussianPolicy(spec, action_size, config.hidden_size),
            config,
            spec,
            action_size,
            seed,
            device,
            more_parameters=[self._log_alpha],
        )
        self._target_entropy = -float(action_size) if config.target_entropy is None else config.target_entropy

    @torch.no_grad()
    def act(self, observation: np.ndarray, step: int) -> np.ndarray:
        """Actions float32 [E, A] drawn from the policy; uniform before `learning_starts`."""
        if step < self._config.learning_starts:
            return random_actions(len(observation), self._action_size, self._rng)
        networks = self._networks
        noise = networks.normal(len(observation), self._action_size)
        action: Tensor = networks.policy.sample(networks.prepare(observation), noise)[0]
        return action.cpu().numpy()

    @torch.no_grad()
    def best_action(self, observation: np.ndarray) -> np.ndarray:
        """tanh of the policy's mean, float32 [N, A]."""
        mean, _ = self._networks.policy(self._networks.prepare(observation))
        return torch.tanh(mean).cpu().numpy()

    def update(self, batch: Batch) -> AgentUpdate:
        """One step of the critics, the policy and the temperature, then a soft update of the target critics."""
        networks, data = self._networks, self._networks.tensors(batch)
        alpha = self._log_alpha.detach().exp()
        target = self._target(data, alpha)
        values, critic_loss = networks.learn_values(data, target)
        reducible = networks.reducible_losses(data, values, target) if self._wants_reducible_losses else None
        noise = networks.normal(len(data.actions), self._action_size)
        with networks.fixed_critics():
            action, log_prob = networks.policy.sample(data.observations, noise)
            loss = (alpha * log_prob - networks.critics(data.observations, action).amin(dim=0)).mean()
            log_prob = log_prob.detach()
            alpha_loss = -(self._log_alpha * (log_prob.mean() + self._target_entropy)).sum()
            networks.policy_optimizer.descend(loss + alpha_loss)  # neither loss has a gradient for the other's parameters
        networks.follow()
        networks.updates += 1
        names = ("train/td_loss", "train/mean_q", "train/policy_loss", "train/entropy", "train/alpha")
        figures = torch.stack([critic_loss, values.mean(), loss.detach(), -log_prob.mean(), alpha[0]]).tolist()
        return AgentUpdate(Feedback(errors_of(values, target), reducible), dict(zip(names, figures, strict=True)))

    @torch.no_grad()
    def td_errors(self, batch: Batch) -> np.ndarray:
        """The TD errors that `update` would report, float32 [B]: target − Q(s, a), averaged over both critics."""
        networks, data = self._networks, self._networks.tensors(batch)
        drawn = networks.generator.get_state()
        target = self._target(data, self._log_alpha.exp())
        networks.generator.set_state(drawn)
        return errors_of(networks.critics(data.observations, data.actions), target)

    @torch.no_grad()
    def feedback(self, batch: Batch) -> Feedback:
        """What `update` would report, without learning."""
        networks, data = self._networks, self._networks.tensors(batch)
        drawn = networks.generator.get_state()
        target = self._target(data, self._log_alpha.exp())
        networks.generator.set_state(drawn)
        values = networks.critics(data.observations, data.actions)
        reducible = networks.reducible_losses(data, values, target) if self._wants_reducible_losses else None
        return Feedback(errors_of(values, target), reducible)

    @torch.no_grad()
    def _target(self, data: TensorBatch, alpha: Tensor) -> Tensor:
        """r + γ^k · (min Q_target(s', a') − α log π(a'|s')), a' drawn from the policy: [B]."""
        networks = self._networks
        noise = networks.normal(len(data.actions), self._action_size)
        action, log_prob = networks.policy.sample(data.next_observations, noise)
        value: Tensor = networks.target_critics(data.next_observations, action).amin(dim=0)
        target: Tensor = data.rewards + data.discounts * (value - alpha * log_prob)
        return target

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers, generator, temperature."""
        return self._networks.state_dict() | {"log_alpha": self._log_alpha.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        self._networks.load_state_dict(state)
        with torch.no_grad():
            self._log_alpha.copy_(state["log_alpha"])
