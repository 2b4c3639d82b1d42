"""TD3 (Fujimoto et al. 2018): a deterministic policy, updated less often than its twin critics, and smoothed targets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vlmrb.agents.actor_critic import ActorCritic, errors_of, random_actions
from vlmrb.agents.learner import TensorBatch
from vlmrb.agents.networks import make_torso
from vlmrb.config import TrainConfig
from vlmrb.types import AgentUpdate, Batch, Feedback, ObservationSpec


class DeterministicPolicy(nn.Module):
    """a = μ(s)."""

    def __init__(self, spec: ObservationSpec, action_size: int, hidden_size: int) -> None:
        super().__init__()
        self.torso = make_torso(spec, hidden_size)
        self.head = nn.Linear(hidden_size, action_size)

    def forward(self, observation: Tensor) -> Tensor:
        """Prepared observations [B, …] → actions [B, A] in [−1, 1]."""
        return torch.tanh(self.head(self.torso(observation)))


class TD3:
    """Twin delayed deep deterministic policy gradient.

    Args:
        config: learning_rate, tau, hidden_size, learning_starts, exploration_noise, target_noise, target_noise_clip,
            policy_delay.
        spec: observations.
        action_size: A.
        rng: for exploration.
        seed: of weights and target noise.
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
        self._networks = ActorCritic(
            lambda: DeterministicPolicy(spec, action_size, config.hidden_size),
            config,
            spec,
            action_size,
            seed,
            device,
            target_policy=True,
        )

    def act(self, observation: np.ndarray, step: int) -> np.ndarray:
        """The policy's actions with Gaussian noise, float32 [E, A]; uniform before `learning_starts`."""
        if step < self._config.learning_starts:
            return random_actions(len(observation), self._action_size, self._rng)
        best = self.best_action(observation)
        noise = self._config.exploration_noise * self._rng.standard_normal(best.shape, np.float32)
        noisy: np.ndarray = np.clip(best + noise, -1.0, 1.0, dtype=np.float32)
        return noisy

    @torch.no_grad()
    def best_action(self, observation: np.ndarray) -> np.ndarray:
        """μ(s), float32 [N, A]."""
        action: Tensor = self._networks.policy(self._networks.prepare(observation))
        return action.cpu().numpy()

    def update(self, batch: Batch) -> AgentUpdate:
        """One step of the critics; every `policy_delay` steps also one of the policy and a soft update of the target networks."""
        networks, data = self._networks, self._networks.tensors(batch)
        target = self._target(data)
        values, critic_loss = networks.learn_values(data, target)
        reducible = networks.reducible_losses(data, values, target) if self._wants_reducible_losses else None
        networks.updates += 1
        metrics = dict(zip(("train/td_loss", "train/mean_q"), torch.stack([critic_loss, values.mean()]).tolist(), strict=True))
        if networks.updates % self._config.policy_delay == 0:
            with networks.fixed_critics():
                loss = -networks.critics.first_value(data.observations, networks.policy(data.observations)).mean()
                networks.policy_optimizer.descend(loss)
            networks.follow()
            metrics["train/policy_loss"] = loss.item()
        return AgentUpdate(Feedback(errors_of(values, target), reducible), metrics)

    @torch.no_grad()
    def td_errors(self, batch: Batch) -> np.ndarray:
        """The TD errors that `update` would report, float32 [B]: target − Q(s, a), averaged over both critics."""
        networks, data = self._networks, self._networks.tensors(batch)
        drawn = networks.generator.get_state()
        target = self._target(data)
        networks.generator.set_state(drawn)
        return errors_of(networks.critics(data.observations, data.actions), target)

    @torch.no_grad()
    def feedback(self, batch: Batch) -> Feedback:
        """What `update` would report, without learning."""
        networks, data = self._networks, self._networks.tensors(batch)
        drawn = networks.generator.get_state()
        target = self._target(data)
        networks.generator.set_state(drawn)
        values = networks.critics(data.observations, data.actions)
        reducible = networks.reducible_losses(data, values, target) if self._wants_reducible_losses else None
        return Feedback(errors_of(values, target), reducible)

    @torch.no_grad()
    def _target(self, data: TensorBatch) -> Tensor:
        """r + γ^k · min Q_target(s', a'), a' from the target policy plus clipped noise: [B]."""
        networks, config = self._networks, self._config
        noise = config.target_noise * networks.normal(len(data.actions), self._action_size)
        noise = noise.clamp(-config.target_noise_clip, config.target_noise_clip)
        assert networks.target_policy is not None
        action = (networks.target_policy(data.next_observations) + noise).clamp(-1.0, 1.0)
        values: Tensor = networks.target_critics(data.next_observations, action)  # [2, B]
        return data.rewards + data.discounts * values.amin(dim=0)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers, generator."""
        return self._networks.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        self._networks.load_state_dict(state)
