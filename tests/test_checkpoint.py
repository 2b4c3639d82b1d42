"""Checkpoints: believed only if whole, never lost while one replaces another, and of no use to a run of other settings."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import event

from tests.checkpoints import make_old
from vlmrb.__main__ import main
from vlmrb.checkpoint import latest_step, load_checkpoint, save_checkpoint
from vlmrb.config import TrainConfig, make_config
from vlmrb.errors import CheckpointError
from vlmrb.store import Store, runs_folder
from vlmrb.train import create_run, resume, train
from vlmrb.types import CLOCK_S, RUNNING_S


def small(**settings: object) -> TrainConfig:
    values = {
        "env": "DoorKey-5x5",
        "scorer": "oracle",
        "total_steps": 1_600,
        "n_envs": 4,
        "learning_starts": 200,
        "batch_size": 16,
        "hidden_size": 8,
        "clip_length": 8,
        "eval_interval": 1_600,
        "eval_episodes": 1,
        "log_interval": 400,
        "checkpoint_interval": 400,
        "buffer_size": 2_000,
    }
    return make_config(**{**values, **settings})


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with run 1, which crashed after step 1,300; its checkpoints are those of steps 800 and 1,200."""
    path = tmp_path_factory.mktemp("stopped") / "store.db"

    def crash(step: int, *_: object) -> None:
        if step >= 1_300:
            raise RuntimeError("power failure")

    with pytest.MonkeyPatch.context() as patch, Store(str(path)) as store:
        patch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
        with pytest.raises(RuntimeError):
            train(small(), store=store, progress=crash)
    return path


@pytest.fixture
def copied(stopped: Path, tmp_path: Path):
    """A copy of that store, open."""
    shutil.copy(stopped, tmp_path / "store.db")
    shutil.copytree(runs_folder(stopped), tmp_path / "store-runs")
    with Store(str(tmp_path / "store.db"), create=False) as store:
        yield store


def checkpoints_of(store: Store) -> Path:
    return store.folder_of_run(1) / "checkpoints"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def newest(folder: Path) -> Path:
    return folder / f"step-{latest_step(folder):012d}"


def everything_of(store: Store) -> tuple[object, ...]:
    """What a resume that fails must leave alone."""
    run = store.run(1)
    clips = [(clip.clip_id, clip.superseded) for clip in store.clips(1, superseded=True, limit=10_000)]
    rows = (run.status, run.error, run.step, run.started_at, run.ended_at, run.heartbeat_at, run.pid)
    curves = [array.tolist() for name in store.metric_names(1) for array in store.metrics(1, name)]
    return *rows, clips, store.episodes(1), repr(curves)


def write(folder: Path, step: int) -> None:
    save_checkpoint(folder, step, {"value": step}, {"weight": torch.full((3,), float(step))}, {"numbers": np.arange(step)})


# -- which checkpoint is used


def test_the_time_between_a_crash_and_the_resume_counts_by_the_clock_and_not_as_running(copied: Store) -> None:
    day_s, writer = 86_400.0, copied.writer(1)
    for step, at in zip(*copied.metrics(1, CLOCK_S), strict=True):  # the crash was yesterday
        writer.add_metric(CLOCK_S, step, at - day_s)
    writer.flush()
    resume(1, store=copied)
    (steps, wall), (_, running) = copied.metrics(1, CLOCK_S), copied.metrics(1, RUNNING_S)
    assert steps.tolist() == [0, 400, 800, 1_200, 1_600]
    assert wall[-1] - wall[3] > day_s and 0 < running[-1] - running[3] < day_s
    assert (np.diff(running) > 0).all()


def test_the_newest_two_checkpoints_are_kept_and_only_the_last_of_a_finished_run(copied: Store) -> None:
    folder = checkpoints_of(copied)
    assert names(folder) == ["step-000000000800", "step-000000001200"]
    assert resume(1, store=copied).status == "finished"
    assert names(folder) == ["step-000000001600"]
    assert copied.run(1).error == ""


def test_none_of_five_hundred_flipped_bits_is_accepted(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    shutil.copytree(newest(runs_folder(stopped) / "1" / "checkpoints"), folder / "step-000000001200")
    files = sorted(path for path in (folder / "step-000000001200").rglob("*") if path.is_file())
    rng = random.Random(0)
    for number in range(500):
        file = files[number % len(files)]
        whole = file.read_bytes()
        changed = bytearray(whole)
        changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        notes: list[str] = []
        assert load_checkpoint(folder, notes.append) is None, file
        assert len(notes) == 1 and "is damaged" in notes[0]
        (aside,) = folder.iterdir()
        assert aside.name == "damaged-step-000000001200"
        aside.rename(folder / "step-000000001200")
        file.write_bytes(whole)
    assert load_checkpoint(folder) is not None


DAMAGE = {
    "truncated": lambda folder: os.truncate(folder / "tensors.pt", 1_000),
    "emptied": lambda folder: (folder / "state.json").write_text(""),
    "missing": lambda folder: (folder / "arrays" / "buffer.rewards.npy").unlink(),
    "without checksums": lambda folder: (folder / "SHA256SUMS").unlink(),
    "extra": lambda folder: (folder / "arrays" / "more.npy").write_bytes(b"x"),
    "extra folder": lambda folder: (folder / "more").mkdir(),
    "renamed": lambda folder: (folder / "arrays" / "buffer.rewards.npy").rename(folder / "arrays" / "buffer.reward.npy"),
    "a pipe": lambda folder: os.mkfifo(folder / "arrays" / "pipe.npy"),
    "emptied folder": lambda folder: [shutil.rmtree(folder), folder.mkdir()],
    "renamed folder": lambda folder: folder.rename(folder.with_name("step-000000009999")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_is_used(tmp_path: Path, damage: str) -> None:
    for step in (400, 800):
        save_checkpoint(tmp_path, step, {}, {"weight": torch.zeros(500)}, {"buffer.rewards": np.arange(step)})
    DAMAGE[damage](tmp_path / "step-000000000800")
    notes: list[str] = []
    state, _, arrays = load_checkpoint(tmp_path, notes.append)
    assert state["step"] == len(arrays["buffer.rewards"]) == 400
    assert len(notes) == 1 and "was set aside as damaged-step-00000000" in notes[0]
    assert latest_step(tmp_path) == 400


def test_a_run_whose_newest_checkpoint_is_damaged_resumes_from_the_one_before_and_says_so(copied: Store) -> None:
    folder = checkpoints_of(copied)
    (newest(folder) / "tensors.pt").write_bytes(b"nothing")
    assert resume(1, store=copied).steps == 1_600
    run = copied.run(1)
    assert run.status == "finished" and "tensors.pt has changed" in run.error and "was set aside" in run.error
    assert names(folder) == ["damaged-step-000000001200", "step-000000001600"]
    covered = [step for clip in copied.clips(1, limit=10_000) for step in copied.load_clip(clip.clip_id).item_ids.tolist()]
    assert sorted(covered) == list(range(1_600))


def test_damaged_checkpoints_do_not_pile_up(tmp_path: Path) -> None:
    for step in range(1, 6):
        write(tmp_path, step)
        (tmp_path / f"step-{step:012d}" / "tensors.pt").write_bytes(b"")
        assert load_checkpoint(tmp_path) is None
    write(tmp_path, 9)
    assert [name for name in names(tmp_path) if name.startswith("damaged")] == [f"damaged-step-{at:012d}" for at in (4, 5)]


def test_whatever_else_is_in_the_folder_is_ignored_and_left_there(tmp_path: Path) -> None:
    strange = [
        "step-",
        "step-abc",
        "step--00000000001",
        "step-٠٠٠٠٠٠٠٠٠٠٠٤",
        "step-1",
        "step-000000000004 (copy)",
        "damaged-notes",
        "x",
    ]
    for name in strange:
        (tmp_path / name).mkdir()
    (tmp_path / "step-000000099999").write_text("a file")
    assert latest_step(tmp_path) is None and load_checkpoint(tmp_path) is None
    for step in (1, 2, 3):
        write(tmp_path, step)
    assert load_checkpoint(tmp_path)[0]["value"] == 3
    assert set(strange) < set(names(tmp_path))


def test_a_checkpoint_of_a_newer_version_is_refused_and_not_called_damaged(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.checkpoint.FORMAT", 3)
    write(tmp_path, 1)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="newer version"):
        load_checkpoint(tmp_path)
    assert names(tmp_path) == ["step-000000000001"]


def test_a_checkpoint_from_before_there_were_checksums_still_resumes(copied: Store) -> None:
    folder = checkpoints_of(copied)
    for path in folder.iterdir():
        make_old(path)
    assert resume(1, store=copied).status == "finished"
    assert copied.run(1).error == ""


@pytest.mark.parametrize("missing", ["numbers", "rngs", "recorder", "pending", "prompt_id", "counters", "buffer.rewards"])
def test_an_old_checkpoint_that_lacks_a_part_is_refused_in_words(copied: Store, missing: str) -> None:
    folder = newest(checkpoints_of(copied))
    make_old(folder)
    if missing.startswith("buffer"):
        (folder / "arrays" / f"{missing}.npy").unlink()
    else:
        state = json.loads((folder / "state.json").read_text())
        del state[missing]
        (folder / "state.json").write_text(json.dumps(state))
    before = everything_of(copied)
    with pytest.raises(CheckpointError, match="start a new run"):
        resume(1, store=copied)
    assert everything_of(copied) == before


# -- replacing a checkpoint


def test_a_kill_at_any_moment_of_a_replacement_leaves_a_whole_checkpoint(tmp_path: Path, monkeypatch) -> None:
    """Stop before each change to the file system, and start from what is there then."""
    calls: list[int] = []

    class Killed(BaseException):
        pass

    def dying(real, at: int):
        def call(*arguments, **options):
            calls.append(1)
            if len(calls) == at:
                raise Killed
            return real(*arguments, **options)

        return call

    for at in range(1, 100):
        folder = tmp_path / str(at)
        for step in (1, 2):
            write(folder, step)
        calls.clear()
        with monkeypatch.context() as patch:
            for where, name in ((Path, "rename"), (Path, "mkdir"), (Path, "write_text"), (shutil, "rmtree"), (np, "save")):
                patch.setattr(where, name, dying(getattr(where, name), at))
            with contextlib.suppress(Killed):
                write(folder, 2)
        notes: list[str] = []
        state, tensors, arrays = load_checkpoint(folder, notes.append)
        assert state["value"] == tensors["weight"][0] == len(arrays["numbers"]) == 2
        assert notes == []
        write(folder, 3)
        assert load_checkpoint(folder)[0]["value"] == 3
        assert names(folder) in (["step-000000000002", "step-000000000003"], ["replaced-step-000000000002", "step-000000000003"])
        if len(calls) < at:
            break
    else:
        pytest.fail("the replacement never ran to its end")
    assert at > 8


# -- resuming


def test_a_checkpoint_of_other_settings_is_refused_in_words_and_changes_nothing(copied: Store) -> None:
    run_id = create_run(small(seed=7, gamma=0.9), store=copied)
    copied.folder_of_run(run_id).mkdir(parents=True)
    shutil.copytree(checkpoints_of(copied), copied.folder_of_run(run_id) / "checkpoints")
    copied.release_run(run_id, "stopped")
    with pytest.raises(CheckpointError, match=r"other settings \(seed 0 instead of 7, gamma 0\.99 instead of 0\.9\)"):
        resume(run_id, store=copied)
    assert copied.run(run_id).status == "stopped"


def test_a_resume_without_a_checkpoint_erases_nothing_and_names_the_ways_out(copied: Store) -> None:
    folder = checkpoints_of(copied)
    folder.rename(folder.with_name("elsewhere"))
    before = everything_of(copied)
    with pytest.raises(CheckpointError, match=r"has trained to step 1.* but it has no whole checkpoint.*new run.*--from-start"):
        resume(1, store=copied)
    assert everything_of(copied) == before
    folder.with_name("elsewhere").rename(folder)
    assert resume(1, store=copied).status == "finished"


def test_without_a_checkpoint_a_run_starts_over_if_that_is_asked_for(copied: Store) -> None:
    store = ("--store", copied.url)
    assert main(["train", "--resume", "1", "--from-start", *store, "--quiet"]) == 2  # it has a checkpoint
    shutil.rmtree(checkpoints_of(copied))
    assert main(["train", "--resume", "1", *store, "--quiet"]) == 2
    assert main(["train", "--resume", "1", "--from-start", *store, "--quiet"]) == 0
    assert (copied.run(1).status, copied.run(1).step) == ("finished", 1_600)
    assert sum(clip.length for clip in copied.clips(1, limit=10_000)) == 1_600


def test_a_run_that_ended_before_its_first_step_starts(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        run_id = create_run(small(total_steps=200, eval_interval=200), store=store)
        store.claim_run(run_id, 2**22 - 3, 1.0)  # a process that does not exist
        assert store.run(run_id).status == "interrupted"
        assert resume(run_id, store=store).status == "finished"


def test_a_run_killed_before_its_first_interval_is_over_resumes_from_step_0(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)

    def crash(step: int, *_: object) -> None:
        if step >= 100:
            raise RuntimeError("power failure")

    with Store(str(tmp_path / "store.db")) as store:
        with pytest.raises(RuntimeError):
            train(small(total_steps=400, eval_interval=400), store=store, progress=crash)
        assert store.has_begun(1) and names(checkpoints_of(store)) == ["step-000000000000"]
        assert resume(1, store=store).status == "finished"
        assert sum(clip.length for clip in store.clips(1, limit=10_000)) == 400


def test_a_run_killed_after_its_last_checkpoint_is_finished_by_a_resume(copied: Store) -> None:
    result = resume(1, store=copied)
    clips = [(clip.clip_id, clip.superseded) for clip in copied.clips(1, superseded=True, limit=10_000)]
    copied.claim_run(1, 2**22 - 3, 1.0)
    again = resume(1, store=copied)
    assert (again.status, again.steps, again.clips) == ("finished", 1_600, result.clips)
    assert again.final_success_rate == result.final_success_rate
    assert [(clip.clip_id, clip.superseded) for clip in copied.clips(1, superseded=True, limit=10_000)] == clips


def test_clips_that_are_missing_in_the_store_do_not_stop_a_resume(copied: Store) -> None:
    folder = newest(checkpoints_of(copied))
    make_old(folder)
    state = json.loads((folder / "state.json").read_text())
    kept = copied.clips(1, limit=1)[0].clip_id
    (folder / "state.json").write_text(json.dumps(state | {"pending": [kept, 10_001, 10_002], "prompt_id": 99}))
    assert resume(1, store=copied).status == "finished"
    error = copied.run(1).error
    assert "2 clips that were pending at step 1200 are missing from the store; training continues without them" in error
    assert "prompt 99 is not in the store" in error


def test_the_store_is_synced_before_a_checkpoint_counts(copied: Store, monkeypatch) -> None:
    happened: list[int | str] = []
    event.listen(copied._writing, "commit", lambda c: happened.append(c.exec_driver_sql("PRAGMA synchronous").scalar()))
    save = save_checkpoint

    def saved(*arguments: object, **options: object) -> None:
        happened.append("checkpoint")
        save(*arguments, **options)

    monkeypatch.setattr("vlmrb.train.resuming.save_checkpoint", saved)
    resume(1, store=copied)
    at = [index for index, what in enumerate(happened) if what == "checkpoint"]
    normal, full = 1, 2
    assert at and all(happened[index - 1] == full for index in at)
    assert normal in happened


# -- backups


def backed_up(store: Store, target: Path) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(["doctor", "--store", store.url, "--backup", str(target)])
    return out.getvalue()


def test_a_run_resumes_from_a_backup_with_its_checkpoint(copied: Store, tmp_path: Path) -> None:
    (newest(checkpoints_of(copied)) / "state.json").write_text("{")
    assert f"checkpoints in {tmp_path / 'copy-runs'} of run 1 (" in backed_up(copied, tmp_path / "copy.db")
    with Store(str(tmp_path / "copy.db"), create=False) as copy:
        assert names(checkpoints_of(copy)) == ["step-000000000800"]  # the newest whole one
        assert resume(1, store=copy).steps == 1_600
    assert copied.run(1).status == "failed"
    assert "already exists" in backed_up(copied, tmp_path / "copy.db")


def test_a_backup_says_which_runs_it_has_no_checkpoint_of(copied: Store, tmp_path: Path) -> None:
    shutil.rmtree(checkpoints_of(copied))
    said = backed_up(copied, tmp_path / "copy.db")
    assert "no run has a checkpoint; left out" in said and "from this copy: run 1; logs are left out" in said
