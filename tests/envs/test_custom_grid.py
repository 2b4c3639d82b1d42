"""MiniGrid ids with wrappers, classes or objects of their own are trained on as `gymnasium.make` makes them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TransformReward
from minigrid.core import constants
from minigrid.core.world_object import WorldObj
from minigrid.envs import EmptyEnv
from minigrid.utils.rendering import fill_coords, point_in_circle

from tests.envs.custom_grids import DOORKEY, Registered, registered, wrapper
from vlmrb.agents.networks import make_torso
from vlmrb.config import make_config
from vlmrb.envs import make_env, make_renderer
from vlmrb.envs.custom_grid import CustomGridEnvironment, word_numbers
from vlmrb.envs.minigrid import MiniGridEnvironment
from vlmrb.errors import EnvironmentSetupError
from vlmrb.scoring.embedded import picture_notice


def environment(env_id: str, **settings: Any) -> Any:
    return make_env(make_config(env=env_id, scorer="oracle", **settings))


def play_both(env_id: str, steps: int = 60, seed: int = 7) -> list[Any]:
    """Play the same actions in both and compare all that Gymnasium gives; returns our steps."""
    ours, theirs = environment(env_id), gym.make(env_id, render_mode="rgb_array")
    renderer, rng, results = make_renderer(ours.render_spec), np.random.default_rng(0), []
    assert ours.action_spec.n == theirs.action_space.n
    observation, (expected, _) = ours.reset(seed), theirs.reset(seed=seed)
    for step in range(steps):
        image = expected["image"] if isinstance(expected, dict) else expected
        np.testing.assert_array_equal(observation[: image.size], image.ravel())
        if isinstance(expected, dict):
            assert observation[image.size] == expected["direction"]
            np.testing.assert_array_equal(observation[-24:], word_numbers(expected["mission"]))
        action = int(rng.integers(ours.action_spec.n))
        result, (expected, reward, terminated, truncated, _) = ours.step(action), theirs.step(action)
        results.append(result)
        assert (result.reward, result.terminated, result.truncated) == (reward, terminated, truncated)
        np.testing.assert_array_equal(renderer.render(ours.snapshot()[None])[0], theirs.render())
        observation = result.observation
        if terminated or truncated:
            observation, (expected, _) = ours.reset(step), theirs.reset(seed=step)
    ours.close()
    theirs.close()
    return results


@pytest.mark.parametrize("name", list(Registered.entries))
def test_an_environment_of_ones_own_is_what_gymnasium_makes(name: str) -> None:
    with registered("Own-v0", **Registered.entries[name]) as env_id:
        play_both(env_id)


@pytest.mark.parametrize("env_id", ["MiniGrid-DoorKey-5x5-v0", "DoorKey-5x5"])
def test_an_id_registered_anew_is_not_taken_for_minigrids(env_id: str) -> None:
    with registered(env_id, **Registered.entries["four actions"]):
        results = play_both(env_id, 300)
    assert {result.reward for result in results} <= {-1.0} | {r.reward for r in results if r.terminated}


@pytest.mark.parametrize("names", [("ImgObsWrapper",), ("FullyObsWrapper",), ("FullyObsWrapper", "ImgObsWrapper")])
def test_wrappers_that_choose_cells_are_read_as_cells(names: tuple[str, ...]) -> None:
    wrappers = tuple(wrapper(name) for name in names)
    with registered("Own-v0", entry_point=DOORKEY, kwargs={"size": 6}, additional_wrappers=wrappers) as env_id:
        play_both(env_id, 30)
        spec = environment(env_id).observation_spec
    assert spec.kind == "grid"
    assert make_torso(spec, 16)


def test_a_view_of_another_size_is_read_whole() -> None:
    with registered(
        "Own-v0", entry_point=DOORKEY, kwargs={"size": 8}, additional_wrappers=(wrapper("ViewSizeWrapper", agent_view_size=5),)
    ) as env_id:
        play_both(env_id, 30)
        assert environment(env_id).observation_spec.grid_shape == (5, 5, 3)


@pytest.mark.parametrize(
    "name", ["FlatObsWrapper", "OneHotPartialObsWrapper", "RGBImgPartialObsWrapper", "SymbolicObsWrapper", "DirectionObsWrapper"]
)
def test_other_observations_are_flattened_with_nothing_left_out(name: str) -> None:
    with registered("Own-v0", entry_point=DOORKEY, kwargs={"size": 6}, additional_wrappers=(wrapper(name),)) as env_id:
        ours, theirs = environment(env_id), gym.make(env_id)
        assert ours.observation_spec.kind == "vector"
        observation, (expected, _) = ours.reset(3), theirs.reset(seed=3)
        for action in (2, 1, 2, 3, 5):
            parts = expected if isinstance(expected, dict) else {"all": expected}
            for part in parts.values():
                values = word_numbers(part) if isinstance(part, str) else np.ravel(part)
                found = np.lib.stride_tricks.sliding_window_view(observation, values.size)
                one_hot = values.size == 1  # a direction
                assert one_hot or (found == values.astype(np.float32)).all(axis=1).any()
            observation, expected = ours.step(action).observation, theirs.step(action)[0]


def test_a_full_grid_shows_objects_of_ones_own() -> None:
    with registered("Own-v0", **Registered.entries["changing"]) as env_id:
        ours, theirs = environment(env_id, observation="full"), gym.make(env_id)
        ours.reset(1), theirs.reset(seed=1)
        for _ in range(6):
            observation = ours.step(1).observation
            theirs.step(1)
            cells = theirs.unwrapped.grid.encode()
            cells[1, 1] = (10, 0, theirs.unwrapped.agent_dir)
            np.testing.assert_array_equal(observation[: cells.size], cells.ravel())


def test_events_and_success_are_those_of_the_world_below_the_wrappers() -> None:
    reward = gym.envs.registration.WrapperSpec("R", f"{__name__}:Shifted", {})
    with registered("Own-v0", entry_point=DOORKEY, kwargs={"size": 5}, additional_wrappers=(reward,)) as env_id:
        env, rng = environment(env_id), np.random.default_rng(0)
        env.reset(0)
        names, successes = set(), []
        for step in range(6_000):
            result = env.step(int(rng.integers(7)))
            names |= {event.name for event in result.events}
            if result.terminated or result.truncated:
                assert result.reward < 0 and result.success == result.terminated
                successes.append(result.success)
                env.reset(step)
        assert {"picked_up", "dropped", "unlocked", "opened", "closed"} <= names and True in successes


class Shifted(TransformReward):
    """Every reward is less by two."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env, lambda reward: reward - 2)


def test_plain_minigrid_keeps_its_fast_path() -> None:
    assert isinstance(environment("MiniGrid-DoorKey-5x5-v0"), MiniGridEnvironment)
    with registered("Own-v0", entry_point=DOORKEY, kwargs={"size": 7}, max_episode_steps=9) as env_id:
        assert isinstance(environment(env_id), MiniGridEnvironment)
    with registered("Own-v0", **Registered.entries["four actions"]) as env_id:
        assert isinstance(environment(env_id), CustomGridEnvironment)


def test_modified_visuals_are_refused_for_grids_of_ones_own() -> None:
    with (
        registered("Own-v0", **Registered.entries["changing"]) as env_id,
        pytest.raises(EnvironmentSetupError, match="MiniGrid's own environments, without wrappers or classes of your own"),
    ):
        environment(env_id, visuals="swapped")


def test_a_full_grid_is_refused_where_there_is_none_to_replace() -> None:
    with (
        registered("Own-v0", entry_point=DOORKEY, additional_wrappers=(wrapper("FlatObsWrapper"),)) as env_id,
        pytest.raises(EnvironmentSetupError, match="use --observation egocentric"),
    ):
        environment(env_id, observation="full")


def test_missions_that_differ_only_in_words_unknown_to_minigrid_differ() -> None:
    missions = [f"find the {word}" for word in ("zebra", "lion", "1", "2", "ball")]
    assert len({word_numbers(mission).tobytes() for mission in missions}) == len(missions)


def test_types_and_colours_that_a_module_adds_are_read_as_numbers(monkeypatch) -> None:
    for table, other, name, index in (
        (constants.OBJECT_TO_IDX, constants.IDX_TO_OBJECT, "mine", 11),
        (constants.COLOR_TO_IDX, constants.IDX_TO_COLOR, "orange", 6),
    ):
        monkeypatch.setitem(table, name, index)
        monkeypatch.setitem(other, index, name)
    monkeypatch.setitem(constants.COLORS, "orange", np.array([255, 128, 0]))
    with registered("Own-v0", entry_point=Mined, kwargs={"size": 6}) as env_id:
        play_both(env_id, 30)
        spec = environment(env_id).observation_spec
    assert (spec.kind, spec.dtype) == ("vector", "float32")


class Mined(EmptyEnv):
    """With an object of a new type and a new colour."""

    def _gen_grid(self, width: int, height: int) -> None:
        super()._gen_grid(width, height)
        self.put_obj(Mine("mine", "orange"), 2, 2)


class Mine(WorldObj):
    """Drawn as a dot."""

    def render(self, img: np.ndarray) -> None:
        fill_coords(img, point_in_circle(0.5, 0.5, 0.2), constants.COLORS[self.color])


def test_the_embedded_scorer_knows_plain_minigrid_below_wrappers_only() -> None:
    for name, known in (("four actions", True), ("changing", False)):
        with registered("Own-v0", **Registered.entries[name]) as env_id:
            assert (picture_notice("embedded", environment(env_id).render_spec) == "") == known
