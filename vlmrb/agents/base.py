"""The agent interface that the Trainer uses, and agents created by name."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from vlmrb.config import ACTOR_CRITIC, TrainConfig, feedback_for
from vlmrb.devices import pick_device
from vlmrb.errors import ConfigError
from vlmrb.types import ActionSpec, AgentUpdate, Batch, Feedback, ObservationSpec


class Agent(Protocol):
    """Acts and learns. Observations and actions are NumPy arrays; tensors stay inside."""

    def act(self, observation: np.ndarray, step: int) -> np.ndarray:
        """Actions [E] with exploration for observations [E, *shape] at `step` of the run."""

    def best_action(self, observation: np.ndarray) -> np.ndarray:
        """Actions [N] without exploration."""

    def update(self, batch: Batch) -> AgentUpdate:
        """One gradient step."""

    def td_errors(self, batch: Batch) -> np.ndarray:
        """The TD errors that `update` would report, signed float32 [B]; changes neither weights nor generators."""

    def feedback(self, batch: Batch) -> Feedback:
        """What `update` would report about a batch; changes neither weights nor generators."""

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser and generators: tensors, numbers and dicts of them."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""


def check_agent(config: TrainConfig, actions: ActionSpec) -> None:
    """Check that the agent supports these actions.

    Raises:
        ConfigError: it does not.
    """
    if actions.continuous and config.algo not in ACTOR_CRITIC:
        raise ConfigError(f"algo: {config.algo} needs discrete actions, but {config.env} has continuous ones; use sac or td3")
    if not actions.continuous and config.algo in ACTOR_CRITIC:
        raise ConfigError(f"algo: {config.algo} needs continuous actions, but {config.env} has discrete ones; use dqn or iqn")


def make_agent(config: TrainConfig, spec: ObservationSpec, actions: ActionSpec, rng: np.random.Generator) -> Agent:
    """Create the agent that `config.algo` names; its updates report the feedback that the run's replay method needs.

    Raises:
        ConfigError: the device is not available, or the agent does not support these actions.
    """
    check_agent(config, actions)
    device = pick_device(config.device)
    return (
        _continuous(config, spec, actions, rng, device) if actions.continuous else _discrete(config, spec, actions, rng, device)
    )


def _discrete(config: TrainConfig, spec: ObservationSpec, actions: ActionSpec, rng: np.random.Generator, device: Any) -> Agent:
    from vlmrb.agents.dqn import DQN
    from vlmrb.agents.exploration import Exploration
    from vlmrb.agents.iqn import IQN

    exploration = Exploration(config, rng)
    seed = int(rng.integers(2**62))
    algorithm = IQN if config.algo == "iqn" else DQN
    return algorithm(config, spec, actions.n, exploration, seed, device, feedback_for(config))


def _continuous(config: TrainConfig, spec: ObservationSpec, actions: ActionSpec, rng: np.random.Generator, device: Any) -> Agent:
    from vlmrb.agents.sac import SAC
    from vlmrb.agents.td3 import TD3

    seed = int(rng.integers(2**62))
    algorithm = SAC if config.algo == "sac" else TD3
    return algorithm(config, spec, actions.shape[0], rng, seed, device, feedback_for(config))
