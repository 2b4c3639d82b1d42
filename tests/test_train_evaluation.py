"""A run that is being evaluated: alive, and as obedient as one that trains."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.odd_environments import env_id
from vlmrb.config import TrainConfig, make_config
from vlmrb.store import Store
from vlmrb.train import create_run, resume, train
from vlmrb.types import SUCCESS


@pytest.fixture
def store(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def small(name: str = env_id("Endless"), **settings: object) -> TrainConfig:
    values = {"env": name, "replay": "uniform", "scorer": None, "keep_clips": False, "total_steps": 40, "n_envs": 2,
              "learning_starts": 8, "batch_size": 8, "hidden_size": 8, "eval_interval": 20, "eval_episodes": 2,
              "eval_max_steps": 15}  # fmt: skip
    return make_config(**{**values, **settings})


def test_a_task_without_a_time_limit_finishes_and_says_once_what_was_cut_off(store: Store) -> None:
    warnings = []
    result = train(small("CliffWalking-v1"), store=store, progress=lambda step, total, figures: warnings.append(figures.warning))
    run = store.run(1)
    assert (result.status, run.status, result.final_success_rate) == ("finished", "finished", 0.0)
    assert set(warnings) == {"", run.counters.environment_notice}
    assert "cut off after 15 steps, for the first time at step 20" in run.counters.environment_notice
    assert store.metrics(1, "eval/episodic_length")[1].tolist() == [15.0, 15.0]


def during_evaluation(store: Store, act: Callable[[int], None]) -> Callable[..., None]:
    """A progress callback that acts in the middle of the evaluation at step 20: at the fifth heartbeat of that step."""
    seen: list[int] = []

    def progress(step: int, *_: object) -> None:
        seen.append(step)
        if seen.count(20) == 5 and step == 20:
            act(store.runs()[0].run_id)

    return progress


@pytest.mark.parametrize("end", ["stop", "signal"])
def test_a_run_can_be_ended_in_an_evaluation_without_end_and_makes_up_for_it_later(store: Store, end: str) -> None:
    def act(run_id: int) -> None:
        if end == "stop":
            store.request_change(run_id, "stop")
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = train(small(), store=store)
    run_id = create_run(small(), store=store)
    result = resume(run_id, store=store, progress=during_evaluation(store, act))
    assert (result.status, result.steps) == ("stopped" if end == "stop" else "interrupted", 20)
    assert SUCCESS not in store.metric_names(run_id)
    result = resume(run_id, store=store)
    assert (result.status, result.steps, result.final_success_rate) == ("finished", whole.steps, whole.final_success_rate)
    assert store.metrics(run_id, SUCCESS)[0].tolist() == [20, 40]


def test_a_run_stopped_in_its_last_evaluation_is_not_finished(store: Store) -> None:
    run_id = create_run(small(eval_interval=1_000, total_steps=20), store=store)
    stop = during_evaluation(store, lambda run_id: store.request_change(run_id, "stop"))
    assert resume(run_id, store=store, progress=stop).status == store.run(run_id).status == "stopped"
    assert resume(run_id, store=store).status == "finished"
    assert store.metrics(run_id, SUCCESS)[0].tolist() == [20]


def test_a_run_can_be_paused_in_an_evaluation_and_its_heart_beats(store: Store) -> None:
    beats, statuses = [], []

    def pause(run_id: int) -> None:
        store.request_change(run_id, "pause")

    act = during_evaluation(store, pause)

    def progress(step: int, *rest: object) -> None:
        act(step, *rest)
        run = store.run(1)
        statuses.append(run.status)
        beats.append(run.heartbeat_at)
        if statuses.count("paused") == 3:
            store.request_change(1, "unpause")

    assert train(small(), store=store, progress=progress).status == "finished"
    assert statuses.count("paused") >= 3 and beats == sorted(beats) and len(set(beats)) > 20


@pytest.mark.parametrize("where", ["training", "evaluation"])
def test_a_second_interruption_ends_the_run_at_once_as_interrupted(store: Store, where: str) -> None:
    def twice(_run_id: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    def in_training(step: int, *_: object) -> None:
        if step == 10:
            twice(1)

    run_id = create_run(small(), store=store)
    with pytest.raises(KeyboardInterrupt):
        resume(run_id, store=store, progress=in_training if where == "training" else during_evaluation(store, twice))
    run = store.run(run_id)
    assert run.status == "interrupted" and "KeyboardInterrupt" not in run.error
    assert f"ended at once at step {10 if where == 'training' else 20}" in run.error
    assert resume(run_id, store=store).status == "finished"


def test_an_environment_that_cannot_be_closed_does_not_keep_the_run_from_ending(store: Store) -> None:
    assert train(small(env_id("ClosesBadly"), eval_max_steps=None), store=store).status == store.run(1).status == "finished"
