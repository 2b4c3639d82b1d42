"""The Trainer: whole small runs on a real task with a real store and a real scoring process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from tests.checkpoints import make_old
from tests.envs.custom_grids import Registered, registered
from tests.foreign_rows import write_change
from tests.waiting import has_ended, wait_until
from vlmrb.checkpoint import latest_step
from vlmrb.config import TrainConfig, make_config, parse_lambda
from vlmrb.errors import CheckpointError, ConfigError, EnvironmentSetupError, RunBusyError, ScorerError, StoreFullError
from vlmrb.playback import Playback
from vlmrb.store import Store
from vlmrb.train import Trainer, create_run, resume, train
from vlmrb.types import RunFigures


def small(**settings: object) -> TrainConfig:
    values = {
        "env": "DoorKey-5x5",
        "scorer": "oracle",
        "total_steps": 1_600,
        "n_envs": 4,
        "learning_starts": 200,
        "batch_size": 16,
        "hidden_size": 16,
        "clip_length": 8,
        "eval_interval": 800,
        "eval_episodes": 2,
        "log_interval": 400,
        "checkpoint_interval": 400,
        "buffer_size": 5_000,
    }
    return make_config(**{**values, **settings})


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def live_clips(store: Store, run_id: int):
    return store.clips(run_id, limit=1_000_000, order="oldest")


def assert_clips_tile(store: Store, run_id: int, steps: int) -> None:
    """Every step is in exactly one clip that counts, and every clip has its frames."""
    covered = []
    for summary in live_clips(store, run_id):
        clip = store.load_clip(summary.clip_id)
        assert len(clip.snapshots) == len(clip) == summary.length
        covered += clip.item_ids.tolist()
    assert sorted(covered) == list(range(steps))


def test_a_run_stores_everything_about_itself(store: Store) -> None:
    result = train(small(), store=store)
    run = store.run(result.run_id)
    assert (run.status, run.step, run.error) == ("finished", 1_600, "")
    assert result.steps == 1_600 and result.clips == result.clips_scored == store.count_clips(run.run_id)
    assert result.positive_rate == pytest.approx(np.mean([clip.score.label for clip in live_clips(store, run.run_id)]))
    assert_clips_tile(store, run.run_id, 1_600)
    steps, rates = store.metrics(run.run_id, "eval/success_rate")
    assert steps.tolist() == [800, 1_600] and result.final_success_rate == rates[-1]
    assert {"train/td_loss", "replay/vlm_weight", "scoring/latency_s", "rollout/episodic_return"} <= set(
        store.metric_names(run.run_id)
    )
    steps, weights = store.metrics(run.run_id, "replay/vlm_weight")
    np.testing.assert_allclose(weights, [0.25, 0.5, 0.5, 0.5])
    in_clips = sorted((int(s.start_step + at * 4), e.name) for s in live_clips(store, run.run_id) for at, e in s.events)
    assert in_clips == sorted((step, event.name) for step, _, event in store.events(run.run_id))


def test_the_yes_rate_is_of_the_clips_since_the_last_point_and_beside_it_stands_what_the_simulator_saw(store: Store) -> None:
    run_id = train(small(sync_scoring=True, scorer="oracle"), store=store).run_id
    steps, rates = store.metrics(run_id, "scoring/yes_rate")
    np.testing.assert_array_equal(store.metrics(run_id, "scoring/event_rate"), (steps, rates))
    clips = np.diff(store.metrics(run_id, "scoring/clips_scored")[1], prepend=0)
    so_far = store.metrics(run_id, "scoring/positive_rate")[1]
    np.testing.assert_allclose(np.cumsum(rates * clips) / np.cumsum(clips), so_far)
    assert len(set(rates)) > 1
    silent = train(small(env="CartPole-v1", scorer="random:0.5", keep_clips=False), store=store).run_id
    assert "scoring/yes_rate" in store.metric_names(silent) and "scoring/event_rate" not in store.metric_names(silent)


@pytest.mark.parametrize("replay", ["vlm", *(pytest.param(other, marks=pytest.mark.slow) for other in ("per", "uniform"))])
def test_the_same_seed_repeats_the_run_exactly(store: Store, replay: str) -> None:
    config = small(replay=replay, total_steps=1_200, eval_interval=400, sync_scoring=True, scorer="random:0.5")
    first, second = (train(config, store=store).run_id for _ in range(2))
    for name in ("train/td_loss", "rollout/episodic_length", "eval/episodic_return"):
        for ours, theirs in zip(store.metrics(first, name), store.metrics(second, name), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert [e[1:] for e in store.episodes(first)] == [e[1:] for e in store.episodes(second)]
    third = train(config.model_copy(update={"seed": 1}), store=store).run_id
    assert [e[1:] for e in store.episodes(first)] != [e[1:] for e in store.episodes(third)]


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_a_run_with_continuous_actions_repeats_exactly_stores_clips_and_resumes(store: Store, algo: str, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    config = small(
        env="Pendulum-v1",
        algo=algo,
        scorer="random:0.5",
        sync_scoring=True,
        total_steps=320,
        n_envs=2,
        eval_episodes=1,
        learning_starts=100,
        log_interval=100,
        eval_interval=320,
        clip_length=32,
    )
    first, second = (train(config, store=store).run_id for _ in range(2))
    for name in ("train/td_loss", "eval/episodic_return"):
        for ours, theirs in zip(store.metrics(first, name), store.metrics(second, name), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert_clips_tile(store, first, 320)
    assert store.run(first).config["td_boost"] is True
    stopped = create_run(config, store=store)

    def stop(step: int, _total: int, _figures: dict) -> None:
        if step >= 160 and not store.live_changes(stopped):
            store.request_change(stopped, "stop")

    assert resume(stopped, store=store, progress=stop).steps < 320
    assert resume(stopped, store=store).steps == 320
    assert_clips_tile(store, stopped, 320)


@pytest.mark.slow
def test_a_robot_run_with_play_and_model_labels_repeats_exactly(store: Store) -> None:
    config = small(
        env="scene-singletask-task1-v0",
        algo="sac",
        scorer="embedded",
        prompt="manipulation",
        sync_scoring=True,
        total_steps=800,
        n_envs=2,
        play_steps=500,
        eval_episodes=1,
        learning_starts=100,
        log_interval=200,
        eval_interval=800,
        clip_length=32,
    )
    first, second = (train(config, store=store).run_id for _ in range(2))
    for name in ("train/td_loss", "train/alpha", "eval/episodic_return"):
        for ours, theirs in zip(store.metrics(first, name), store.metrics(second, name), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    answers = [[clip.score.probability for clip in live_clips(store, run_id)] for run_id in (first, second)]
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)  # another process may round differently
    assert len(answers[0]) >= 24 and {answer >= 0.5 for answer in answers[0]} == {True, False}


@pytest.mark.slow
def test_a_run_starts_with_scripted_play_and_says_so(store: Store) -> None:
    config = small(
        env="cube-single-singletask-task1-v0",
        algo="sac",
        total_steps=500,
        n_envs=2,
        play_steps=400,
        eval_episodes=1,
        eval_interval=500,
    )
    run = store.run(train(config, store=store).run_id)
    assert run.config["play_steps"] == 400 and "+play" in run.name
    steps, rates = store.metrics(run.run_id, "play/success_rate")
    assert steps[0] <= 400 and rates[0] > 0.0
    assert (store.metrics(run.run_id, "rollout/success_rate")[0] > 400).all()
    assert {event.name for _, _, event in store.events(run.run_id)} >= {"grasped", "lifted", "reached_target", "success"}
    clip = live_clips(store, run.run_id)[0]
    assert store.clip_snapshots(clip.clip_id).ndim == 2
    thumbnail = Playback(store).thumbnail(clip.clip_id)
    assert (thumbnail.frames, thumbnail.width, thumbnail.height) == (min(16, clip.length), 112, 112)
    assert len(set(thumbnail.frame_indices)) == 6 and {0, clip.length - 1} <= set(thumbnail.frame_indices)


def test_play_is_refused_for_environments_without_a_script(store: Store) -> None:
    with pytest.raises(ConfigError, match="play_steps: only OGBench's"):
        train(small(play_steps=100), store=store)
    with pytest.raises(ConfigError, match="play_steps: 2000 is above total_steps 1600"):
        small(play_steps=2000)
    assert store.runs() == []


def test_the_wrong_agent_is_refused_before_anything_is_written(store: Store) -> None:
    for settings in ({"env": "Pendulum-v1"}, {"algo": "sac"}):
        with pytest.raises(ConfigError, match="algo: "):
            train(small(**settings), store=store)
    assert store.runs() == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_the_agent_swings_the_pendulum_up_and_holds_it(store: Store, algo: str) -> None:
    config = make_config(
        env="Pendulum-v1",
        algo=algo,
        replay="uniform",
        total_steps=15_000,
        eval_interval=15_000,
        eval_episodes=40,
        keep_clips=False,
    )
    _, returns = store.metrics(train(config, store=store).run_id, "eval/episodic_return")
    assert returns[-1] > -200


def test_files_left_by_a_deleted_store_are_set_aside(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        with Store(str(tmp_path / "store.db")) as store:
            results.append(
                train(small(replay="uniform", scorer=None, total_steps=400, eval_interval=400, seed=len(results)), store=store)
            )
            folder = store.folder_of_run(results[-1].run_id)
        (tmp_path / "store.db").unlink()
    assert [result.steps for result in results] == [400, 400]
    assert latest_step(folder / "checkpoints") == latest_step(folder.with_name(f"{folder.name}-left-1") / "checkpoints") == 400


def test_held_out_seeds_are_never_trained_on(store: Store) -> None:
    run_id = train(small(total_steps=1_200, eval_interval=400), store=store).run_id
    assert max(episode.seed for episode in store.episodes(run_id)) < 2**30


def test_iqn_and_environments_without_snapshots_train_too(store: Store) -> None:
    result = train(
        small(env="CartPole-v1", algo="iqn", total_steps=400, scorer="reward", eval_interval=400, clip_length=4), store=store
    )
    clip = live_clips(store, result.run_id)[0]
    assert store.clip_snapshots(clip.clip_id).shape[1:] == (400, 600, 3)
    assert result.positive_rate == 1.0


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"env": "NoSuchEnv-v0"}, EnvironmentSetupError),
        ({"scorer": "psychic"}, ScorerError),
        ({"prompt": "games@99"}, ConfigError),
        ({"device": "abacus"}, ConfigError),
        ({"device": "cuda:99"}, ConfigError),
        ({"scorer": "embedded", "scorer_device": "cuda:99"}, ConfigError),
    ],
)
def test_a_run_that_cannot_start_is_refused_before_anything_is_written(store: Store, settings: dict, error: type) -> None:
    with pytest.raises(error):
        train(small(**settings), store=store)
    assert store.runs() == []


def test_a_scorer_that_fails_to_start_leaves_a_failed_run_with_the_reason(store: Store) -> None:
    with pytest.raises(ScorerError):
        train(small(scorer="hf:/no-such-folder"), store=store)
    assert store.run(1).status == "failed" and "no-such-folder" in store.run(1).error


def test_a_second_trainer_on_the_same_run_is_refused(store: Store) -> None:
    run_id = create_run(small(), store=store)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        store.claim_run(run_id, other.pid, psutil.Process(other.pid).create_time())
        with pytest.raises(RunBusyError, match=str(other.pid)):
            resume(run_id, store=store)
    finally:
        other.kill()
        other.communicate()
    assert store.run(run_id).status == "interrupted"


@pytest.mark.slow
def test_a_grid_with_wrappers_trains_on_what_they_give(store: Store) -> None:
    with registered("Own-v0", **Registered.entries["four actions"]) as env_id:
        run_id = train(small(env=env_id, total_steps=800, eval_interval=800), store=store).run_id
    assert_clips_tile(store, run_id, 800)
    clips = [store.load_clip(clip.clip_id) for clip in live_clips(store, run_id)]
    assert all((clip.rewards < 0).all() and clip.snapshots.shape[1:] == (160, 160, 3) for clip in clips)
    assert Playback(store).sheet(clips[0].clip_id).frames == len(clips[0])


def test_a_run_whose_clips_were_kept_in_another_way_is_not_resumed(store: Store) -> None:
    with registered("Own-v0", **Registered.entries["four actions"]) as env_id:
        earlier = {"kind": "minigrid", "tile_size": 32}
        run_id = store.create_run(small(env=env_id).model_dump(), render_spec=earlier, success_rule="")
        with pytest.raises(CheckpointError, match="kept clips of Own-v0 as 'minigrid' and not as 'frames'"):
            resume(run_id, store=store)


def test_a_finished_run_cannot_be_resumed(store: Store) -> None:
    run_id = train(small(total_steps=400, eval_interval=400), store=store).run_id
    with pytest.raises(CheckpointError, match="finished"):
        resume(run_id, store=store)


class Changes:
    """Requests live changes from the progress callback at given steps, bypassing the store's checks."""

    def __init__(self, store: Store, requests: dict[int, tuple[str, str]]) -> None:
        self._store, self._requests, self.heard = store, dict(requests), []

    def __call__(self, step: int, total: int, figures: RunFigures) -> None:
        self.heard.append(figures.change)
        for at in [at for at in self._requests if step >= at]:
            write_change(self._store, self._store.runs()[0].run_id, *self._requests.pop(at))


def test_live_changes_take_effect_and_say_at_which_step(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    prompt = store.save_prompt("custom", "Does the agent open a door?")
    requests = {
        100: ("lambda", "0.9"),
        500: ("lambda", "7"),
        600: ("prompt", str(prompt.prompt_id)),
        900: ("lambda", '"schedule"'),
        1000: ("dance", "1"),
    }
    changes = Changes(store, requests)
    run_id = train(small(log_interval=200), store=store, progress=changes).run_id
    done = store.live_changes(run_id)
    assert [change.status for change in done] == ["applied", "rejected", "applied", "applied", "rejected"]
    assert 100 <= done[0].applied_step <= 120 and 600 <= done[2].applied_step <= 620
    assert "7" in done[1].error and "from 0 to 1" in done[1].error
    steps, weights = store.metrics(run_id, "replay/vlm_weight")
    held, freed = done[0].applied_step, done[3].applied_step
    assert steps.tolist() == [held - 1, held, 200, 400, 600, 800, freed - 1, freed, 1_000, 1_200, 1_400, 1_600]
    np.testing.assert_allclose(weights[1:], [0.9] * 6 + [0.5] * 5)
    assert weights[0] < 0.1, "the curve jumps where λ did"
    told = [f"lambda 0.9, from step {held} on", f"prompt custom@1, from step {done[2].applied_step} on", "lambda schedule, from"]
    for words, heard in zip(told, dict.fromkeys(filter(None, changes.heard)), strict=True):
        assert heard.startswith(words)


def test_pause_holds_the_run_and_stop_leaves_it_ready_to_resume(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    changes = Changes(store, {300: ("pause", "null")})
    seen = []

    def progress(step: int, total: int, figures: dict) -> None:
        changes(step, total, figures)
        if store.run(1).status == "paused":
            seen.append(step)
            if len(seen) == 3:
                write_change(store, 1, "resume", "null")  # the former name of 'unpause'
                store.request_change(1, "stop")

    result = train(small(), store=store, progress=progress)
    assert len(set(seen)) == 1 and result.status == store.run(1).status == "stopped"
    assert seen[0] <= result.steps < 1_600
    result = resume(1, store=store)
    assert (result.status, result.steps) == ("finished", 1_600)
    assert_clips_tile(store, 1, 1_600)


def test_a_run_says_what_it_does_other_than_training(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    doing = []
    train(small(scorer="random:0.5"), store=store, progress=lambda *_: doing.append(store.run(1).counters.doing))
    assert {"", "evaluating: 0 of 2 episodes done"} <= set(doing) and any("scoring the last clips" in words for words in doing)
    assert store.run(1).counters.doing == ""


class NeverAnswers:
    frames_per_clip = 0

    def score(self, requests, prompt):
        time.sleep(3_600)

    def close(self) -> None:
        pass


def _never_answers(*_: object):
    return NeverAnswers()


def test_a_run_that_waits_for_its_last_labels_can_be_stopped(store: Store, monkeypatch) -> None:
    def progress(step: int, *_: object) -> None:
        if step >= 400:
            store.request_change(1, "stop")

    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr("vlmrb.train.labelling.make_scorer", _never_answers)
        result = train(small(total_steps=400), store=store, progress=progress)
    assert (result.status, result.steps, result.clips_scored) == ("stopped", 400, 0)
    assert resume(1, store=store).status == "finished"
    assert store.unscored_clips(1) == []


MALFORMED = [
    ("prompt", '"keys"'),
    ("prompt", "null"),
    ("prompt", "1.5"),
    ("prompt", "1e300"),
    ("prompt", "1" * 5_000),
    ("prompt", "99"),
    ("prompt", "true"),
    ("prompt", "[1]"),
    ("prompt", "{broken"),
    ("prompt", b"\xff\xfe"),
    ("lambda", '"nan"'),
    ("lambda", "NaN"),
    ("lambda", "{}"),
    ("lambda", "null"),
    ("lambda", "1" + "0" * 400),
    ("lambda", "[" * 100_000),
    ("pause", "5"),
    ("resume", "[]"),
    ("stop", '"now"'),
    ("dance", "null"),
    ("", "null"),
    ("x" * 100_000, "null"),
    (b"\xff", "null"),
]


def test_malformed_changes_are_rejected_with_a_reason_and_the_run_finishes(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    requests = {100 + 10 * number: row for number, row in enumerate(MALFORMED)} | {1_000: ("lambda", "0.5")}
    assert train(small(), store=store, progress=Changes(store, requests)).status == "finished"
    *odd, last = store.live_changes(1)
    assert [change.status for change in odd] == ["rejected"] * len(MALFORMED)
    assert all(10 < len(change.error) < 300 for change in odd)
    assert (last.status, last.value) == ("applied", 0.5)


@pytest.mark.slow
def test_a_crashed_run_with_malformed_changes_pending_resumes_and_finishes(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    with pytest.raises(RuntimeError):
        train(small(), store=store, progress=_fail)
    for name, value in MALFORMED:
        write_change(store, 1, name, value)
    assert resume(1, store=store).status == "finished"
    assert {change.status for change in store.live_changes(1)} == {"rejected"}


@pytest.mark.slow
def test_a_stop_while_a_resumed_run_loads_is_obeyed(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    with pytest.raises(RuntimeError):
        train(small(), store=store, progress=_fail)
    load = Trainer.__init__

    def stopped_while_it_loads(self: Trainer, *arguments: object, **options: object) -> None:
        store.request_change(1, "stop")
        load(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "__init__", stopped_while_it_loads)
    assert resume(1, store=store).status == "stopped"
    assert [change.status for change in store.live_changes(1)] == ["applied"]


def test_a_stop_that_came_too_late_does_not_stop_the_resumed_run(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    with pytest.raises(RuntimeError):
        train(small(), store=store, progress=_fail)
    store.request_change(1, "stop")
    assert resume(1, store=store).status == "finished"
    assert [(c.status, c.error) for c in store.live_changes(1)] == [("rejected", "requested before the run was resumed")]


def _fail(*_: object) -> None:
    raise RuntimeError("power failure")


def test_when_scoring_fails_training_continues_and_says_so(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    run_id = create_run(small(), store=store)
    _claim(store, run_id)
    trainer = Trainer(run_id, small(), store, lambda step, *_: _break(trainer) if step >= 400 else None)
    result = trainer.run()
    assert (result.status, result.steps) == ("finished", 1_600)
    assert "scoring failed at step" in store.run(run_id).error
    assert 0 < result.clips_scored < result.clips and result.dropped > 0


def test_when_scoring_fails_the_run_can_be_configured_to_stop(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    config = small(on_scorer_failure="stop")
    run_id = create_run(config, store=store)
    _claim(store, run_id)
    trainer = Trainer(run_id, config, store, lambda step, *_: _break(trainer) if step >= 400 else None)
    with pytest.raises(ScorerError):
        trainer.run()
    assert store.run(run_id).status == "failed"


def _claim(store: Store, run_id: int) -> None:
    store.claim_run(run_id, os.getpid(), psutil.Process().create_time())


def _break(trainer: Trainer) -> None:
    """Kill the scoring process and make restarting it fail."""
    worker = trainer._labelling.worker
    worker._start_process = lambda: (_ for _ in ()).throw(EOFError("gone"))
    worker._process.kill()


def test_a_scoring_process_killed_mid_run_loses_no_scores(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    killed = []

    def progress(step: int, *_: object) -> None:
        if step >= 500 and not killed:
            killed.append(trainer._labelling.worker.pid)
            os.kill(killed[0], signal.SIGKILL)

    run_id = create_run(small(sync_scoring=True), store=store)
    _claim(store, run_id)
    trainer = Trainer(run_id, small(sync_scoring=True), store, progress)
    result = trainer.run()
    assert trainer._labelling.worker.restarts == 1
    assert result.clips == result.clips_scored and store.unscored_clips(run_id) == []


def test_sigterm_ends_the_run_with_a_checkpoint(store: Store) -> None:
    run_id = create_run(small(total_steps=200_000), store=store)
    process = _spawn_resume(store, run_id)
    _wait_until(lambda: store.run(run_id).step > 400, process, "400 steps")
    process.terminate()
    assert process.wait(timeout=60) == 0
    run = store.run(run_id)
    assert run.status == "interrupted" and run.step > 400
    assert latest_step(store.folder_of_run(run_id) / "checkpoints") == run.step
    assert_clips_tile(store, run_id, run.step)


def _spawn_resume(store: Store, run_id: int) -> subprocess.Popen:
    code = "import sys; from vlmrb.store import Store; from vlmrb.train import resume\n"
    code += "if __name__ == '__main__': resume(int(sys.argv[2]), store=Store(sys.argv[1]))"
    script = store.folder_of_run(run_id).parent / "resume.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(code)
    return subprocess.Popen([sys.executable, str(script), store.url, str(run_id)])


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen, what: str) -> None:
    """Wait for a condition while the trainer is alive."""

    def happened() -> bool:
        assert process.poll() is None, f"the trainer exited by itself with {process.returncode}"
        return condition()

    wait_until(happened, what)


def kill_and_resume(store: Store, kills: int) -> None:
    """Send SIGKILL at random moments and check the store each time, then resume the run for a while and stop it."""
    rng = random.Random(0)
    run_id = create_run(small(total_steps=10**7, checkpoint_interval=200, eval_interval=400), store=store)
    seen: set[int] = set()
    for _ in range(kills):
        process = _spawn_resume(store, run_id)
        _wait_until(lambda: store.run(run_id).status == "running", process, "the run to resume")
        # A delay rather than an event, so that kills also land in the middle of a write.
        # The assertions do not depend on how far the trainer has got.
        time.sleep(rng.uniform(0.0, 4.0))
        helpers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        wait_until(lambda: all(has_ended(helper) for helper in helpers), "the killed trainer's scoring process to end")  # noqa: B023
        assert store.run(run_id).status == "interrupted"
        assert store.check() == []
        everything = {clip.clip_id for clip in store.clips(run_id, superseded=True, limit=1_000_000)}
        assert seen <= everything, "a stored clip has disappeared"
        seen = everything
        for clip_id in rng.sample(sorted(seen), min(5, len(seen))):
            assert len(store.clip_snapshots(clip_id)) == store.clip(clip_id).length
    checkpoint = latest_step(store.folder_of_run(run_id) / "checkpoints") or 0
    process = _spawn_resume(store, run_id)
    _wait_until(lambda: store.run(run_id).step > checkpoint + 400, process, "400 more steps")
    store.request_change(run_id, "stop")
    assert process.wait(timeout=120) == 0
    run = store.run(run_id)
    assert run.status == "stopped"
    assert_clips_tile(store, run_id, run.step)
    assert seen <= {clip.clip_id for clip in store.clips(run_id, superseded=True, limit=1_000_000)}
    steps, _ = store.metrics(run_id, "eval/success_rate")
    cut_short = [run.step] if run.step % 400 == 0 and run.step not in steps.tolist() else []  # the stop came during this one
    assert steps.tolist() + cut_short == list(range(400, run.step + 1, 400))
    ends = [episode.step for episode in store.episodes(run_id)]
    assert len(ends) == len(set(ends))


def test_a_run_killed_at_random_moments_resumes_and_loses_nothing(store: Store) -> None:
    kill_and_resume(store, kills=2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_twenty_times_resumes_and_loses_nothing(store: Store) -> None:
    kill_and_resume(store, kills=20)


def test_a_damaged_checkpoint_says_so(store: Store) -> None:
    run_id = train(small(total_steps=400, eval_interval=400), store=store).run_id
    folder = store.folder_of_run(run_id) / "checkpoints" / "step-000000000400"
    (folder / "state.json").write_text("{")
    store.release_run(run_id, "stopped")
    with pytest.raises(CheckpointError, match="damaged"):
        resume(run_id, store=store)
    assert store.run(run_id).status == "stopped"


def test_a_checkpoint_from_a_different_version_says_so(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    checkpoints = store.folder_of_run(1) / "checkpoints"

    def stop(step: int, *_: object) -> None:
        if latest_step(checkpoints):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small(checkpoint_interval=40), store=store, progress=stop)
    file = max(checkpoints.glob("step-*")) / "tensors.pt"
    make_old(file.parent)
    tensors = torch.load(file, weights_only=True)
    first = next(name for name, value in tensors.items() if isinstance(value, dict))
    torch.save(tensors | {first: {"another": torch.zeros(1)}}, file)
    with pytest.raises(
        CheckpointError, match=r"written by a different version \(its dqn networks differ\) and cannot be resumed"
    ):
        resume(1, store=store)


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), "x", [1]])
def test_an_invalid_live_lambda_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        parse_lambda(value)


def test_training_in_a_thread_leaves_signals_alone(store: Store) -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append(train(small(total_steps=400, eval_interval=400), store=store)))
    thread.start()
    thread.join(timeout=120)
    assert results[0].status == "finished"


def test_a_run_that_crashes_again_before_its_next_checkpoint_still_counts_each_step_once(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)

    def crash_at(last: int):
        def progress(step: int, *_: object) -> None:
            if step >= last:
                raise RuntimeError("power failure")

        return progress

    with pytest.raises(RuntimeError):  # the checkpoint at step 400 contains open clips
        train(small(clip_length=32), store=store, progress=crash_at(500))
    with pytest.raises(RuntimeError):
        resume(1, store=store, progress=crash_at(401))
    resume(1, store=store)
    assert_clips_tile(store, 1, 1_600)


def test_a_full_disk_ends_the_run_with_a_clear_message_and_it_resumes_once_there_is_space(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let tests mount a disk")
    try:
        with Store(str(disk / "store.db")) as store:
            with pytest.raises((StoreFullError, CheckpointError), match=r"no space left|cannot be written"):
                train(small(), store=store)
            assert store.check() == []
            subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
            assert resume(1, store=store).status == "finished"
            assert_clips_tile(store, 1, 1_600)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # the failed run may still have a file open on it
