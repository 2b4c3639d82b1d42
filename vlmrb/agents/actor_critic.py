"""Shared by SAC and TD3: a policy, twin critics, target networks, optimisers, and conversion to tensors and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlmrb.agents.adam import Adam
from vlmrb.agents.learner import TensorBatch
from vlmrb.agents.networks import make_torso
from vlmrb.config import TrainConfig
from vlmrb.types import Batch, ObservationSpec


class TwinCritics(nn.Module):
    """Two action values Q₁(s, a) and Q₂(s, a), computed together: two hidden layers each, over observation and action.

    Images and grids go through a torso that both critics share. `layer_norm` normalises the hidden layers, which bounds the
    values of untried actions (Ball et al. 2023). The layout of the layers and the form of the last one minimise CPU time,
    gradients included.
    """

    def __init__(self, spec: ObservationSpec, action_size: int, hidden_size: int, layer_norm: bool) -> None:
        super().__init__()
        vector = spec.kind == "vector"
        self.torso = nn.Identity() if vector else make_torso(spec, hidden_size)
        inputs = (spec.shape[0] if vector else hidden_size) + action_size
        self.first = nn.Parameter(_uniform(inputs, 2 * hidden_size, fan_in=inputs))  # of both critics: they have the same inputs
        self.first_bias = nn.Parameter(_uniform(2 * hidden_size, fan_in=inputs))
        self.second = nn.Parameter(_uniform(2, hidden_size, hidden_size, fan_in=hidden_size))
        self.second_bias = nn.Parameter(_uniform(2, 1, hidden_size, fan_in=hidden_size))
        self.last = nn.Parameter(_uniform(2, 1, hidden_size, fan_in=hidden_size))
        self.last_bias = nn.Parameter(_uniform(2, 1, fan_in=hidden_size))
        self._layer_norm = layer_norm

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Prepared observations [B, …] and actions [B, A] → [2, B]."""
        joined = torch.cat([self.torso(observation), action], dim=1)
        hidden = self._activate(torch.addmm(self.first_bias, joined, self.first).view(len(joined), 2, -1))  # [B, 2, H]
        hidden = self._activate(torch.baddbmm(self.second_bias, hidden.transpose(0, 1), self.second))  # [2, B, H]
        return (hidden * self.last).sum(dim=2) + self.last_bias

    def first_value(self, observation: Tensor, action: Tensor) -> Tensor:
        """Q₁ alone, [B]."""
        size, joined = self.second.shape[1], torch.cat([self.torso(observation), action], dim=1)
        hidden = self._activate(torch.addmm(self.first_bias[:size], joined, self.first[:, :size]))
        hidden = self._activate(torch.addmm(self.second_bias[0], hidden, self.second[0]))
        return (hidden * self.last[0]).sum(dim=1) + self.last_bias[0]

    def _activate(self, hidden: Tensor) -> Tensor:
        return F.relu(F.layer_norm(hidden, hidden.shape[-1:]) if self._layer_norm else hidden)


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """Initial weights, distributed as in `nn.Linear`."""
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(shape).uniform_(-bound, bound)


class ActorCritic:
    """Networks and optimisers of an agent for continuous actions.

    Args:
        make_policy: creates the policy network; its `torso` prepares observations.
        config: learning_rate, tau, hidden_size, layer_norm.
        spec: observations.
        action_size: A.
        seed: of the initial weights and of all randomness in updates.
        device: where the networks live.
        target_policy: whether the policy has a target network too.
        more_parameters: that the policy's optimiser trains as well.
    """

    def __init__(
        self,
        make_policy: Callable[[], Any],
        config: TrainConfig,
        spec: ObservationSpec,
        action_size: int,
        seed: int,
        device: torch.device,
        *,
        target_policy: bool = False,
        more_parameters: Iterable[Tensor] = (),
    ) -> None:
        self.device, self._tau = device, config.tau
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = make_policy().to(device)
            self.critics = TwinCritics(spec, action_size, config.hidden_size, config.layer_norm).to(device)
            self.target_critics = TwinCritics(spec, action_size, config.hidden_size, config.layer_norm).to(device)
            self.target_policy = make_policy().to(device) if target_policy else None
        self._target_pairs: list[tuple[nn.Module, nn.Module]] = [(self.critics, self.target_critics)]
        if self.target_policy is not None:
            self._target_pairs.append((self.policy, self.target_policy))
        for online, target in self._target_pairs:
            target.load_state_dict(online.state_dict())
            target.requires_grad_(False)
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.policy_optimizer = Adam([*self.policy.parameters(), *more_parameters], config.learning_rate)
        self.critic_optimizer = Adam(self.critics.parameters(), config.learning_rate)
        self.updates = 0

    def prepare(self, observation: np.ndarray) -> Tensor:
        """Convert observations [N, *shape] to network input."""
        prepared: Tensor = self.policy.torso.prepare(observation, self.device)
        return prepared

    def tensors(self, batch: Batch) -> TensorBatch:
        """The batch on the device, observations prepared."""
        return TensorBatch(batch, self.policy.torso, self.device)

    def learn_values(self, data: TensorBatch, target: Tensor) -> tuple[Tensor, Tensor]:
        """One weighted step of both critics towards `target` [B]; returns their values [2, B] before it, and the loss."""
        values = self.critics(data.observations, data.actions)
        loss = (data.weights * (values - target) ** 2).mean(dim=1).sum() / 2
        self.critic_optimizer.descend(loss)
        return values.detach(), loss.detach()

    @torch.no_grad()
    def reducible_losses(self, data: TensorBatch, values: Tensor, target: Tensor) -> np.ndarray:
        """Loss of the critics' `values` [2, B] minus that of the target critics, both against `target` [B]: float32 [B]."""
        others: Tensor = self.target_critics(data.observations, data.actions)
        return ((values - target) ** 2 - (others - target) ** 2).mean(dim=0).cpu().numpy()

    @contextmanager
    def fixed_critics(self) -> Iterator[None]:
        """Within this context the critics evaluate the policy without computing gradients of their own weights."""
        self.critics.requires_grad_(False)
        try:
            yield
        finally:
            self.critics.requires_grad_(True)

    @torch.no_grad()
    def follow(self) -> None:
        """Soft update of the target networks with coefficient `tau`."""
        for online, target in self._target_pairs:
            torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), self._tau)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal samples from the agent's own generator."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def state_dict(self) -> dict[str, Any]:
        """All state that learning changes."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return parts | {"generator": self.generator.get_state(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.generator.set_state(state["generator"].cpu())
        self.updates = int(state["updates"])

    def _parts(self) -> dict[str, Any]:
        parts = {
            "policy": self.policy,
            "critics": self.critics,
            "target_critics": self.target_critics,
            "policy_optimizer": self.policy_optimizer,
            "critic_optimizer": self.critic_optimizer,
        }
        return parts if self.target_policy is None else parts | {"target_policy": self.target_policy}


def random_actions(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform actions, float32 [count, size] in [−1, 1]."""
    return rng.uniform(-1.0, 1.0, (count, size)).astype(np.float32)


def errors_of(values: Tensor, target: Tensor) -> np.ndarray:
    """TD errors: target − Q, averaged over both critics, float32 [B]."""
    return (target - values.mean(dim=0)).cpu().numpy()
