"""Shared by DQN and IQN: online and target networks, optimiser, exploration, and conversion to tensors and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vlmrb.agents.adam import Adam
from vlmrb.agents.exploration import Exploration
from vlmrb.config import TrainConfig
from vlmrb.types import Batch


class TensorBatch:
    """A batch as tensors on the agent's device; same names as `Batch`, observations prepared for the torso."""

    def __init__(self, batch: Batch, torso: Any, device: torch.device) -> None:
        self.observations = torso.prepare(batch.observations, device)
        self.actions = torch.from_numpy(batch.actions).to(device)
        self.rewards = torch.from_numpy(batch.rewards).to(device)
        self.next_observations = torso.prepare(batch.next_observations, device)
        self.discounts = torch.from_numpy(batch.discounts * (1.0 - batch.terminated)).to(device)  # 0 after a terminal step
        self.weights = torch.from_numpy(batch.weights).to(device)


class Learner:
    """Networks and optimiser of a value-based agent."""

    def __init__(self, make_network: Any, config: TrainConfig, exploration: Exploration, seed: int, device: torch.device) -> None:
        self.config, self.device = config, device
        self.exploration = exploration
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.online: nn.Module = make_network().to(device)
            self.target: nn.Module = make_network().to(device)
        self.target.load_state_dict(self.online.state_dict())
        self.target.requires_grad_(False)
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.optimizer = Adam(self.online.parameters(), config.learning_rate)
        self._target_parameters = list(self.target.parameters())
        self.updates = 0

    def prepare(self, observation: np.ndarray) -> Any:
        """Convert observations [N, *shape] to network input."""
        return self.online.torso.prepare(observation, self.device)  # type: ignore[union-attr, operator]

    def tensors(self, batch: Batch) -> TensorBatch:
        """The batch on the device, observations prepared."""
        return TensorBatch(batch, self.online.torso, self.device)

    def descend(self, output: Tensor, gradient: Tensor | None = None) -> None:
        """One gradient step, then a soft update of the target network when due.

        Args:
            output: the loss, or what it depends on.
            gradient: of the loss by `output`, if that is not the loss itself.
        """
        self.optimizer.descend(output, gradient)
        self.updates += 1
        if self.updates % self.config.target_update_interval == 0:
            with torch.no_grad():
                torch._foreach_lerp_(self._target_parameters, self.optimizer.parameters, self.config.tau)

    def state_dict(self) -> dict[str, Any]:
        """All state that learning changes."""
        return {
            "online": self.online.state_dict(),
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        self.updates = int(state["updates"])
