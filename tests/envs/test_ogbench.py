"""OGBench tasks: exact repeats, pixel-exact frames from states, events reported once, successful scripted play."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest

from vlmrb.config import make_config
from vlmrb.envs import Play, make_env, make_renderer
from vlmrb.envs.drawing import leave_out_costly
from vlmrb.envs.headless import cannot_draw, choose_gl
from vlmrb.envs.ogbench_env import OGBenchEnvironment
from vlmrb.envs.ogbench_events import Cube, _Latch
from vlmrb.envs.ogbench_frames import coarsen, open_renderer
from vlmrb.envs.ogbench_play import ScenePlay, presses_for
from vlmrb.envs.ogbench_scene import make_scene
from vlmrb.errors import ConfigError, EnvironmentSetupError, StoreCorruptError
from vlmrb.events import is_progress

SCENE = "scene-singletask-task4-v0"


def made(env_id: str) -> OGBenchEnvironment:
    env = make_env(make_config(env=env_id, algo="sac", replay="uniform"))
    assert isinstance(env, OGBenchEnvironment)
    return env


@pytest.fixture(scope="module")
def scene() -> Iterator[OGBenchEnvironment]:
    env = made(SCENE)
    yield env
    env.close()


@pytest.fixture(scope="module")
def cubes() -> Iterator[OGBenchEnvironment]:
    env = made("cube-double-singletask-task1-v0")
    yield env
    env.close()


def play_out(env: OGBenchEnvironment, seed: int, play_seed: int = 0) -> list:
    """The steps of one episode of scripted play."""
    play, observation = Play([env], np.random.default_rng(play_seed)), env.reset(seed)
    steps = []
    while not steps or not (steps[-1].terminated or steps[-1].truncated):
        steps.append(env.step(play.act(observation[None], len(steps))[0]))
    return steps


def test_a_scene_observes_its_state_and_specifies_its_actions(scene) -> None:
    assert scene.reset(0).shape == scene.observation_spec.shape == (40,)
    assert scene.action_spec.shape == (5,) and scene.action_spec.continuous
    step = scene.step(np.zeros(5, np.float32))
    assert (step.observation.dtype, step.success) == (np.float32, None)
    assert step.reward < 0


@pytest.mark.parametrize("env_id", ["scene-v0", "scene-singletask-task4-v0"])
def test_a_task_of_pictures_is_refused_with_that_of_states(env_id: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=f"visual-{env_id}: .* with an id like {env_id}"):
        made(f"visual-{env_id}")


def test_modified_visuals_are_refused_because_they_are_for_minigrid() -> None:
    with pytest.raises(EnvironmentSetupError, match="swapped"):
        make_env(make_config(env=SCENE, algo="sac", replay="uniform", visuals="swapped"))


@pytest.mark.parametrize("which", ["scene", "cubes"])
def test_an_episode_repeats_exactly_whatever_came_before(which: str, request: pytest.FixtureRequest) -> None:
    env = request.getfixturevalue(which)
    actions = np.random.default_rng(0).uniform(-1, 1, (25, 5)).astype(np.float32)
    rounds = []
    for seed in (3, 8, 3):
        first = env.reset(seed)
        rounds.append(np.stack([first, *(env.step(action).observation for action in actions)]))
    np.testing.assert_array_equal(rounds[0], rounds[2])
    assert not np.array_equal(rounds[0][0], rounds[1][0])


def test_scenes_share_their_compiled_model_and_nothing_else() -> None:
    first, second = make_scene(SCENE), make_scene(SCENE)
    spec = gym.spec(SCENE)
    untouched = gym.envs.registration.load_env_creator(str(spec.entry_point))(**spec.kwargs)
    for scene in (untouched, first, second):
        scene.reset(seed=3)
    for field in ("geom_rgba", "actuator_gainprm", "actuator_biasprm", "dof_damping"):
        assert (getattr(first.model, field) == getattr(second.model, field)).all()
        assert (getattr(untouched.model, field) == getattr(second.model, field)).all()
    assert untouched.model.opt.timestep == second.model.opt.timestep
    for scene in (untouched, second):  # OGBench's own resets are only partly seeded
        scene.set_state(first.data.qpos, first.data.qvel, first._cur_button_states)
        scene.data.ctrl[:], scene.data.mocap_pos[:] = first.data.ctrl, first.data.mocap_pos
    action = np.array([0.3, -0.2, -0.5, 0.1, 0.4])
    for _ in range(25):
        for scene in (untouched, second):
            scene.step(action)
    assert (untouched.data.qpos == second.data.qpos).all() and (first.data.qpos != second.data.qpos).any()
    second._cur_button_states[:] = 1 - second._cur_button_states
    second._apply_button_states()
    assert (first.model.dof_damping != second.model.dof_damping).any(), "a lock in one scene must not lock another"


def test_an_episode_without_success_ends_at_the_time_limit(cubes) -> None:
    cubes.reset(0)
    steps = [cubes.step(np.zeros(5, np.float32)) for _ in range(500)]
    assert [step.truncated for step in steps] == [False] * 499 + [True]
    assert (steps[-1].success, steps[-1].terminated) == (False, False)


def test_frames_from_states_match_the_environments_own_pixel_for_pixel(scene) -> None:
    play, renderer = Play([scene], np.random.default_rng(1)), make_renderer(scene.render_spec)
    own = open_renderer(scene.scene.model, scene.render_spec["side"])
    try:
        snapshots, expected = [], []
        for seed in (0, 1):
            observation = scene.reset(seed)
            for step in range(60):
                scene.step(play.act(observation[None], step)[0])
                if step % 12 == 0:
                    snapshots.append(scene.snapshot())
                    own.update_scene(scene.scene.data, camera="front")
                    leave_out_costly(own.scene)
                    expected.append(own.render().copy())
        frames = renderer.render(np.stack(snapshots))
        np.testing.assert_array_equal(frames, np.stack(expected))
        assert len(np.unique(frames.reshape(len(frames), -1), axis=0)) == len(frames)
    finally:
        own.close()


def test_a_picture_without_triangles_smaller_than_a_pixel_is_nearly_the_same() -> None:
    import mujoco

    env = made(SCENE)
    env.reset(0)
    model, data = env.scene.model, env.scene.data
    drawn, before = [], copy.deepcopy(model)
    for side in (10**6, 192):  # first with all triangles
        coarsen(model, 1 / side)
        model.vis.global_.offwidth = model.vis.global_.offheight = 192
        with mujoco.Renderer(model, 192, 192) as renderer:
            renderer.update_scene(data, camera="front")
            leave_out_costly(renderer.scene)
            drawn.append(renderer.render().astype(int))
    assert model.mesh_facenum.sum() < before.mesh_facenum.sum() / 4 and (model.mesh_facenum > 0).all()
    differs = np.abs(drawn[0] - drawn[1]).max(axis=2)
    assert differs.mean() < 3 and (differs > 32).mean() < 0.02
    for name in ("mesh_vert", "mesh_graph", "mesh_polyvert", "geom_dataid", "geom_size"):  # what collides
        np.testing.assert_array_equal(getattr(model, name), getattr(before, name))
    once = model.mesh_face.copy()
    coarsen(model, 1 / 192)
    np.testing.assert_array_equal(model.mesh_face, once)


@pytest.mark.parametrize("env_id", [SCENE, "cube-double-singletask-task1-v0", "puzzle-3x3-singletask-task1-v0"])
def test_a_floor_of_few_squares_looks_the_same(env_id: str) -> None:
    import mujoco

    env = made(env_id)
    env.reset(0)
    model, data = env.scene.model, env.scene.data
    floor, drawn = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE), []
    squares = model.geom_size[floor, 2].copy()
    renderer = open_renderer(model, 192)
    assert (model.geom_size[floor, 2] > 10 * squares).all()
    for _ in range(2):
        with renderer:
            renderer.update_scene(data, camera="front")
            leave_out_costly(renderer.scene)
            drawn.append(renderer.render().copy())
        model.geom_size[floor, 2] = squares
        renderer = mujoco.Renderer(model, 192, 192)
    renderer.close()
    np.testing.assert_array_equal(*drawn)


def test_another_process_renders_the_same_frame_from_the_recipe_alone(scene, tmp_path) -> None:
    scene.reset(2)
    recipe = scene.render_spec | {"side": 48}
    np.save(tmp_path / "state.npy", scene.snapshot())
    program = (
        "import sys, json, numpy as np; from vlmrb.envs import make_renderer; "
        "np.save(sys.argv[2], make_renderer(json.loads(sys.argv[1])).render(np.load(sys.argv[3])[None]))"
    )
    files = [str(tmp_path / name) for name in ("frame.npy", "state.npy")]
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, json.dumps(recipe), *files], check=True)
    np.testing.assert_array_equal(np.load(files[0]), make_renderer(recipe).render(scene.snapshot()[None]))


def test_a_fresh_process_can_create_the_environment() -> None:
    code = f"from vlmrb.envs.ogbench_env import OGBenchEnvironment; print(OGBenchEnvironment({SCENE!r}).action_spec.shape)"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert outcome.stdout.strip() == "(5,)", outcome.stderr


def test_a_damaged_state_is_detected(scene) -> None:
    renderer = make_renderer(scene.render_spec | {"side": 32})
    with pytest.raises(StoreCorruptError, match="is not a state of scene-singletask-task4-v0"):
        renderer.render(scene.snapshot()[None, :-1])
    assert renderer.render(scene.snapshot()[None]).shape == (1, 32, 32, 3)


def test_events_are_reported_once_and_in_a_plausible_order(scene) -> None:
    steps = play_out(scene, seed=1)
    events = [event for step in steps for event in step.events]
    counts = Counter((event.name, event.object) for event in events)
    assert {("pressed", "button"), ("unlocked", "drawer"), ("opened", "drawer"), ("grasped", "cube"), ("lifted", "cube")} <= set(
        counts
    )
    assert {event.color for event in events if event.object == "cube"} == {"red"}
    for name, other, thing in (("opened", "closed", "drawer"), ("unlocked", "locked", "drawer"), ("opened", "closed", "window")):
        turns = [event.name for event in events if event.object == thing and event.name in (name, other)]
        assert all(a != b for a, b in pairwise(turns))
    assert counts["lifted", "cube"] <= counts["grasped", "cube"]
    if steps[-1].success:
        assert counts["placed_in_drawer", "cube"] >= 1 and events[-1].name == "success"
    assert all(is_progress(event) for event in events if event.name in ("lifted", "pressed", "success"))


def test_without_actions_there_are_no_events(scene) -> None:
    scene.reset(5)
    assert [event for _ in range(40) for event in scene.step(np.zeros(5, np.float32)).events] == []


def test_a_latch_does_not_flicker() -> None:
    latch = _Latch(on=0.75, off=0.25)
    latch.begin(0.0)
    assert [latch.turned(value) for value in (0.5, 0.75, 0.7, 0.3, 0.8, 0.25, 0.5)] == [0, 1, 0, 0, 0, -1, 0]


@pytest.mark.parametrize(
    ("pads", "grasped_at", "let_go_at"),
    [
        ([2, 2, 2, 2, 0, 0], None, None),  # shorter than between two frames of a clip
        ([1] * 9, None, None),  # pushed with one finger
        ([2, 2, 2, 1, 2, 2, 2, 0, 2, 2], None, None),  # fumbled with
        ([2, 2, 2, 2, 2, 2, 1, 2, 2, 0, 0], 4, 9),  # one finger slips for a moment
        ([0, 2, 1, 2, 2, 2, 2, 2, 0, 2, 2, 2, 2], 7, 8),
    ],
)
def test_a_cube_is_grasped_once_both_fingers_have_held_it_for_a_quarter_of_a_second(
    scene, monkeypatch: pytest.MonkeyPatch, pads: list[int], grasped_at: int | None, let_go_at: int | None
) -> None:
    scene.reset(0)
    cube, touching = Cube(scene.scene, 0), iter(pads)
    cube.begin()
    monkeypatch.setattr(cube, "_touching_pads", lambda: next(touching))
    looks = [([event.name for event in cube.look()], cube.is_held) for _ in pads]
    held = range(grasped_at, let_go_at) if grasped_at is not None and let_go_at is not None else range(0)
    assert [step for step, (events, _) in enumerate(looks) if "grasped" in events] == list(held)[:1]
    assert [step for step, (_, is_held) in enumerate(looks) if is_held] == list(held)


def test_play_solves_its_task_and_repeats_with_its_seed(cubes) -> None:
    rounds = [play_out(cubes, seed) for seed in (0, 1, 2)]
    assert sum(bool(steps[-1].success) for steps in rounds) >= 2
    again = play_out(cubes, 0)
    np.testing.assert_array_equal([s.observation for s in rounds[0]], [s.observation for s in again])
    other = play_out(cubes, 0, play_seed=1)
    assert not np.array_equal(rounds[0][5].observation, other[5].observation)


def test_play_puts_a_cube_into_the_drawer_once_and_closes_it(scene) -> None:
    rounds = [play_out(scene, seed) for seed in (0, 1, 2)]
    assert sum(bool(steps[-1].success) for steps in rounds) >= 2
    for steps in rounds:
        of_cube = [event.name for step in steps for event in step.events if event.object == "cube"]
        assert of_cube.count("placed_in_drawer") <= of_cube.count("lifted"), of_cube


def neighbourhood(rows: int, columns: int) -> np.ndarray:
    """bool [N, N]: which buttons of a puzzle are neighbours; each is its own neighbour."""
    places = [divmod(index, columns) for index in range(rows * columns)]
    return np.array([[abs(a - c) + abs(b - d) <= 1 for c, d in places] for a, b in places])


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (4, 4), (4, 5), (4, 6)])
def test_presses_that_solve_a_puzzle_are_found_from_every_reachable_state(rows: int, columns: int) -> None:
    changes, rng = neighbourhood(rows, columns), np.random.default_rng(0)
    for _ in range(20):
        wrong = (changes.astype(int) @ rng.integers(0, 2, rows * columns)) % 2 == 1
        np.testing.assert_array_equal((changes.astype(int) @ presses_for(changes, wrong)) % 2 == 1, wrong)


def test_an_unsolvable_puzzle_gets_no_presses() -> None:
    changes = neighbourhood(4, 4)
    alone = np.arange(16) == 0
    assert not presses_for(changes, alone).any()


def test_play_solves_a_puzzle_whose_buttons_change_their_neighbours() -> None:
    puzzle = made("puzzle-3x3-singletask-task4-v0")
    np.testing.assert_array_equal(ScenePlay(puzzle.scene, np.random.default_rng(0))._changes(9), neighbourhood(3, 3))
    assert sum(bool(play_out(puzzle, seed)[-1].success) for seed in (0, 1)) >= 1
    puzzle.close()


def test_other_environments_have_no_scripted_play() -> None:
    env = make_env(make_config(env="DoorKey-5x5", replay="uniform"))
    with pytest.raises(ConfigError, match="play_steps: only OGBench's"):
        Play([env], np.random.default_rng(0))


def test_the_chosen_opengl_is_used_and_an_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert choose_gl() == "osmesa"
    message = str(cannot_draw(ImportError("no such library")))
    assert all(re.search(word, message) for word in ("osmesa", "no such library", "libegl1", "libosmesa6", "MUJOCO_GL=egl"))
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setattr("ctypes.util.find_library", lambda name: "libOSMesa.so.8" if name == "OSMesa" else None)
    assert choose_gl() == "osmesa"
    monkeypatch.setenv("MUJOCO_GL", "egl")  # the tests keep rendering with it
