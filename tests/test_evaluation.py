"""Evaluation: the same episodes, however many run in parallel."""

from __future__ import annotations

import numpy as np
import pytest

from tests.odd_environments import env_id
from vlmrb.config import make_config
from vlmrb.envs import make_env
from vlmrb.evaluation import MAX_STEPS, Evaluation, evaluate, longest_episode, max_parallel


class Pusher:
    """Pushes in the direction that the pendulum swings."""

    def best_action(self, observation: np.ndarray) -> np.ndarray:
        return np.clip(observation[:, 2:], -1.0, 1.0)


def test_results_do_not_depend_on_the_number_of_environments() -> None:
    envs = [make_env(make_config(env="Pendulum-v1", algo="sac", replay="uniform")) for _ in range(5)]
    figures = [evaluate(Pusher(), envs[:count], 5, 0.0, np.random.default_rng(0)) for count in (1, 2, 5)]
    assert figures[0].success_rate is None and figures[0].episodic_length == 200
    assert [figure.episodic_return for figure in figures] == [pytest.approx(figures[0].episodic_return)] * 3
    for env in envs:
        env.close()


def test_fewer_robot_simulators_than_grids_run_in_parallel() -> None:
    grid, robot = (make_env(make_config(env=name, replay="uniform")) for name in ("DoorKey-5x5", "Pendulum-v1"))
    assert max_parallel(robot.action_spec) < max_parallel(grid.action_spec)
    grid.close()
    robot.close()


class Still:
    """Always takes the first action."""

    def best_action(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros(len(observation), np.int64)


def evaluated(name: str, **limits: object) -> Evaluation | None:
    env = make_env(make_config(env=name, replay="uniform", **limits.pop("settings", {})))
    return evaluate(Still(), [env, env][:1], 2, 0.0, np.random.default_rng(0), **limits)


def test_an_episode_without_end_is_cut_off_and_is_no_success() -> None:
    assert evaluated(env_id("Endless")) == Evaluation(0.0, MAX_STEPS, MAX_STEPS, cut_off=2)
    assert evaluated(env_id("Endless"), max_steps=7) == Evaluation(0.0, 7.0, 7.0, cut_off=2)
    assert evaluated(env_id("EndlessSuccess"), max_steps=7).success_rate == 0.0
    reached_it = evaluated(env_id("EndlessSuccess"), max_steps=7, settings={"success_step": "any"})
    assert (reached_it.success_rate, reached_it.cut_off) == (1.0, 2)


def test_an_environment_with_a_time_limit_ends_its_episodes_itself() -> None:
    assert evaluated(env_id("Limited")) == Evaluation(None, 25.0, 25.0)
    assert evaluated(env_id("Limited"), max_steps=25).cut_off == 0
    assert evaluated(env_id("Limited"), max_steps=24) == Evaluation(0.0, 24.0, 24.0, cut_off=2)
    limits = [
        make_env(make_config(env=name, replay="uniform")).time_limit
        for name in ("DoorKey-64x64", "CartPole-v1", "CliffWalking-v1")
    ]
    assert limits == [40_960, 500, None] and [longest_episode(None, limit) for limit in limits] == [40_960, MAX_STEPS, MAX_STEPS]
    assert longest_episode(300, 40_960) == 300


def test_where_nobody_says_what_a_success_is_being_cut_off_is_no_failure() -> None:
    env = make_env(make_config(env=env_id("Limited"), replay="uniform"))
    lengths = iter((5, 25))

    class Quits:
        """Ends the first episode early."""

        def __getattr__(self, name: str) -> object:
            return getattr(env, name)

        def reset(self, seed: int) -> np.ndarray:
            self.left = next(lengths)
            return env.reset(seed)

        def step(self, action: object):
            self.left -= 1
            return env.step(action)._replace(terminated=self.left == 0)

    found = evaluate(Still(), [Quits()], 2, 0.0, np.random.default_rng(0), max_steps=10)
    assert found == Evaluation(None, 7.5, 7.5, cut_off=1)


def test_an_evaluation_ends_when_it_is_told_to() -> None:
    answers = iter([True] * 20 + [False])
    assert evaluated(env_id("Endless"), goes_on=lambda _: next(answers)) is None


def test_an_evaluation_says_how_many_episodes_are_done() -> None:
    told: list[int] = []
    evaluated(env_id("Limited"), max_steps=24, goes_on=lambda done: told.append(done) is None)
    assert told == sorted(told) and set(told) == {0, 1}
