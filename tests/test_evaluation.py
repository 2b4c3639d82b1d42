"""Evaluation: the same episodes, however many run in parallel."""

from __future__ import annotations

import numpy as np
import pytest

from vlmrb.config import make_config
from vlmrb.envs import make_env
from vlmrb.evaluation import evaluate, max_parallel


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
