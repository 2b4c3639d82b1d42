"""OGBench's tasks with goals: the goal is observed, tasks take turns, and goals are judged as the suite judges its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vlmrb.config import make_config
from vlmrb.envs import Play, make_env, try_env
from vlmrb.errors import ConfigError, EnvironmentSetupError


def made(env_id: str) -> Any:
    return make_env(make_config(env=env_id, algo="sac", replay="uniform"))


def judged(env: Any, step: Any) -> tuple[float, bool]:
    """What the environment says about a step's own goal when it is asked again."""
    found = env.judge(step.achieved_goal[None], step.observation[None, -env.observation_spec.goal :])
    return float(found.rewards[0]), bool(found.terminated[0])


def test_the_arm_sees_its_goal_and_reaches_it_as_the_suite_says() -> None:
    env = made("cube-single-v0")
    half, rewards = env.observation_spec.goal, []
    assert env.observation_spec.shape == (2 * half,) and env.time_limit == 200
    observation, play = env.reset(0), Play([env], np.random.default_rng(0))
    goal = observation[half:]
    while True:
        step = env.step(play.act(observation[None], len(rewards))[0])
        np.testing.assert_array_equal(step.observation[half:], goal)
        np.testing.assert_array_equal(step.observation[:half], step.achieved_goal)
        assert judged(env, step) == (step.reward, step.terminated)
        rewards.append(step.reward)
        if step.terminated or step.truncated:
            break
    assert (step.terminated, step.success) == (True, True), "the script solves it"
    assert rewards[-1] == 1.0 and not any(rewards[:-1])
    goals = np.tile(goal, (3, 1))
    goals[1, :19] += 5.0  # the arm may be anywhere
    goals[2, 19] += 0.41  # of cubes, ten units are a metre
    assert env.judge(np.tile(goal, (3, 1)), goals).rewards.tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("env_id", ["cube-single-v0", "pointmaze-teleport-v0"])
def test_tasks_take_turns_with_the_seed_and_an_episode_repeats_exactly_whatever_came_before(env_id: str) -> None:
    env = made(env_id)
    actions = np.random.default_rng(0).uniform(-1, 1, (25, *env.action_spec.shape)).astype(np.float32)
    rounds, tasks = [], []
    for seed in (2**30, 2**30 + 1, 2**30 + 5, 2**30):
        first = env.reset(seed)
        inner = getattr(env, "scene", None) or env._env.unwrapped
        tasks.append(inner.cur_task_id)
        rounds.append(np.stack([first, *(env.step(action).observation for action in actions)]))
        np.random.random(3)
    assert tasks == [1 + (2**30 + number) % 5 for number in (0, 1, 5, 0)] and tasks[0] == tasks[2] != tasks[1]
    np.testing.assert_array_equal(rounds[0], rounds[3])
    assert not np.array_equal(rounds[0][0], rounds[2][0]), "another seed is another start, also of the same task"


@pytest.mark.parametrize("env_id", ["pointmaze-medium-singletask-v0", "antmaze-medium-singletask-task2-v0"])
def test_a_maze_with_one_task_begins_where_its_seed_says(env_id: str) -> None:
    env = made(env_id)
    starts = []
    for seed in (4, 5, 4):
        starts.append(env.reset(seed))
        np.random.random(3)
    np.testing.assert_array_equal(starts[0], starts[2])
    assert not np.array_equal(starts[0], starts[1])


@pytest.mark.parametrize("env_id", ["pointmaze-teleport-v0", "pointmaze-teleport-singletask-v0"])
def test_a_maze_leaves_numpys_own_generator_alone(env_id: str) -> None:
    env = made(env_id)
    np.random.seed(5)
    expected = np.random.random(2)
    np.random.seed(5)
    found = [np.random.random()]
    env.reset(3)
    env.step(np.zeros(2, np.float32))
    assert [*found, np.random.random()] == expected.tolist()


def test_a_point_in_a_maze_sees_where_it_is_to_go() -> None:
    env = made("pointmaze-medium-v0")
    env.reset(2)  # task 3 lies close to its goal
    maze = env._env.unwrapped
    assert (env.observation_spec.shape, env.observation_spec.goal, env.time_limit) == ((4,), 2, 1_000)
    assert env.snapshot().shape == (200, 200, 3)
    step = env.step(np.zeros(2, np.float32))
    np.testing.assert_allclose(step.observation[2:], maze.cur_goal_xy, rtol=1e-6)
    assert judged(env, step) == (step.reward, step.terminated) == (0.0, False)
    maze.set_xy(np.add(maze.cur_goal_xy, (0.5, 0.0)))
    step = env.step(np.zeros(2, np.float32))
    assert judged(env, step) == (step.reward, step.terminated) == (1.0, True) and step.success is True


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["scene-v0", "puzzle-3x3-v0", "cube-double-v0", "antmaze-medium-v0", "antsoccer-arena-v0"])
def test_goals_of_every_family_are_judged_as_its_own_steps_are(env_id: str) -> None:
    config = make_config(env=env_id, algo="sac", replay="uniform", her="future:4", keep_clips=False)
    try_env(config)
    env, rng, rewards = make_env(config), np.random.default_rng(0), set()
    for seed in range(2):
        observation = env.reset(seed)
        play = Play([env], rng) if hasattr(env, "scene") else None
        for number in range(250):
            action = play.act(observation[None], number)[0] if play else rng.uniform(-1, 1, env.action_spec.shape)
            step = env.step(action.astype(np.float32))
            assert judged(env, step) == (step.reward, step.terminated)
            rewards.add(step.reward)
            if step.terminated or step.truncated:
                break
    goal = step.observation[None, -env.observation_spec.goal :]
    assert env.judge(goal, goal).rewards.tolist() == [1.0]


def test_a_single_task_has_no_goals_to_relabel_and_pictures_are_none() -> None:
    config = make_config(env="scene-singletask-task4-v0", algo="sac", replay="uniform", her="future:4", keep_clips=False)
    with pytest.raises(ConfigError, match=r"scene-singletask-task4-v0 has no goals to relabel.*such as cube-single-v0"):
        try_env(config)
    with pytest.raises(EnvironmentSetupError, match="goals must be flat vectors of numbers"):
        made("visual-antmaze-medium-v0")
