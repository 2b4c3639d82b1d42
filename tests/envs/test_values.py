"""What an environment gives is read as it is meant, or refused: never turned into something else."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.odd_environments import Walk
from tests.strange_environments import BAD_FLAGS, BAD_REWARDS, GOOD_FLAGS, GOOD_REWARDS, REWARD, Unprintable, recipe_of
from vlmrb.config import make_config
from vlmrb.envs import VectorEnv, make_env
from vlmrb.envs.actions import BoxActions
from vlmrb.envs.checks import as_flag, as_reward
from vlmrb.envs.gymnasium_env import GymnasiumEnvironment
from vlmrb.envs.observations import Observations
from vlmrb.envs.success import as_success
from vlmrb.errors import EnvironmentFailedError, EnvironmentSetupError
from vlmrb.evaluation import evaluate

D, B = gym.spaces.Discrete, gym.spaces.Box


@pytest.mark.parametrize("name", GOOD_REWARDS)
def test_one_number_is_a_reward_in_whatever_form(name: str) -> None:
    assert as_reward(GOOD_REWARDS[name]) == REWARD


@pytest.mark.parametrize("name", BAD_REWARDS)
def test_what_is_not_one_finite_number_is_no_reward(name: str) -> None:
    value, words = BAD_REWARDS[name]
    with pytest.raises(EnvironmentFailedError, match=words):
        as_reward(value)


@pytest.mark.parametrize("name", GOOD_FLAGS)
def test_ends_are_read_in_whatever_form(name: str) -> None:
    assert as_flag(GOOD_FLAGS[name](True), "terminated") is True
    assert as_flag(GOOD_FLAGS[name](False), "terminated") is False


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_what_is_neither_true_nor_false_ends_no_episode(name: str) -> None:
    value, words = BAD_FLAGS[name]
    with pytest.raises(EnvironmentFailedError, match=words):
        as_flag(value, "terminated")


def test_a_success_that_cannot_even_be_looked_at_is_unknown() -> None:
    class Secret:
        def __array__(self, *_: Any, **__: Any) -> np.ndarray:
            raise KeyError("secret")

    assert as_success(Secret()) is as_success(Unprintable()) is None


def test_flattened_observations_are_laid_out_as_gymnasium_does() -> None:
    flattened = [space for number in range(200) if not isinstance(space := recipe_of(number).observations, B | str | None)]
    for space in flattened:
        try:
            observations = Observations(space, "Any-v0")
        except EnvironmentSetupError:
            continue
        space.seed(0)
        for value in (space.sample() for _ in range(3)):
            np.testing.assert_array_equal(
                observations.read(value), gym.spaces.flatten(space, value).astype(np.float32), str(space)
            )
    assert len(flattened) > 50


@pytest.mark.parametrize(
    ("space", "value", "words"),
    [
        (D(3), -1, r"the observation is -1, which is not in its space, Discrete\(3\)"),
        (D(3, start=2), 1, r"the observation is 1, which is not in its space, Discrete\(3, start=2\)"),
        (D(3), 3, "which is not in its space"),
        (D(3), 0.5, "which is not in its space"),
        (D(3), float("nan"), "which is not in its space"),
        (D(3), [1, 2], "which is not in its space"),
        (D(3), "1", "the observation is '1'; it must be numbers"),
        (gym.spaces.MultiDiscrete([2, 3]), [2, 0], "which is not in its space"),
        (gym.spaces.MultiDiscrete([2, 3]), [0, -1], "which is not in its space"),
        (gym.spaces.Dict(a=gym.spaces.Tuple((D(2), D(2)))), {"a": (0, 2)}, r"the observation\['a'\]\[1\] is 2, which"),
        (gym.spaces.Dict(a=gym.spaces.Tuple((D(2), D(2)))), {"a": (0,)}, r"the observation\['a'\] is \(0,\), but its space is a"),
        (gym.spaces.Dict(a=B(0, 255, (2,), np.uint8)), {"a": [0.5, np.nan]}, r"observation\[1\] is nan"),
        (gym.spaces.Dict(a=B(0, 1, (2,))), {"a": [1.0]}, r"the observation\['a'\] has shape \(1,\), but its space has \(2,\)"),
        (gym.spaces.Dict(a=D(2)), {"b": 1}, "the observation has no 'a'"),
        (gym.spaces.Text(3), "abcd", "the observation is abcd, which is not in its space, Text"),
        (B(-1, 1, (2,)), ["0.5", "1"], "it must be numbers"),
        (B(-1, 1, (2,)), [1j, 2j], "it must be numbers"),
        (B(-1, 1, (2,)), None, "the observation is None; it must be numbers"),
        (B(-1, 1, (2,)), [[1], [1, 2]], "which is no array of numbers"),
    ],
)
def test_what_is_not_in_its_space_is_not_taken_for_something_else(space: gym.Space, value: Any, words: str) -> None:
    with pytest.raises(EnvironmentFailedError, match=words):
        Observations(space, "Any-v0").read(value)


def test_fractions_in_a_space_of_bytes_keep_their_value() -> None:
    space = gym.spaces.Dict(a=B(0, 255, (2,), np.uint8), b=D(3))
    np.testing.assert_array_equal(Observations(space, "Any-v0").read({"a": [0.25, 300], "b": 2.0}), [0.25, 300, 0, 0, 1])


def test_actions_of_the_widest_box_are_numbers() -> None:
    widest = BoxActions(B(-3e38, 3e38, (1,), np.float32), "Any-v0")
    assert [float(widest.map(np.array([action], np.float32))[0]) for action in (-1, 0, 1)] == pytest.approx([-3e38, 0, 3e38])


class Odd(Walk):
    """A walk of which one function is replaced."""

    def __init__(self, **functions: Any) -> None:
        super().__init__("rgb_array")
        for name, function in functions.items():
            setattr(self, name, function)


@pytest.mark.parametrize(
    ("functions", "words"),
    [
        (
            {"reset": lambda **_: np.zeros(2, np.float32)},
            r"reset returned array\(\[0\., 0\.\].*; it must return an observation and",
        ),
        ({"reset": lambda **_: ("ab", "cd")}, r"reset returned \('ab', 'cd'\)"),
        ({"step": lambda _: (np.zeros(2), 1.0, False, False, "fine")}, "the info of the step is 'fine'; it must be a dict"),
        ({"step": lambda _: (np.zeros(2), 1.0, "False", False, {})}, "terminated is 'False'"),
        ({"step": lambda _: (np.zeros(2), 1.0, False, None, {})}, "truncated is None; it must be True or False"),
    ],
)
def test_what_reset_and_step_must_return_is_said(functions: dict[str, Any], words: str) -> None:
    with pytest.raises(EnvironmentFailedError, match=rf"environment 1 of 1, episode with seed 7: {words}"):
        played(Odd(**functions))


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit("panic"), StopIteration(), Unprintable()])
@pytest.mark.parametrize("where", ["reset", "step", "render"])
def test_an_environment_that_ends_the_program_has_failed(where: str, error: BaseException) -> None:
    def end(*_: Any, **__: Any) -> None:
        raise error

    with pytest.raises(EnvironmentFailedError, match=rf"{where}.* fails with {type(error).__name__}"):
        played(Odd(**{where: end}))


def test_ctrl_c_in_an_environment_is_no_failure_of_it() -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        played(Odd(step=interrupted))


def played(env: gym.Env) -> None:
    """One step."""
    vector = VectorEnv([GymnasiumEnvironment(env)], lambda: 7)
    vector.reset()
    vector.step(np.zeros(1, np.int64))


@pytest.mark.parametrize("space", ["observation_space", "action_space"])
@pytest.mark.parametrize("value", [None, "Box(2,)"])
def test_an_environment_without_a_space_is_refused(space: str, value: Any) -> None:
    with pytest.raises(EnvironmentSetupError, match=rf"Odd: its {space} is {value or 'None'}".replace("(2,)", r"\(2,\)")):
        GymnasiumEnvironment(Odd(**{space: value}))


def test_a_spec_that_cannot_be_read_is_refused_in_words() -> None:
    gym.register("OddThreshold-v0", entry_point=Odd, reward_threshold="high")  # type: ignore[arg-type]
    try:
        with pytest.raises(EnvironmentSetupError, match=r"OddThreshold-v0 cannot be used: .*fails with ValueError"):
            make_env(make_config(env="OddThreshold-v0", replay="uniform"))
    finally:
        del gym.registry["OddThreshold-v0"]


def test_environments_that_share_one_array_are_evaluated_each_on_its_own() -> None:
    shared, seen = np.zeros(2, np.float32), []

    class Sharing(Walk):
        def _observation(self) -> np.ndarray:
            shared[:] = id(self) % 1_000 + 1, self._place
            return shared

    class Agent:
        def best_action(self, observation: np.ndarray) -> np.ndarray:
            seen.append(observation.copy())
            return np.zeros(len(observation), int)

    walks = [Sharing("rgb_array") for _ in range(2)]
    evaluate(Agent(), [GymnasiumEnvironment(walk) for walk in walks], 2, 0.0, np.random.default_rng(0))
    assert seen[0][:, 0].tolist() == [id(walk) % 1_000 + 1 for walk in walks]
