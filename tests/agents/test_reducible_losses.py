"""What an update says of the loss that can still be learned away: L_online − L_target, both against the same target."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from vlmrb.agents import Agent, make_agent
from vlmrb.config import make_config
from vlmrb.types import ActionSpec, Batch, ObservationSpec

SPEC = ObservationSpec("vector", (3,), "float32")
ALGOS = ("dqn", "iqn", "sac", "td3")
SIZE = 24


def agent_of(algo: str, replay: str, **settings: object) -> Agent:
    values = {"env": "Some-v0", "hidden_size": 16, "learning_rate": 3e-3, "tau": 0.05, "quantiles": 6, **settings}
    config = make_config(algo=algo, replay=replay, **values)
    actions = ActionSpec(n=4) if algo in ("dqn", "iqn") else ActionSpec(low=(-1.0, -1.0), high=(1.0, 1.0))
    return make_agent(config, SPEC, actions, np.random.default_rng(0))


def batch_of(algo: str, rng: np.random.Generator) -> Batch:
    discrete = algo in ("dqn", "iqn")
    return Batch(
        observations=rng.standard_normal((SIZE, 3)).astype(np.float32),
        actions=rng.integers(0, 4, SIZE) if discrete else rng.uniform(-1, 1, (SIZE, 2)).astype(np.float32),
        rewards=2 * rng.standard_normal(SIZE).astype(np.float32),
        next_observations=rng.standard_normal((SIZE, 3)).astype(np.float32),
        terminated=(rng.random(SIZE) < 0.3).astype(np.float32),
        discounts=np.full(SIZE, 0.9, np.float32),
        item_ids=np.arange(SIZE),
        probabilities=np.full(SIZE, 1 / SIZE),
        weights=rng.uniform(0.2, 1.0, SIZE).astype(np.float32),  # a reported loss is that of the item, not of its weight
    )


def practised(algo: str, replay: str, **settings: object) -> Agent:
    """An agent whose online and target networks have come apart."""
    agent, rng = agent_of(algo, replay, **settings), np.random.default_rng(1)
    for _ in range(5):
        agent.update(batch_of(algo, rng))
    return agent


def bootstrapped(batch: Batch, values: np.ndarray) -> np.ndarray:
    """r + γ^k · V(s'), nothing after a terminal step: values [B] or [B, N]."""
    shape = (-1,) + (1,) * (values.ndim - 1)
    return batch.rewards.reshape(shape) + (batch.discounts * (1 - batch.terminated)).reshape(shape) * values


def huber(errors: np.ndarray) -> np.ndarray:
    return np.where(np.abs(errors) < 1, 0.5 * errors**2, np.abs(errors) - 0.5)


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def of_dqn(agent: Any, batch: Batch) -> np.ndarray:
    online, target = agent._learner.online, agent._learner.target
    seen, following, rows = torch.from_numpy(batch.observations), torch.from_numpy(batch.next_observations), np.arange(SIZE)
    best = array(online(following)).argmax(axis=1)
    goal = bootstrapped(batch, array(target(following))[rows, best])
    mine, theirs = (huber(array(network(seen))[rows, batch.actions] - goal) for network in (online, target))
    return mine - theirs


def of_iqn(agent: Any, batch: Batch) -> np.ndarray:
    online, target, generator = agent._learner.online, agent._learner.target, torch.Generator()
    generator.set_state(agent._learner.generator.get_state())
    seen, following, rows = torch.from_numpy(batch.observations), torch.from_numpy(batch.next_observations), np.arange(SIZE)
    next_fractions, fractions = (torch.rand(SIZE, 6, generator=generator) for _ in range(2))
    even = ((torch.arange(32) + 0.5) / 32).expand(SIZE, -1)
    best = array(online(following, even)).mean(axis=1).argmax(axis=1)
    goal = bootstrapped(batch, array(target(following, next_fractions))[rows, :, best])

    def loss(network: Any) -> np.ndarray:
        """Equation 3 of the paper: the sum over fractions of the mean over target quantiles."""
        quantiles, losses = array(network(seen, fractions))[rows, :, batch.actions], np.zeros(SIZE)
        for i in range(6):
            for j in range(6):
                error = goal[:, j] - quantiles[:, i]
                losses += np.abs(array(fractions)[:, i] - (error < 0)) * huber(error) / 6
        return losses

    return loss(online) - loss(target)


def of_critics(networks: Any, batch: Batch, goal: np.ndarray) -> np.ndarray:
    """The mean over both critics of squared errors."""
    seen, actions = torch.from_numpy(batch.observations), torch.from_numpy(batch.actions)
    mine, theirs = (
        ((array(critics(seen, actions)) - goal) ** 2).mean(axis=0) for critics in (networks.critics, networks.target_critics)
    )
    return mine - theirs


def noise_of(networks: Any) -> torch.Tensor:
    generator = torch.Generator()
    generator.set_state(networks.generator.get_state())
    return torch.randn(SIZE, 2, generator=generator)


def of_sac(agent: Any, batch: Batch) -> np.ndarray:
    networks, following = agent._networks, torch.from_numpy(batch.next_observations)
    action, log_prob = networks.policy.sample(following, noise_of(networks))
    value = array(networks.target_critics(following, action)).min(axis=0)
    return of_critics(networks, batch, bootstrapped(batch, value - np.exp(agent._log_alpha.item()) * array(log_prob)))


def of_td3(agent: Any, batch: Batch) -> np.ndarray:
    networks, following = agent._networks, torch.from_numpy(batch.next_observations)
    noise = (0.2 * noise_of(networks)).clamp(-0.5, 0.5)
    action = (networks.target_policy(following) + noise).clamp(-1, 1)
    return of_critics(networks, batch, bootstrapped(batch, array(networks.target_critics(following, action)).min(axis=0)))


@pytest.mark.parametrize(
    ("algo", "by_definition", "settings"),
    [
        ("dqn", of_dqn, {}),
        ("dqn", of_dqn, {"dueling": False, "target_update_interval": 4}),
        ("iqn", of_iqn, {}),
        ("sac", of_sac, {}),
        ("td3", of_td3, {}),
    ],
)
def test_reducible_losses_are_the_online_loss_minus_that_of_the_target_network(algo: str, by_definition, settings: dict) -> None:
    agent, batch = practised(algo, "relo", **settings), batch_of(algo, np.random.default_rng(9))
    expected = by_definition(agent, batch)
    reported = agent.update(batch).feedback.reducible_losses
    assert reported is not None and reported.shape == (SIZE,) and reported.dtype == np.float32
    np.testing.assert_allclose(reported, expected, rtol=1e-3, atol=1e-5)
    assert (expected > 1e-3).any() and (expected < -1e-3).any()


@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize(("settings", "wanted"), [({"replay": "per"}, False), ({"replay": "vlm", "base": "relo"}, True)])
def test_they_are_reported_where_the_replay_method_or_its_base_wants_them(algo: str, settings: dict, wanted: bool) -> None:
    agent = agent_of(algo, scorer="oracle", **settings)
    reported = agent.update(batch_of(algo, np.random.default_rng(0))).feedback.reducible_losses
    assert (reported is not None) == wanted


def tensors_of(state: object) -> list[torch.Tensor]:
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in tensors_of(value)]
    return [state] if isinstance(state, torch.Tensor) else []


@pytest.mark.parametrize("algo", ALGOS)
def test_asking_for_them_changes_nothing_that_is_learned(algo: str) -> None:
    asked, plain = practised(algo, "relo"), practised(algo, "per")
    batch = batch_of(algo, np.random.default_rng(9))
    np.testing.assert_array_equal(asked.update(batch).feedback.td_errors, plain.update(batch).feedback.td_errors)
    learned, expected = (tensors_of(copy.deepcopy(agent.state_dict())) for agent in (asked, plain))
    assert len(learned) > 10
    assert all(torch.equal(one, other) for one, other in zip(learned, expected, strict=True))


@pytest.mark.parametrize("algo", ALGOS)
def test_an_agent_can_say_what_an_update_would_report_without_learning(algo: str) -> None:
    agent, batch = practised(algo, "relo"), batch_of(algo, np.random.default_rng(2))
    before = copy.deepcopy(agent.state_dict())
    said = agent.feedback(batch)
    assert repr(before) == repr(agent.state_dict())
    reported = agent.update(batch).feedback
    assert said.reducible_losses is not None and reported.reducible_losses is not None
    if algo != "iqn":  # whose updates draw their fractions
        np.testing.assert_allclose(said.td_errors, reported.td_errors, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(said.reducible_losses, reported.reducible_losses, rtol=1e-5, atol=1e-5)
    assert np.corrcoef(said.td_errors, reported.td_errors)[0, 1] > 0.8
    assert practised(algo, "per").feedback(batch).reducible_losses is None
