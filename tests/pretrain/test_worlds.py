"""The worlds that the embedded model learns from."""

from __future__ import annotations

import contextlib
import io

import gymnasium
import numpy as np
import pytest
from minigrid.core.world_object import Door, Goal
from minigrid.envs.doorkey import DoorKeyEnv

from vlmrb.pretrain.grids.environments import SCATTERED, ScatteredRooms, make_world, training_families
from vlmrb.pretrain.grids.truth import CONTENTS, HAPPENINGS, passages, room_entries, truth_of
from vlmrb.pretrain.grids.worlds import SceneMaker
from vlmrb.pretrain.sampling import frame_indices
from vlmrb.scoring.worker import make_request
from vlmrb.types import Clip, Event


@pytest.fixture(scope="module")
def maker() -> SceneMaker:
    return SceneMaker()


def test_every_family_is_there_but_doorkey() -> None:
    chosen = {env_id for ids in training_families().values() for env_id in ids}
    registered = {env_id for env_id in gymnasium.registry if env_id.startswith(("MiniGrid-", "BabyAI-"))}
    left_out = registered - chosen
    assert {env_id for env_id in registered if "DoorKey" in env_id} <= left_out
    assert all("DoorKey" in env_id or "-WFC-" in env_id for env_id in left_out)
    assert chosen - registered == {SCATTERED}


def test_no_world_is_made_by_doorkey_under_another_name() -> None:
    for ids in training_families().values():
        for env_id in ids:
            with contextlib.redirect_stdout(io.StringIO()):
                assert not isinstance(make_world(env_id)._grid_env, DoorKeyEnv)


def test_scattered_rooms_never_look_like_doorkey() -> None:
    world = ScatteredRooms()
    with_goal_in_the_corner = 0
    for seed in range(400):
        world.reset(seed=seed)
        in_corner = isinstance(world.grid.get(world.width - 2, world.height - 2), Goal)
        with_goal_in_the_corner += in_corner
        assert not (in_corner and world._walls == [True])
    assert with_goal_in_the_corner > 20  # else the test would say nothing


def test_scattered_rooms_come_in_many_sizes_with_doors_in_every_state() -> None:
    world, sizes, states = ScatteredRooms(), set(), set()
    for seed in range(150):
        world.reset(seed=seed)
        sizes.add((world.width, world.height))
        states |= {(thing.is_open, thing.is_locked) for thing in world.grid.grid if isinstance(thing, Door)}
    assert len(sizes) > 20
    assert {5, 16} <= {width for width, _ in sizes}
    assert states == {(True, False), (False, False), (False, True)}


def test_the_same_seed_gives_the_same_scenes_in_a_fresh_and_in_a_used_maker(maker) -> None:
    maker.balanced((3, 8), 6, 4)
    used, fresh = maker.balanced((3, 9), 6, 4), SceneMaker().balanced((3, 9), 6, 4)
    assert [scene.env for scene in used] == [scene.env for scene in fresh]
    for one, other in zip(used, fresh, strict=True):
        assert np.array_equal(one.tiles, other.tiles)
        assert one.truth.events == other.truth.events


def test_rare_events_are_in_a_good_share_of_a_balanced_batch(maker) -> None:
    scenes = maker.balanced((0, 1), 96, 2)
    for name in ("unlocked", "goal_reached", "died", "picked_up", "dropped", "opened", "closed", "entered"):
        holding = sum(any(event.name == name for event in scene.truth.events) for scene in scenes)
        assert holding >= 5, name  # one in twenty
    assert sum(scene.truth.stayed for scene in scenes) >= 2


@pytest.mark.parametrize("length", [1, 3, 8, 17, 32, 64])
def test_the_frames_are_those_that_a_scorer_is_shown(length) -> None:
    clip = _clip(np.zeros((length, 2, 2, 3), np.uint8))

    class AsTheyAre:
        def render(self, snapshots: np.ndarray) -> np.ndarray:
            return snapshots

    assert make_request(clip, AsTheyAre(), 8).frame_indices == tuple(frame_indices(length, 8))


def test_truth_knows_what_is_where_and_what_happened_to_which_cell(maker) -> None:
    scenes = [
        scene for scene in maker.balanced((5, 0), 24, 8) if any(event.name == "picked_up" for _, event in scene.clip.events)
    ]
    assert scenes
    vanished = 0
    for scene in scenes:
        truth = scene.truth
        assert truth.before.shape == truth.after.shape == scene.tiles.shape[1:]
        assert {CONTENTS[i] for i in np.unique(truth.after)} == truth.last
        assert (truth.agents.sum((1, 2)) == 1).all()
        for event in {event for _, event in scene.clip.events if event.name == "picked_up"}:
            cells = truth.happened[..., HAPPENINGS.index(str(event))]
            assert cells.any()
            thing = CONTENTS.index(f"{event.color} {event.object}")
            vanished += bool(((truth.before == thing) & (truth.after != thing) & cells).any())
    assert vanished >= len(scenes) // 2  # others were put down before, or back again


def test_a_room_counts_as_entered_only_beyond_the_door_and_only_once() -> None:
    cells = np.zeros((5, 3, 3), np.uint8)
    cells[..., 0] = 2  # walls
    cells[1:4, 1, 0] = 1  # three free cells in a row …
    cells[2, 1] = (4, 0, 0)  # … the middle one a door
    there_and_back = np.array([(1, 1), (2, 1), (3, 1), (2, 1), (1, 1), (2, 1), (3, 1)])
    assert room_entries(cells, there_and_back) == [2]
    assert room_entries(cells, there_and_back[:2]) == []


def test_standing_in_a_doorway_is_told_from_going_through() -> None:
    cells = np.zeros((5, 3, 3), np.uint8)
    cells[..., 0] = 2  # walls
    cells[1:4, 1, 0] = 1  # free
    cells[2, 1] = (4, 0, 0)  # a door
    world = make_world("MiniGrid-Empty-5x5-v0")
    world.reset(0)
    header = world.snapshot()[: -5 * 5 * 3]

    def walked(*places: int) -> frozenset[str]:
        snapshots = np.stack([np.concatenate([header, cells.ravel()]) for _ in places])
        snapshots[:, :4] = [(5, 3, x, 1) for x in places]
        return passages(_clip(snapshots))

    assert walked(1, 2, 1) == {"stood in doorway"}
    assert walked(1, 2, 3) == {"stood in doorway", "entered room"}
    assert walked(1, 1) == frozenset()


def test_an_agent_that_only_turns_stays_in_place() -> None:
    world = make_world("MiniGrid-Empty-5x5-v0")
    world.reset(0)
    snapshots = []
    for action in (0, 1, 1):
        world.step(action)
        snapshots.append(world.snapshot())
    clip = _clip(np.stack(snapshots))
    assert truth_of(clip, frame_indices(3, 8)).stayed
    world.step(2)
    moved = _clip(np.stack([*snapshots, world.snapshot()]))
    assert not truth_of(moved, frame_indices(4, 8)).stayed


def _clip(snapshots: np.ndarray, events: tuple[tuple[int, Event], ...] = ()) -> Clip:
    length = len(snapshots)
    return Clip(0, 0, 0, np.arange(length), snapshots, np.zeros(length, np.float32), events, "length")
