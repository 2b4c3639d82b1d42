"""Real small runs with their checkpoints elsewhere: resumed on another machine, branched, deleted, and what they say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import s3
from tests.waiting import wait_until
from vlmrb.__main__ import main
from vlmrb.branching import branch, branch_points
from vlmrb.config import TrainConfig, make_config
from vlmrb.errors import CheckpointError
from vlmrb.jobs import delete_run
from vlmrb.places import PARENT, RESUME, Remote, place_of
from vlmrb.store import Store
from vlmrb.train import Trainer, create_run, outage, resume, train
from vlmrb.types import RunFigures


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def small(place: str, **settings: object) -> TrainConfig:
    values = {
        "env": "CartPole-v1", "replay": "per", "keep_clips": False, "total_steps": 400, "n_envs": 4, "learning_starts": 50,
        "batch_size": 8, "train_freq": 8, "hidden_size": 8, "eval_interval": 1_000, "eval_episodes": 1, "log_interval": 100,
        "checkpoint_interval": 100, "buffer_size": 1_000, "checkpoints": place,
    }  # fmt: skip
    return make_config(**values | settings)


def trained_until(store: Store, config: TrainConfig, step: int) -> int:
    """A run that was interrupted there; its id."""
    run_id = create_run(config, store=store)
    store.claim_run(run_id, *_process())
    trainer = Trainer(run_id, config, store, lambda at, *_: trainer._interrupt() if at >= step else None)
    assert trainer.run().status == "interrupted"
    return run_id


def _process() -> tuple[int, float]:
    import psutil

    return psutil.Process().pid, psutil.Process().create_time()


def on_another_machine(store: Store) -> None:
    """All that this machine has of the runs is gone."""
    shutil.rmtree(store.folder_of_run(1).parent)


@pytest.mark.parametrize("kind", ["a folder", "s3"])
def test_a_run_is_resumed_on_another_machine_as_if_it_had_stayed(
    store: Store, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    place = str(tmp_path / "shared") if kind == "a folder" else f"{request.getfixturevalue('bucket')}/runs"
    moved, stayed = (trained_until(store, small(where), 200) for where in (place, "local"))
    kept = store.folder_of_run(stayed).rename(tmp_path / "kept")
    on_another_machine(store)
    store.folder_of_run(stayed).parent.mkdir()
    kept.rename(store.folder_of_run(stayed))
    for run_id in (moved, stayed):
        assert resume(run_id, store=store).status == "finished"
        assert store.run(run_id).error == ""
    (steps, values), (others, same) = (store.metrics(run_id, "train/td_loss") for run_id in (moved, stayed))
    assert list(steps) == list(others) and list(values) == list(same)
    (last,) = place_of(store, store.run(moved)).checkpoints(RESUME)
    assert last.step == 400 and not last.has_buffer  # of a finished run
    delete_run(store, moved)
    there = list((tmp_path / "shared").iterdir()) if kind == "a folder" else Remote(place).files()
    assert not there


def test_a_branch_has_its_checkpoint_where_its_parent_has_it_until_it_has_finished(store: Store, bucket: str) -> None:
    parent = train(small(f"{bucket}/runs", keep_checkpoints="every:200"), store=store).run_id
    (first, second) = branch_points(store, parent)
    assert (first.step, first.kept, first.size > 0, second.step) == (200, True, True, 400)
    assert first.path.startswith(f"{bucket}/runs/run-{parent}-")
    on_another_machine(store)
    (child,) = branch(store, parent, 200, [{"replay": "uniform"}])
    assert not store.folder_of_run(child).exists()  # nothing came through this machine
    delete_run(store, parent)
    place = place_of(store, store.run(child))
    assert [each.step for each in place.checkpoints(PARENT)] == [200]
    assert resume(child, store=store).status == "finished"
    assert place.checkpoints(PARENT) == [] and store.run(child).error == ""


def test_training_goes_on_while_the_place_is_away_and_the_end_says_what_is_missing(
    store: Store, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmrb.places.remote._TRIES", 1)
    monkeypatch.setattr(outage, "FINAL_WAIT_S", 0.5)
    line = s3.Line(moto)
    s3.reach(line.endpoint, monkeypatch)
    place = f"{s3.make_bucket(line.endpoint)}/runs"
    run_id = create_run(small(place), store=store)
    store.claim_run(run_id, *_process())
    warnings: list[str] = []

    def cut(step: int, _: int, figures: RunFigures) -> None:
        if step >= 150:
            line.cut_after(0)
        if step >= 300 and not warnings:
            wait_until(lambda: trainer._place.notice, "a notice", 20.0)
        warnings.extend([figures.warning] if step >= 300 else [])

    trainer = Trainer(run_id, small(place), store, cut)
    result = trainer.run()
    line.cut_after(None)
    assert (result.status, result.steps) == ("finished", 400)
    assert any("Training continues, and its checkpoints are sent with the next one" in warning for warning in warnings)
    error = store.run(run_id).error
    assert f"{place}/run-{run_id}-" in error and "on this machine only" in error and "see that it is reachable" in error
    assert not any(secret in error for secret in s3.ENVIRONMENT.values())
    line.close()


def test_a_place_that_cannot_be_reached_changes_nothing_of_a_run(
    store: Store, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = trained_until(store, small(f"{bucket}/runs"), 200)
    before = store.run(run_id)
    monkeypatch.setattr("vlmrb.places.remote._TRIES", 1)
    with s3.refusing(403, "AccessDenied", "no") as endpoint:
        s3.reach(endpoint, monkeypatch)
        with pytest.raises(CheckpointError, match="check the credentials"):
            resume(run_id, store=store)
        assert store.run(run_id) == before
        assert main(["show", str(run_id), "--store", store.url]) == 0
        assert "check the credentials" in capsys.readouterr().out
        with pytest.raises(CheckpointError, match=rf"run {run_id} is deleted, but its checkpoints are still in {bucket}/runs"):
            delete_run(store, run_id)
    assert before.status == "interrupted" and store.runs() == []


def test_a_backup_says_whose_checkpoints_stay_where_they_are(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small(str(tmp_path / "shared")), store=store)
    trained_until(store, small("local"), 200)
    assert main(["doctor", "--backup", str(tmp_path / "copy.db"), "--store", store.url]) == 0
    assert "of run 2 (" in (said := capsys.readouterr().out) and "those of run 1 stay where --checkpoints put them" in said
