"""Whole runs of tasks with goals: what is learned with and without hindsight, resumed, branched, refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import goal_environments
from vlmrb.__main__ import main
from vlmrb.analysis.comparison import method_of
from vlmrb.branching import branch, branch_points
from vlmrb.checkpoint import _sums
from vlmrb.config import TrainConfig, make_config
from vlmrb.envs import make_env
from vlmrb.errors import ConfigError, EnvironmentFailedError, EnvironmentSetupError
from vlmrb.replay import replay_method, replay_methods
from vlmrb.store import Store, runs_folder
from vlmrb.train import create_run, resume, train
from vlmrb.types import SYSTEM

MODULE = goal_environments.MODULE


def small(env: str = "PointSteps", **settings: Any) -> TrainConfig:
    values = {
        "env": f"{MODULE}:{env}-v0",
        "algo": "dqn",
        "replay": "uniform",
        "total_steps": 1_200,
        "n_envs": 4,
        "learning_starts": 100,
        "batch_size": 32,
        "hidden_size": 16,
        "buffer_size": 800,
        "eval_interval": 600,
        "eval_episodes": 4,
        "log_interval": 200,
        "checkpoint_interval": 400,
        "keep_clips": False,
    }
    return make_config(**{**values, **settings})


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def curves(store: Store, run_id: int) -> dict[str, Any]:
    """All of a run's curves but its speed."""
    names = [name for name in store.metric_names(run_id) if not name.startswith(("speed/", SYSTEM))]
    return {name: [values.tolist() for values in store.metrics(run_id, name)] for name in names}


def test_a_run_with_hindsight_repeats_exactly_and_shows_the_share_of_relabelled_transitions(store: Store) -> None:
    first, second = (train(small(her="future:4"), store=store).run_id for _ in range(2))
    assert curves(store, first) == curves(store, second)
    steps, shares = store.metrics(first, "replay/relabelled")
    assert steps.tolist() == [200, 400, 600, 800, 1_000, 1_200] and shares == pytest.approx(0.8, abs=0.05)
    assert "her future:4" in store.run(first).name and "her future:4" in method_of(store.run(first)).label
    plain = train(small(), store=store).run_id
    assert "replay/relabelled" not in curves(store, plain) and "her" not in method_of(store.run(plain)).label


def test_a_run_with_hindsight_resumes_exactly(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    stopped = create_run(small("PointStepsEnds", her="episode:2"), store=store)

    def stop(step: int, _total: int, _figures: Any) -> None:
        if step >= 700 and not store.live_changes(stopped):
            store.request_change(stopped, "stop")

    assert resume(stopped, store=store, progress=stop).steps < 1_200
    path = tmp_path / "copy" / "store.db"
    path.parent.mkdir()
    store.backup(path)
    shutil.copytree(runs_folder(Path(store.url)), runs_folder(path))
    resume(stopped, store=store)
    with Store(str(path)) as copy:
        resume(stopped, store=copy)
        assert curves(copy, stopped) == curves(store, stopped)


@pytest.mark.parametrize(
    ("env", "algo", "her"),
    [
        ("BitFlips", "dqn", "future:4"),
        ("PointStepsEnds", "iqn", "episode:16"),
        ("Point", "sac", "final:4"),
        ("PointEnds", "td3", "future:4"),
        ("PointEnds", "td3", "off"),
    ],
)
def test_every_agent_trains_on_goals_with_and_without_hindsight(store: Store, env: str, algo: str, her: str) -> None:
    run = train(small(env, algo=algo, her=her, n_step=3, total_steps=400), store=store)
    assert (run.status, store.run(run.run_id).config["her"]) == ("finished", her)


@pytest.mark.parametrize("replay", replay_methods())
def test_hindsight_works_beside_every_replay_method(store: Store, replay: str) -> None:
    scored = {"scorer": "oracle", "sync_scoring": True, "clip_length": 8} if replay_method(replay).labels else {}
    run_id = train(small(replay=replay, her="final:1", total_steps=400, **scored), store=store).run_id
    assert store.metrics(run_id, "replay/relabelled")[1] == pytest.approx(0.5, abs=0.1)


def test_a_branch_may_switch_hindsight_on_where_the_parents_buffer_holds_goals(store: Store) -> None:
    parent = train(small(keep_checkpoints="every:600"), store=store).run_id
    on, changed = (branch(store, parent, 600, [{"her": her}])[0] for her in ("future:4", "final:2"))
    for run_id in (on, changed):
        resume(run_id, store=store)
    assert store.metrics(on, "replay/relabelled")[1] == pytest.approx(0.8, abs=0.05)
    assert store.run(on).name.count("her") == 1
    point = next(Path(point.path) for point in branch_points(store, parent) if point.step == 600)
    (point / "arrays" / "buffer.achieved_goals.npy").unlink()  # as earlier versions wrote it
    (point / "SHA256SUMS").write_text(_sums(point))
    runs = len(store.runs())
    with pytest.raises(ConfigError, match="her: got 'future:4', but the checkpoint of run 1 at step 600 holds no goals"):
        branch(store, parent, 600, [{"her": "future:4"}])
    assert len(store.runs()) == runs


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ("CartPole-v1", "her: got 'future:4', but CartPole-v1 has no goals to relabel"),
        ("DoorKey-5x5", "her: got 'future:4', but DoorKey-5x5 has no goals to relabel"),
        ("MoreThanGoals", "has no goals to relabel. .*exactly 'observation', 'achieved_goal' and 'desired_goal'"),
        ("Silent", r"has no compute_reward\(achieved_goal, desired_goal, info\)"),
        ("OneAtATime", "compute_reward gives -1.0 for 3 goals at once; it must give 3 numbers"),
        ("EndsOneAtATime", "compute_terminated gives True for 3 goals at once; it must give 3 numbers"),
        ("OnAnotherScale", "compute_reward gives -1 for the goals of a step whose reward was -11"),
        ("Failing", "compute_reward for 3 goals at once fails with KeyError: 'no_such_thing'"),
        ("NotANumber", "compute_reward gives nan; rewards must be finite"),
    ],
)
def test_what_hindsight_cannot_relabel_is_refused_before_a_row_is_written(store: Store, env: str, reason: str) -> None:
    name = f"{MODULE}:{env}-v0" if hasattr(goal_environments, env) or env == "MoreThanGoals" else env
    with pytest.raises((ConfigError, EnvironmentSetupError), match=reason):
        create_run(small(her="future:4").model_copy(update={"env": name, "algo": "sac" if ":" in name else "dqn"}), store=store)
    assert store.runs() == []


def test_a_run_whose_goals_are_judged_as_nan_fails_in_words_with_its_last_checkpoint(store: Store) -> None:
    with pytest.raises(EnvironmentFailedError, match="compute_reward gives nan; rewards must be finite"):
        train(small("NotANumberLater", her="future:4"), store=store)
    run = store.run(1)
    assert run.status == "failed" and re.search(r"step 1\d\d: .*the last checkpoint is of step 0\. Mend the env", run.error)


@pytest.mark.parametrize("her", ["off", "future:4"])
@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ("DiscreteGoal", r"achieved_goal is Discrete\(3\); goals must be flat vectors of numbers"),
        ("PictureGoal", r"desired_goal is Box\(0, 255, \(40, 40, 3\), uint8\); goals must be flat vectors"),
        ("TableGoal", r"achieved_goal is Box\(-1.0, 1.0, \(2, 2\), float32\); goals must be flat vectors"),
        ("EmptyGoal", "achieved_goal is Box.*; goals must be flat vectors"),
        ("UnlikeGoals", "achieved_goal has the size 2 and desired_goal 3; they must be of one size"),
        ("PictureOfPoint", "'observation' is an image, which no goal can be appended to"),
    ],
)
def test_spaces_that_no_goal_fits_into_are_refused_before_a_row_is_written(store: Store, env: str, reason: str, her: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=reason):
        create_run(small(env, algo="sac", her=her), store=store)
    assert store.runs() == []


@pytest.mark.parametrize("her", ["future", "future:0", "future:17", "past:4", "", "none", "future:4" * 4])
def test_a_wrong_setting_is_refused_with_the_value_and_what_is_allowed(her: str, tmp_path: Path, capsys: Any) -> None:
    words = (
        f"her: got {her!r}; allowed: off, or future:K, final:K or episode:K with K from 1 to 16, such as future:4, or words:K "
        "with K from 1 to 15"
    )
    with pytest.raises(ConfigError) as error:
        small(her=her)
    assert str(error.value) == words
    for other in (4, None, True, ["future:4"]):
        with pytest.raises(ConfigError, match=re.escape(f"her: got {other!r}; allowed: off, or future:K")):
            small(her=other)
    assert main(["train", "--env", f"{MODULE}:Point-v0", f"--her={her}", "--store", str(tmp_path / "store.db")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "store.db").exists()


def test_the_agent_sees_the_observation_and_then_the_desired_goal() -> None:
    env = make_env(small())
    first = env.reset(3)
    task = env._env.unwrapped  # type: ignore[attr-defined]
    assert env.observation_spec.shape == (4,) and env.observation_spec.goal == 2
    np.testing.assert_array_equal(first, np.concatenate([[0, 0], task._goal]).astype(np.float32))
    step = env.step(0)
    assert step.achieved_goal is not None
    np.testing.assert_array_equal(step.observation[:2], step.achieved_goal)
    np.testing.assert_allclose(step.achieved_goal, [0.1, 0])
    assert step.reward == -1 and step.success is None


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_hindsight_learns_to_flip_bits_where_replay_without_it_does_not(store: Store, seed: int) -> None:
    rates = {}
    for her in ("future:4", "off"):
        config = small(
            "BitFlips",
            her=her,
            seed=seed,
            success_step="any",
            total_steps=1_500,
            learning_starts=200,
            train_freq=2,
            batch_size=64,
            hidden_size=64,
            learning_rate=1e-3,
            n_step=1,
            eval_interval=1_500,
            eval_episodes=30,
            eval_epsilon=0,
        )
        rates[her] = train(config, store=store).final_success_rate
    assert rates["future:4"] > 0.7 and rates["off"] < 0.3
