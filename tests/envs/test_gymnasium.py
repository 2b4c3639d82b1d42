"""Any Gymnasium environment: frames, success, custom ids."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from vlmrb.config import make_config
from vlmrb.envs import VectorEnv, make_env, make_renderer
from vlmrb.envs.drawing import leave_out_costly
from vlmrb.envs.registered import make_registered
from vlmrb.errors import EnvironmentSetupError, StoreCorruptError
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


def test_success_can_be_a_return_that_the_user_chooses() -> None:
    env = make_env(make_config(env="CartPole-v1", replay="uniform", success_return=5))
    env.reset(0)
    result = env.step(0)
    while not result.terminated:
        result = env.step(0)
    assert result.success is True and [event.name for event in result.events] == ["success"]


def test_a_custom_environment_loads_from_an_importable_module(tmp_path, monkeypatch) -> None:
    (tmp_path / "coin_module.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    env = make_env(make_config(env="coin_module:Coin-v0", replay="uniform"))
    np.testing.assert_array_equal(env.reset(0), [1, 0, 0])
    assert env.step(1).success is True
    sys.modules.pop("coin_module")


def test_an_environment_that_fails_in_its_own_code_gets_a_clear_message(tmp_path, monkeypatch) -> None:
    broken = OWN_MODULE.replace("self.render_mode = render_mode", "self.no_such_field").replace("Coin-v0", "Broken-v0")
    (tmp_path / "broken_module.py").write_text(broken)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        EnvironmentSetupError, match=r"Broken-v0 cannot be created: it fails with AttributeError: .*no_such_field"
    ):
        make_env(make_config(env="broken_module:Broken-v0", replay="uniform"))
    sys.modules.pop("broken_module")


def test_mujoco_frames_are_rendered_from_positions_and_match_the_tasks_own() -> None:
    env = make_env(make_config(env="HalfCheetah-v5", algo="sac", replay="uniform"))
    rng, snapshots, own = np.random.default_rng(0), [], []
    drawn = make_registered("HalfCheetah-v5", width=64, height=64)
    drawn.reset(seed=0)
    drawn.unwrapped.model.vis.quality.offsamples = 0
    drawn.render()
    leave_out_costly(drawn.unwrapped.mujoco_renderer.viewer.scn)
    env.reset(0)
    for _ in range(6):
        for _ in range(5):
            env.step(rng.uniform(-1, 1, 6).astype(np.float32))
        snapshots.append(env.snapshot())
        task = env._env.unwrapped
        drawn.unwrapped.set_state(task.data.qpos, task.data.qvel)
        own.append(drawn.render())
    drawn.close()
    assert snapshots[0].shape == (9 * 8,)
    renderer = make_renderer(env.render_spec | {"side": 64})
    frames = renderer.render(np.array(snapshots))
    assert (frames == np.array(own)).all()
    assert (frames[0] != frames[-1]).any()
    with pytest.raises(StoreCorruptError, match="is not a state of HalfCheetah-v5"):
        renderer.render(np.zeros((1, 5), np.uint8))
    with pytest.raises(EnvironmentSetupError, match="16 to 1024"):
        make_renderer(env.render_spec | {"side": 4})


def test_modified_visuals_are_refused_outside_minigrid() -> None:
    with pytest.raises(EnvironmentSetupError, match="only 'normal'"):
        make_env(make_config(env="CartPole-v1", replay="uniform", visuals="swapped"))


def test_the_vector_environment_resets_each_one_with_a_new_seed_and_keeps_the_final_observation() -> None:
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
            assert abs(result.transition.next_observation[index][2]) > 0.2  # the pole has fallen in the final observation
            assert abs(result.observation[index][2]) < 0.05  # and is upright in the first one of the next episode
        observation = result.observation
    assert ended >= 3 and next(seeds) == 3 + ended
