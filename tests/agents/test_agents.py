"""Agents: they learn a small task, explore as they say, and come back from a checkpoint."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from vlmrb.agents import Exploration, make_agent
from vlmrb.config import TrainConfig, make_config
from vlmrb.errors import ConfigError
from vlmrb.replay import ReplayBuffer
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.types import ActionSpec, ObservationSpec, Transition

CHAIN = 6
SPECS = {
    "vector": ObservationSpec("vector", (CHAIN,), "float32"),
    "grid": ObservationSpec("grid", (5 * 5 * 3 + 3,), "uint8", (5, 5, 3), (4, 11, 6)),
    "image": ObservationSpec("image", (48, 48, 3), "uint8"),
}


def show(kind: str, place: int) -> np.ndarray:
    """The chain's place as an observation."""
    if kind == "vector":
        return np.eye(CHAIN, dtype=np.float32)[place]
    if kind == "grid":
        observation = np.zeros(SPECS["grid"].shape, np.uint8)
        observation[3 * place] = 8
        return observation
    picture = np.zeros((48, 48, 3), np.uint8)
    picture[:, place * 8 : place * 8 + 8] = 255
    return picture


def config_of(**settings: object) -> TrainConfig:
    return make_config(
        **{"replay": "uniform", "n_envs": 1, "hidden_size": 32, "learning_rate": 2e-3, "tau": 0.05, "gamma": 0.9, **settings}
    )


def learn_the_chain(algo: str, kind: str, updates: int, **settings: object):
    """Left is 0, right is 1; the reward lies at the right end. Data come from random play."""
    rng = np.random.default_rng(0)
    config = config_of(algo=algo, **settings)
    agent = make_agent(config, SPECS[kind], ActionSpec(n=2), rng)
    buffer = ReplayBuffer(2000, SPECS[kind], UniformSampler(), rng, n_step=config.n_step, gamma=0.9)
    place = 0
    for _ in range(2000):
        action = int(rng.integers(2))
        after = max(0, place - 1) if action == 0 else place + 1
        terminated = after == CHAIN - 1
        buffer.add(
            Transition(
                show(kind, place)[None],
                np.array([action]),
                np.array([float(terminated)], np.float32),
                show(kind, after)[None],
                np.array([terminated]),
                np.array([False]),
            )
        )
        place = 0 if terminated else after
    for _ in range(updates):
        agent.update(buffer.sample(32))
    return agent, buffer


@pytest.mark.parametrize(
    ("algo", "kind", "settings"),
    [
        ("dqn", "vector", {}),
        ("dqn", "grid", {}),
        ("dqn", "image", {}),
        ("iqn", "grid", {}),
        ("dqn", "vector", {"double": False, "dueling": False, "n_step": 1, "tau": 1.0, "target_update_interval": 10}),
    ],
)
def test_it_learns_to_walk_down_a_chain(algo: str, kind: str, settings: dict) -> None:
    agent, buffer = learn_the_chain(algo, kind, 150 if kind == "image" else 400, **settings)
    places = np.stack([show(kind, place) for place in range(1, CHAIN - 1)])  # at the very left both actions are nearly alike
    assert agent.best_action(places).tolist() == [1] * (CHAIN - 2)
    update = agent.update(buffer.sample(32))
    assert update.feedback.td_errors.shape == (32,) and np.isfinite(update.feedback.td_errors).all()
    assert 0.2 < update.metrics["train/mean_q"] < 1.1


@pytest.mark.parametrize("algo", ["dqn", "iqn"])
def test_a_restored_agent_goes_on_exactly(algo: str) -> None:
    before, buffer = learn_the_chain(algo, "vector", 20)
    after = make_agent(config_of(algo=algo), SPECS["vector"], ActionSpec(n=2), np.random.default_rng(9))
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    batch = buffer.sample(32)
    for _ in range(3):
        np.testing.assert_array_equal(before.update(batch).feedback.td_errors, after.update(batch).feedback.td_errors)


@pytest.mark.parametrize("algo", ["dqn", "iqn"])
def test_asking_for_td_errors_changes_nothing(algo: str) -> None:
    asked, buffer = learn_the_chain(algo, "vector", 20)
    plain = make_agent(config_of(algo=algo), SPECS["vector"], ActionSpec(n=2), np.random.default_rng(9))
    plain.load_state_dict(copy.deepcopy(asked.state_dict()))
    batch = buffer.sample(32)
    for _ in range(3):
        asked.td_errors(batch)
        np.testing.assert_array_equal(asked.update(batch).feedback.td_errors, plain.update(batch).feedback.td_errors)


@pytest.mark.parametrize(("algo", "tolerance"), [("dqn", 1e-6), ("iqn", 0.15)])  # iqn: the update's fractions are drawn
def test_td_errors_are_those_that_an_update_reports(algo: str, tolerance: float) -> None:
    agent, buffer = learn_the_chain(algo, "vector", 20, quantiles=64)
    batch = buffer.sample(64)
    errors = agent.td_errors(batch)
    assert errors.shape == (64,) and errors.dtype == np.float32 and np.abs(errors).max() > 0.3
    np.testing.assert_allclose(errors, agent.update(batch).feedback.td_errors, atol=tolerance)


def test_the_same_seed_makes_the_same_agent_and_leaves_torchs_own_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first, second = (make_agent(config_of(), SPECS["vector"], ActionSpec(n=2), np.random.default_rng(4)) for _ in range(2))
    observation = np.stack([show("vector", place) for place in range(CHAIN)])
    np.testing.assert_array_equal(first._values(observation), second._values(observation))
    assert torch.equal(torch.rand(3), expected)


def test_epsilon_decays_to_its_end_but_not_below_the_floor_of_each_environment() -> None:
    config = make_config(replay="uniform", n_envs=8, total_steps=200, epsilon_end=0.05)
    exploration = Exploration(config, np.random.default_rng(0))
    assert exploration.epsilon(0).tolist() == [1.0] * 8
    floor = 0.5 ** (1 + 5 * np.arange(8) / 7)
    np.testing.assert_allclose(exploration.epsilon(1000), np.maximum(floor, 0.05))


def test_random_actions_come_with_probability_epsilon() -> None:
    config = make_config(replay="uniform", n_envs=1, epsilon_start=0.3, epsilon_end=0.3, epsilon_spread=False)
    values = np.tile(np.array([0.0, 0.5, 1.0]), (30_000, 1))
    shares = np.bincount(Exploration(config, np.random.default_rng(0)).choose(values, 0), minlength=3) / 30_000
    np.testing.assert_allclose(shares, [0.1, 0.1, 0.8], atol=0.01)


def test_a_device_that_is_not_there_says_which_are() -> None:
    with pytest.raises(ConfigError, match="available: cpu"):
        make_agent(config_of(device="cuda:99"), SPECS["vector"], ActionSpec(n=2), np.random.default_rng(0))
