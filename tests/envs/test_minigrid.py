"""MiniGrid: observations, frames and episode ends match MiniGrid's own, and events report what happened."""

from __future__ import annotations

import warnings

import gymnasium as gym
import minigrid  # noqa: F401  (registers its environments)
import numpy as np
import pytest
from minigrid.envs import EmptyEnv
from minigrid.wrappers import FullyObsWrapper

from vlmrb.config import make_config
from vlmrb.envs import make_env, make_renderer
from vlmrb.envs.minigrid import MiniGridEnvironment
from vlmrb.errors import EnvironmentSetupError

ALL_IDS = sorted(name for name in gym.registry if name.startswith(("MiniGrid-", "BabyAI-")) and "WFC" not in name)
SOME_IDS = [
    "MiniGrid-DoorKey-8x8-v0",
    "MiniGrid-Dynamic-Obstacles-6x6-v0",
    "MiniGrid-LavaCrossingS9N1-v0",
    "MiniGrid-MultiRoom-N2-S4-v0",
    "MiniGrid-ObstructedMaze-1Dlhb-v0",
    "MiniGrid-RedBlueDoors-6x6-v0",
    "MiniGrid-Fetch-5x5-N2-v0",
    "MiniGrid-MemoryS7-v0",
    "MiniGrid-PutNear-6x6-N2-v0",
    "BabyAI-GoToLocal-v0",
    "BabyAI-UnlockLocal-v0",
    "MiniGrid-KeyCorridorS3R1-v0",
]


def environment(env_id: str, **settings: object):
    return make_env(make_config(env=env_id, scorer="oracle", **settings))


def original(env_id: str) -> gym.Env:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gym.make(env_id, render_mode="rgb_array")


def play_both(env_id: str, steps: int) -> None:
    ours, theirs = environment(env_id), original(env_id)
    renderer = make_renderer(ours.render_spec)
    rng = np.random.default_rng(0)
    observation = ours.reset(7)
    expected, _ = theirs.reset(seed=7)
    for step in range(steps):
        np.testing.assert_array_equal(observation[: expected["image"].size], expected["image"].ravel())
        assert observation[expected["image"].size] == expected["direction"]
        if step % 4 == 0:
            np.testing.assert_array_equal(renderer.render(ours.snapshot()[None])[0], theirs.render())
        action = int(rng.choice([0, 1, 2, 2, 2, 3, 4, 5, 6])) % ours.action_spec.n
        result = ours.step(action)
        expected, reward, terminated, truncated, _ = theirs.step(action)
        assert (result.reward, result.terminated, result.truncated) == (reward, terminated, truncated)
        observation = result.observation
        if terminated or truncated:
            assert result.success == (terminated and reward > 0)
            observation, (expected, _) = ours.reset(100 + step), theirs.reset(seed=100 + step)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("env_id", SOME_IDS)
def test_observations_frames_and_episode_ends_match_minigrid(env_id: str) -> None:
    play_both(env_id, 150)


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ALL_IDS)
def test_every_registered_environment_matches_minigrid(env_id: str) -> None:
    play_both(env_id, 120)


def test_the_full_grid_matches_minigrids_own_wrapper() -> None:
    ours, theirs = (
        environment("MiniGrid-DoorKey-6x6-v0", observation="full"),
        FullyObsWrapper(original("MiniGrid-DoorKey-6x6-v0")),
    )
    observation, (expected, _) = ours.reset(3), theirs.reset(seed=3)
    rng = np.random.default_rng(1)
    for _ in range(200):
        np.testing.assert_array_equal(observation[: expected["image"].size], expected["image"].ravel())
        action = int(rng.integers(7))
        observation = ours.step(action).observation
        expected, *_ = theirs.step(action)


def test_doorkey_comes_in_any_size() -> None:
    env = environment("DoorKey-12x12")
    env.reset(0)
    assert make_renderer(env.render_spec).render(env.snapshot()[None]).shape == (1, 12 * 32, 12 * 32, 3)


def walk_to_the_goal(env) -> list:
    """Solve a 5x5 DoorKey by breadth-first search in its own simulator; returns the steps."""
    import copy
    from collections import deque

    start = env._grid_env
    start.gen_obs = type(start).gen_obs.__get__(start)  # deep copies must not observe through the original
    queue, seen = deque([(copy.deepcopy(start), [])]), set()
    while queue:
        state, path = queue.popleft()
        key = (tuple(map(int, state.agent_pos)), state.agent_dir, state.grid.encode().tobytes(), state.carrying is not None)
        if key in seen:
            continue
        seen.add(key)
        for action in (0, 1, 2, 3, 5):
            after = copy.deepcopy(state)
            _, reward, terminated, truncated, _ = after.step(action)
            if terminated and reward > 0:
                start.gen_obs = env._gen_obs
                return [env.step(a) for a in [*path, action]]
            if not (terminated or truncated):
                queue.append((after, [*path, action]))
    raise AssertionError("no path to the goal")


def test_solving_doorkey_reports_key_door_goal_and_success_in_order() -> None:
    env = environment("DoorKey-5x5")
    env.reset(0)
    steps = walk_to_the_goal(env)
    names = [str(event).split()[0] for step in steps for event in step.events]
    assert names == ["picked_up", "unlocked", "opened", "goal_reached", "success"]
    assert steps[-1].success is True and steps[-1].terminated
    assert all(step.success is None for step in steps[:-1])


def test_dropping_and_closing_are_reported_with_object_and_colour() -> None:
    env = environment("DoorKey-6x6")
    rng, seen = np.random.default_rng(0), set()
    env.reset(0)
    for step in range(4000):
        result = env.step(int(rng.integers(7)))
        seen |= {(event.name, event.object) for event in result.events}
        assert all(event.color in ("", "red", "green", "blue", "purple", "yellow", "grey") for event in result.events)
        if result.terminated or result.truncated:
            env.reset(step)
    assert {("dropped", "key"), ("picked_up", "key"), ("opened", "door"), ("closed", "door")} <= seen


def test_missions_that_differ_are_part_of_the_observation() -> None:
    env = environment("MiniGrid-Fetch-5x5-N2-v0")
    seeds = range(30)
    tails = {tuple(env.reset(seed)[-24:]) for seed in seeds}
    assert len(tails) > 3


@pytest.mark.parametrize("visuals", ["swapped", "abstract"])
def test_modified_visuals_change_the_frame_but_not_the_observation(visuals: str) -> None:
    normal, changed = environment("DoorKey-8x8"), environment("DoorKey-8x8", visuals=visuals)
    np.testing.assert_array_equal(normal.reset(5), changed.reset(5))
    pictures = [make_renderer(env.render_spec).render(env.snapshot()[None])[0] for env in (normal, changed)]
    assert pictures[0].shape == pictures[1].shape and (pictures[0] != pictures[1]).mean() > 0.2
    again = make_renderer(changed.render_spec).render(changed.snapshot()[None])[0]
    np.testing.assert_array_equal(pictures[1], again)


def test_swapped_sprites_still_differ_from_one_another() -> None:
    env = environment("DoorKey-8x8", visuals="swapped")
    env.reset(5)
    picture = make_renderer(env.render_spec).render(env.snapshot()[None])[0]
    cells = env._tracker.cells
    looks = {}
    for kind in (2, 4, 5, 8):  # wall, door, key, goal
        x, y = np.argwhere(cells[..., 0] == kind)[-1]
        looks[kind] = picture[y * 32 + 16, x * 32 : x * 32 + 32].tobytes()
    assert len(set(looks.values())) == 4


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        ("MiniGrid-DoorKy-8x8-v0", "Did you mean MiniGrid-DoorKey-8x8-v0"),
        ("DoorKey-4x4", "side from 5 to 64"),
        ("DoorKey-5x6", "square"),
        ("nowhere:X-v0", "module 'nowhere' cannot be imported"),
    ],
)
def test_an_environment_that_cannot_be_used_says_why(env_id: str, words: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=words):
        environment(env_id)


@pytest.mark.timeout(60)
def test_a_layout_without_a_cell_for_the_agent_is_generated_again() -> None:
    env = make_env(make_config(env="BabyAI-SynthS5R2-v0", replay="uniform"))
    env.reset(139515467)  # the agent's room is so full that every cell has something in front of it
    first = env.snapshot()
    env.reset(139515467)
    np.testing.assert_array_equal(env.snapshot(), first)


class Crowded(EmptyEnv):
    """A layout succeeds on every third attempt."""

    attempts = 0

    def _gen_grid(self, width: int, height: int) -> None:
        super()._gen_grid(width, height)
        self.attempts += 1
        if self.attempts % 3:
            raise RecursionError("rejection sampling failed in place_obj")
        self.place_agent()


def test_a_failed_layout_is_generated_again_the_same_way_each_time() -> None:
    env = MiniGridEnvironment(Crowded(size=8, agent_start_pos=None))
    first = env.reset(5)
    assert env._grid_env.attempts == 3
    np.testing.assert_array_equal(env.reset(5), first)
