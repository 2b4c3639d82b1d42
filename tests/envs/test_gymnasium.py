"""Any Gymnasium environment: frames, success, one's own ids."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from vlmrb.config import make_config
from vlmrb.envs import VectorEnv, make_env
from vlmrb.errors import EnvironmentSetupError
from vlmrb.types import ActionSpec

OWN_MODULE = """
import gymnasium as gym
import numpy as np

class Coin(gym.Env):
    metadata = {"render_modes": ["rgb_array"]}
    observation_space = gym.spaces.Discrete(3)
    action_space = gym.spaces.Discrete(2, start=5)
    def __init__(self, render_mode=None): self.render_mode = render_mode
    def reset(self, seed=None, options=None):
        super().reset(seed=seed); return 0, {}
    def step(self, action):
        assert action in (5, 6); return action - 4, float(action == 6), True, False, {"is_success": action == 6}
    def render(self): return np.full((8, 9, 3), 7, np.uint8)

gym.register("Coin-v0", entry_point=Coin)
"""


def test_cartpole_has_frames_and_counts_its_registered_threshold_as_success() -> None:
    env = make_env(make_config(env="CartPole-v1", replay="uniform"))
    assert env.reset(0).dtype == np.float32 and env.action_spec == ActionSpec(n=2)
    assert env.snapshot().shape == (400, 600, 3)
    assert "475" in env.success_rule
    result = env.step(0)
    while not result.terminated:
        result = env.step(0)
    assert result.success is False


def test_success_can_be_a_return_that_the_user_names() -> None:
    env = make_env(make_config(env="CartPole-v1", replay="uniform", success_return=5))
    env.reset(0)
    result = env.step(0)
    while not result.terminated:
        result = env.step(0)
    assert result.success is True and [event.name for event in result.events] == ["success"]


def test_an_own_environment_from_an_importable_module(tmp_path, monkeypatch) -> None:
    (tmp_path / "coin_module.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    env = make_env(make_config(env="coin_module:Coin-v0", replay="uniform"))
    np.testing.assert_array_equal(env.reset(0), [1, 0, 0])
    assert env.step(1).success is True
    sys.modules.pop("coin_module")


def test_an_environment_that_fails_in_its_own_code_is_told_in_words(tmp_path, monkeypatch) -> None:
    broken = OWN_MODULE.replace("self.render_mode = render_mode", "self.no_such_field").replace("Coin-v0", "Broken-v0")
    (tmp_path / "broken_module.py").write_text(broken)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvironmentSetupError, match="Broken-v0 cannot be made: it fails with AttributeError: .*no_such_field"):
        make_env(make_config(env="broken_module:Broken-v0", replay="uniform"))
    sys.modules.pop("broken_module")


def test_modified_visuals_are_refused_where_there_are_none() -> None:
    with pytest.raises(EnvironmentSetupError, match="only 'normal'"):
        make_env(make_config(env="CartPole-v1", replay="uniform", visuals="swapped"))


def test_the_vector_resets_each_environment_with_a_new_seed_and_keeps_the_final_observation() -> None:
    seeds = iter(range(100))
    config = make_config(env="CartPole-v1", replay="uniform")
    envs = VectorEnv([make_env(config) for _ in range(3)], lambda: next(seeds), snapshots=False)
    observation = envs.reset()
    ended = 0
    for _ in range(30):
        result = envs.step(np.zeros(3, int))
        np.testing.assert_array_equal(result.transition.observation, observation)
        for index in np.flatnonzero(result.transition.terminated):
            ended += 1
            assert abs(result.transition.next_observation[index][2]) > 0.2  # the pole has fallen in the final observation …
            assert abs(result.observation[index][2]) < 0.05  # … and stands in the first of the next episode
        observation = result.observation
    assert ended >= 3 and next(seeds) == 3 + ended
