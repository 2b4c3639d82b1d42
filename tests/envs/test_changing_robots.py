"""MuJoCo tasks that change more than positions are drawn as they draw themselves."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.envs.changing_robots import CHEETAH, ROBOTS, SMALL
from tests.envs.custom_grids import registered
from vlmrb.config import make_config
from vlmrb.envs import make_env, make_renderer
from vlmrb.envs.mujoco_env import MuJoCoEnvironment
from vlmrb.envs.registered import register_ids


def environment(env_id: str) -> Any:
    return make_env(make_config(env=env_id, algo="sac", replay="uniform"))


def own_picture(env: Any) -> np.ndarray:
    return np.array(env._env.render())


@pytest.mark.parametrize("name", list(ROBOTS))
def test_a_frame_is_the_picture_that_the_task_draws_at_that_moment(name: str) -> None:
    with registered("Robot-v0", **ROBOTS[name]) as env_id:
        envs = [environment(env_id) for _ in range(2)]  # two, as each draws in a context of its own
        kept: list[np.ndarray] = []
        expected: list[np.ndarray] = []
        for seed in range(3):
            for index, env in enumerate(envs):
                env.reset(10 * seed + index)
                env.step(np.full(env.action_spec.shape, 0.5, np.float32))
            for env in envs:
                kept.append(env.snapshot())
                expected.append(own_picture(env))
        frames = make_renderer(envs[0].render_spec).render(np.stack(kept))
        np.testing.assert_array_equal(frames, np.stack(expected))
        assert len({frame.tobytes() for frame in frames}) == len(frames)
        for env in envs:
            env.close()


def test_gymnasiums_own_tasks_keep_states_instead_of_frames() -> None:
    assert isinstance(environment("HalfCheetah-v5"), MuJoCoEnvironment)
    with registered("Robot-v0", entry_point=CHEETAH, kwargs=SMALL, max_episode_steps=5) as env_id:
        assert isinstance(environment(env_id), MuJoCoEnvironment)


@pytest.mark.parametrize("env_id", ["pointmaze-medium-singletask-v0", "antsoccer-arena-singletask-v0"])
def test_ogbenchs_locomotion_is_drawn(env_id: str) -> None:
    env = environment(env_id)
    env.reset(0)
    env.step(np.zeros(env.action_spec.shape, np.float32))
    frame = env.snapshot()
    assert frame.shape[2] == 3 and frame.std() > 5
    np.testing.assert_array_equal(make_renderer(env.render_spec).render(frame[None])[0], own_picture(env))
    env.close()


def test_ogbenchs_manipulation_with_wrappers_is_what_gymnasium_makes() -> None:
    register_ids()
    scene = gym.spec("cube-single-singletask-task1-v0")
    halved = gym.envs.registration.WrapperSpec("H", f"{__name__}:Halved", {})
    with registered(
        "Robot-v0", entry_point=scene.entry_point, kwargs=scene.kwargs, additional_wrappers=(halved,), max_episode_steps=2
    ) as env_id:
        env = environment(env_id)
        env.reset(0)
        assert env.step(np.zeros(5, np.float32)).reward == -0.5
        env.close()


class Halved(gym.wrappers.TransformReward):
    """Half of every reward."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env, lambda reward: reward / 2)
