"""SAC and TD3: densities and targets are right, they learn a small task, repeat exactly, and come back from a checkpoint."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch

from vlmrb.agents import Agent, make_agent
from vlmrb.agents.actor_critic import TwinCritics
from vlmrb.agents.sac import GaussianPolicy, squashed_log_prob
from vlmrb.config import make_config
from vlmrb.errors import ConfigError
from vlmrb.types import ActionSpec, Batch, ObservationSpec

VECTOR = ObservationSpec("vector", (3,), "float32")
IMAGE = ObservationSpec("image", (48, 48, 3), "uint8")
ACTIONS = ActionSpec(low=(-2.0, 0.0), high=(2.0, 1.0))
BEST = np.array([0.5, -0.3], np.float32)


def agent_of(algo: str, spec: ObservationSpec = VECTOR, **settings: object) -> Agent:
    values = {"replay": "uniform", "hidden_size": 32, "learning_rate": 3e-3, "learning_starts": 10, **settings}
    return make_agent(make_config(env="Pendulum-v1", algo=algo, **values), spec, ACTIONS, np.random.default_rng(0))


def batch_of(rng: np.random.Generator, size: int = 64, weights: float = 1.0, spec: ObservationSpec = VECTOR) -> Batch:
    """One-step episodes whose reward falls with the distance of the action from `BEST`."""
    actions = rng.uniform(-1, 1, (size, 2)).astype(np.float32)
    shown = [rng.integers(0, 255, (size, *spec.shape)) if spec is IMAGE else rng.standard_normal((size, 3)) for _ in range(2)]
    return Batch(
        item_ids=np.arange(size),
        observations=shown[0].astype(spec.dtype),
        actions=actions,
        rewards=-((actions - BEST) ** 2).sum(axis=1),
        next_observations=shown[1].astype(spec.dtype),
        discounts=np.full(size, 0.99, np.float32),
        terminated=np.ones(size, np.float32),
        weights=np.full(size, weights, np.float32),
        probabilities=np.full(size, 1 / size),
    )


def tensors_of(state: object) -> list[torch.Tensor]:
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in tensors_of(value)]
    return [state] if isinstance(state, torch.Tensor) else []


def test_the_density_of_a_squashed_gaussian_is_that_of_a_reference_and_stays_finite_where_tanh_is_flat() -> None:
    torch.manual_seed(0)
    noise, log_std, mean = torch.randn(500, 2), torch.rand(500, 2) - 1, torch.randn(500, 2)
    raw = mean + noise * log_std.exp()
    reference = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mean.double(), log_std.double().exp()), torch.distributions.TanhTransform(cache_size=1)
    )
    expected = reference.log_prob(torch.tanh(raw.double())).sum(dim=1)
    inner = raw.abs().amax(dim=1) < 3  # beyond, the reference's own arctanh loses digits
    torch.testing.assert_close(squashed_log_prob(raw, noise, log_std)[inner].double(), expected[inner], rtol=1e-4, atol=1e-4)
    assert torch.isfinite(squashed_log_prob(torch.tensor([[60.0, -60.0]]), torch.ones(1, 2), torch.zeros(1, 2))).all()


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_twin_critics_are_two_networks_that_do_not_mix(layer_norm: bool) -> None:
    torch.manual_seed(0)
    critics = TwinCritics(VECTOR, 2, 16, layer_norm)
    normalise = torch.nn.LayerNorm(16, elementwise_affine=False) if layer_norm else torch.nn.Identity()
    observation, action = torch.randn(5, 3), torch.randn(5, 2)
    together = critics(observation, action)
    for index in range(2):
        both = torch.cat([observation, action], 1) @ critics.first + critics.first_bias
        hidden = torch.relu(normalise(both[:, 16 * index : 16 * index + 16]))
        hidden = torch.relu(normalise(hidden @ critics.second[index] + critics.second_bias[index]))
        torch.testing.assert_close(together[index], hidden @ critics.last[index, 0] + critics.last_bias[index])
    assert not torch.allclose(together[0], together[1])
    torch.testing.assert_close(critics.first_value(observation, action), together[0])


def test_with_normalised_layers_the_value_of_an_action_far_from_all_others_stays_in_bounds() -> None:
    torch.manual_seed(0)
    values = {}
    for layer_norm in (False, True):
        critics, far = TwinCritics(VECTOR, 2, 64, layer_norm), torch.full((1, 2), 1e4)
        values[layer_norm] = critics(torch.zeros(1, 3), far).detach().abs().max().item()
    assert values[True] < 3 < 100 * values[True] < values[False]


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_an_agent_learns_the_best_action(algo: str) -> None:
    agent, rng = agent_of(algo), np.random.default_rng(1)
    errors = []
    for _ in range(500):
        update = agent.update(batch_of(rng))
        errors.append(np.abs(update.feedback.td_errors).mean())
    assert np.mean(errors[-20:]) < 0.3 * np.mean(errors[:20])
    np.testing.assert_allclose(agent.best_action(np.zeros((4, 3), np.float32)), np.tile(BEST, (4, 1)), atol=0.15)


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_actions_lie_between_minus_one_and_one_and_are_uniform_at_first(algo: str) -> None:
    agent, observation = agent_of(algo), np.random.default_rng(0).standard_normal((4000, 3)).astype(np.float32)
    for step in (0, 10):
        actions = agent.act(observation, step)
        assert actions.shape == (4000, 2) and actions.dtype == np.float32
        assert np.abs(actions).max() <= 1.0
    random = agent.act(observation, 9)
    assert np.abs(random.mean(axis=0)).max() < 0.05 and np.abs(random.std(axis=0) - 1 / np.sqrt(3)).max() < 0.03
    assert agent.best_action(observation).dtype == np.float32


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_td_errors_are_those_that_an_update_would_report_and_asking_changes_nothing(algo: str) -> None:
    agent, rng = agent_of(algo), np.random.default_rng(1)
    batch = batch_of(rng)._replace(terminated=np.zeros(64, np.float32))
    agent.update(batch)
    before = copy.deepcopy(agent.state_dict())
    asked = agent.td_errors(batch)
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(before), tensors_of(agent.state_dict()), strict=True))
    np.testing.assert_allclose(asked, agent.update(batch).feedback.td_errors, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_an_agent_goes_on_from_its_state_exactly(algo: str) -> None:
    agent, rng = agent_of(algo), np.random.default_rng(1)
    for _ in range(3):
        agent.update(batch_of(rng))
    other = agent_of(algo, seed=7)
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    batch = batch_of(rng)._replace(terminated=np.zeros(64, np.float32))
    for _ in range(3):
        np.testing.assert_array_equal(agent.update(batch).feedback.td_errors, other.update(batch).feedback.td_errors)


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_transitions_without_weight_teach_the_critics_nothing(algo: str) -> None:
    agent = agent_of(algo)
    before = copy.deepcopy(agent.state_dict()["critics"])
    agent.update(batch_of(np.random.default_rng(0), weights=0.0))
    assert all(torch.equal(value, before[name]) for name, value in agent.state_dict()["critics"].items())


def test_td3_teaches_its_policy_every_second_update_only() -> None:
    agent, rng = agent_of("td3"), np.random.default_rng(0)
    seen = [agent.best_action(np.ones((1, 3), np.float32))]
    for _ in range(4):
        agent.update(batch_of(rng))
        seen.append(agent.best_action(np.ones((1, 3), np.float32)))
    assert [not np.array_equal(a, b) for a, b in pairwise(seen)] == [False, True, False, True]


def test_the_temperature_of_sac_falls_while_its_policy_is_more_random_than_wanted_and_rises_otherwise() -> None:
    alphas = []
    for entropy in (-50.0, 50.0):
        agent, rng = agent_of("sac", target_entropy=entropy), np.random.default_rng(0)
        alphas.append([agent.update(batch_of(rng)).metrics["train/alpha"] for _ in range(5)])
    assert alphas[0][-1] < alphas[0][0] < alphas[1][-1]


def test_a_policy_that_is_certain_draws_its_mean() -> None:
    torch.manual_seed(0)
    policy, observation = GaussianPolicy(VECTOR, 2, 8), torch.randn(4, 3)
    with torch.no_grad():
        policy.head.bias[2:] = -50.0
        policy.head.weight[2:] = 0.0
        mean, log_std = policy(observation)
        assert (log_std == -20).all()
        torch.testing.assert_close(policy.sample(observation, torch.randn(4, 2))[0], torch.tanh(mean))


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_pictures_are_observations_too(algo: str) -> None:
    agent, rng = agent_of(algo, IMAGE), np.random.default_rng(0)
    update = agent.update(batch_of(rng, 4, spec=IMAGE))
    assert update.feedback.td_errors.shape == (4,) and np.isfinite(list(update.metrics.values())).all()
    assert agent.act(np.zeros((2, 48, 48, 3), np.uint8), 100).shape == (2, 2)


@pytest.mark.parametrize(("algo", "actions", "way_out"), [("dqn", ACTIONS, "sac or td3"), ("td3", ActionSpec(n=3), "dqn or iqn")])
def test_an_agent_for_other_actions_is_refused_with_the_way_out(algo: str, actions: ActionSpec, way_out: str) -> None:
    config = make_config(env="Some-v0", algo=algo, replay="uniform")
    with pytest.raises(ConfigError, match=f"algo: {algo} .*Some-v0 .*{way_out}"):
        make_agent(config, VECTOR, actions, np.random.default_rng(0))
