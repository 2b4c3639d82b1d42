"""Evaluation: the same episodes however many are played side by side."""

from __future__ import annotations

import numpy as np
import pytest

from vlmrb.config import make_config
from vlmrb.envs import make_env
from vlmrb.evaluation import evaluate, max_parallel


class Pusher:
    """Pushes against the pendulum's speed."""

    def best_action(self, observation: np.ndarray) -> np.ndarray:
        return np.clip(observation[:, 2:], -1.0, 1.0)


def test_the_figures_do_not_depend_on_how_many_environments_there_are() -> None:
    envs = [make_env(make_config(env="Pendulum-v1", algo="sac", replay="uniform")) for _ in range(5)]
    figures = [evaluate(Pusher(), envs[:count], 5, 0.0, np.random.default_rng(0)) for count in (1, 2, 5)]
    assert figures[0].success_rate is None and figures[0].episodic_length == 200
    assert [figure.episodic_return for figure in figures] == [pytest.approx(figures[0].episodic_return)] * 3
    for env in envs:
        env.close()


def test_of_simulators_few_run_side_by_side() -> None:
    grid, robot = (make_env(make_config(env=name, replay="uniform")) for name in ("DoorKey-5x5", "Pendulum-v1"))
    assert max_parallel(robot.action_spec) < max_parallel(grid.action_spec)
    grid.close()
    robot.close()
