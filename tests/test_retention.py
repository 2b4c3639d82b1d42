"""Which clips stay: by setting, by what needs them, and what `gc` removes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.store.samples import clip, draws, new_run, score
from tests.test_cli import vlmrb
from vlmrb import housekeeping
from vlmrb.branching import branch
from vlmrb.config import make_config
from vlmrb.errors import ConfigError, StoreFullError
from vlmrb.housekeeping import delete_surplus, remove_stray, size_of_run, stray_files, surplus_of
from vlmrb.retention import Retention, retention_of
from vlmrb.store import Store
from vlmrb.train import train
from vlmrb.types import CLIPS_PER_RUN


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def recorded(store: Store, clips: int = 12, **settings: object) -> int:
    """A finished run with clips of 4 steps, labelled yes, no and unknown in turn, and no checkpoints."""
    run_id = new_run(store, **settings)
    writer = store.writer(run_id)
    for number in range(clips):
        writer.add_clip(clip(run_id, number, stride=1, start=4 * number))
        writer.add_score(score(run_id * CLIPS_PER_RUN + number, [0.9, 0.1, None][number % 3]))
    writer.flush()
    store.release_run(run_id, "finished")
    return run_id


def going(store: Store, run_id: int) -> list[int]:
    """Numbers of the clips that need not stay."""
    return [clip_id % CLIPS_PER_RUN for clip_id in surplus_of(store, store.run(run_id)).clip_ids]


def left(store: Store, run_id: int) -> list[int]:
    return [found.number for found in store.clips(run_id, order="oldest", limit=10_000, superseded=True)]


@pytest.mark.parametrize("text", ["all", "yes", "every:3", "newest:10", "none"])
def test_a_retention_is_read_as_it_is_written(text: str) -> None:
    assert str(Retention.parse(text.upper())) == text
    assert make_config(keep_clips=text).keep_clips == text


@pytest.mark.parametrize("text", ["every:0", "newest:-1", "every", "newest:", "no", "", "every:1.5", "1"])
def test_any_other_retention_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigError, match=r"keep_clips: got .*allowed: 'all', 'yes'.*with N from 1 on"):
        make_config(keep_clips=text)


def test_what_versions_stored_that_kept_all_clips_or_none_still_counts(store: Store) -> None:
    assert [str(retention_of({"keep_clips": value})) for value in (True, False)] == ["all", "none"]
    assert make_config(keep_clips=False).keep_clips == "none" and retention_of({}).stores
    assert store.run(new_run(store, keep_clips=True)).config["keep_clips"] == "all"


def test_each_retention_keeps_its_clips(store: Store) -> None:
    for setting, kept in (
        ("all", range(12)),
        ("yes", range(0, 12, 3)),
        ("every:5", (0, 5, 10)),
        ("newest:2", (10, 11)),
        ("newest:100", range(12)),
    ):
        assert going(store, recorded(store, keep_clips=setting)) == sorted(set(range(12)) - set(kept)), setting


def test_what_people_trials_and_records_of_draws_need_stays_and_is_counted(store: Store) -> None:
    run_id, branched = recorded(store, keep_clips="newest:1"), new_run(store)
    with store._write() as connection:
        connection.exec_driver_sql(f"UPDATE runs SET parent_id = {run_id}, parent_step = 8 WHERE run_id = {branched}")
    first = run_id * CLIPS_PER_RUN
    store.label_clip(first, True)
    store.create_trial(scorer="oracle", prompt_id=None, threshold=0.5, options={}, clip_ids=[first + 1, first + 2])
    for drawing, number in ((run_id, 4), (branched, 5)):
        writer = store.writer(drawing)
        writer.add_draws(draws(40, [first + number]))
        writer.flush()
    store.release_run(branched, "finished")
    surplus = surplus_of(store, store.run(run_id))
    assert [clip_id - first for clip_id in surplus.clip_ids] == [3, 6, 7, 8, 9, 10]
    assert surplus.needed == {"labelled by people": 1, "in trials": 2, "in records of draws": 2}
    size = size_of_run(store, run_id).tables["clips"].rows
    delete_surplus(store, surplus.clip_ids)
    assert left(store, run_id) == [0, 1, 2, 4, 5, 11] and store.check() == []
    assert size_of_run(store, run_id).tables["clips"].rows == size - 6
    assert surplus_of(store, store.run(run_id)).clip_ids == ()


def test_a_clip_without_a_score_waits_for_it_as_long_as_its_run_may_go_on(store: Store) -> None:
    run_id = new_run(store, keep_clips="yes", buffer_size=4, checkpoint_interval=1)
    writer = store.writer(run_id)
    for number in range(6):
        writer.add_clip(clip(run_id, number, stride=1, start=4 * number))
    writer.add_score(score(run_id * CLIPS_PER_RUN + 1, 0.1))
    writer.flush()
    store.heartbeat(run_id, 24)
    store.release_run(run_id, "stopped")
    surplus = surplus_of(store, store.run(run_id))
    assert [clip_id % CLIPS_PER_RUN for clip_id in surplus.clip_ids] == [1]
    assert surplus.needed == {"waiting for a score": 3, "needed to resume or branch": 2}
    store.release_run(run_id, "finished")
    assert going(store, run_id) == [0, 1, 2, 3, 4, 5]


def test_superseded_clips_go_unless_all_are_kept(store: Store) -> None:
    runs = [recorded(store, keep_clips=setting) for setting in ("all", "newest:8")]
    for run_id in runs:
        store.rollback_run(run_id, 40)  # the last two clips are of steps that are to be done again
        store.release_run(run_id, "finished")
    assert [going(store, run_id) for run_id in runs] == [[], [0, 1, 10, 11]]


def test_a_clip_that_overlaps_earlier_ones_keeps_their_frames(store: Store) -> None:
    run_id = train(short(clip_stride=4, keep_clips="every:5", total_steps=400, buffer_size=50), store=store).run_id
    kept = left(store, run_id)
    assert set(kept) < set(range(store.next_clip_number(run_id)))
    for number in kept:
        assert len(store.load_clip(run_id * CLIPS_PER_RUN + number).snapshots) > 0


def short(**settings: object):
    values = {
        "env": "DoorKey-5x5", "scorer": "oracle", "sync_scoring": True, "total_steps": 800, "n_envs": 2, "learning_starts": 50,
        "batch_size": 8, "hidden_size": 8, "clip_length": 8, "eval_interval": 800, "eval_episodes": 1, "log_interval": 400,
        "checkpoint_interval": 100, "buffer_size": 100,
    }  # fmt: skip
    return make_config(**{**values, **settings})


def test_a_run_thins_out_its_clips_while_it_trains_and_when_it_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    during: list[set[int]] = []
    run_id = 1

    def watch(step: int, *_: object) -> None:
        during.append(set(left(store, run_id)) if step > 600 else set())

    assert train(short(keep_clips="every:10"), store=store, progress=watch).run_id == run_id
    drawn = {each % CLIPS_PER_RUN for step in store.draw_steps(run_id) for each in ids_of(store, run_id, step)}
    assert set(left(store, run_id)) == set(range(0, 101, 10)) | drawn
    recorded_then = max(during[-1]) + 1
    assert len(during[-1]) < recorded_then - 10, "nothing was removed while it trained"


def ids_of(store: Store, run_id: int, step: int) -> list[int]:
    return [drawn.clip_id for drawn in store.draws_near(run_id, step).sample]


def test_a_run_that_keeps_few_clips_learns_the_same(store: Store) -> None:
    runs = [train(short(keep_clips=setting), store=store).run_id for setting in ("all", "newest:3", "yes")]
    curves = [store.metrics(run_id, "train/td_loss")[1].tolist() for run_id in runs]
    assert curves[0] and curves[1:] == [curves[0]] * 2


def test_a_branch_of_a_thinned_run_finds_every_clip_that_it_needs(store: Store) -> None:
    config = short(keep_clips="newest:1", keep_checkpoints="every:400", total_steps=1_000, replay="uniform", scorer=None)
    run_id = train(config, store=store).run_id
    assert len(left(store, run_id)) < 125
    (branched,) = branch(store, run_id, 400, [{"replay": "vlm", "scorer": "oracle", "keep_clips": "all"}], steps=40)
    from vlmrb.train import resume

    resume(branched, store=store)
    assert store.run(branched).status == "finished" and "have no label" not in store.run(branched).error
    assert len(store.scores_of_run(run_id)) >= 100 // 8, "the clips of the parent's buffer were not scored"


def test_gc_says_what_it_would_remove_and_then_removes_just_that(store: Store, tmp_path: Path) -> None:
    run_id, gone = recorded(store, keep_clips="yes"), recorded(store)
    other = recorded(store)
    for each in (run_id, gone, other):
        (store.folder_of_run(each) / "checkpoints").mkdir(parents=True)
        (store.folder_of_run(each) / "log.txt").write_text("x" * 1_000)
    store.delete_run(gone)  # the process ended before it removed the folder
    foreign, of_people = store.folder_of_run(77), store.folder_of_run(0).parent / "notes"
    for folder in (foreign, of_people):
        folder.mkdir()
    unfinished = store.folder_of_run(other) / "checkpoints" / ".step-000000000400.123"
    unfinished.mkdir()
    os.utime(unfinished, (time.time() - 7_200,) * 2)
    (store.folder_of_run(other) / "checkpoints" / ".step-000000000800.124").mkdir()  # perhaps it is just being written
    before = left(store, run_id)
    words = vlmrb("gc", "--dry-run", "--store", store.url)
    assert words.status == 0 and "8 clips and 2 files and folders would be removed (dry run)" in words.out
    assert f"run {gone}, which no longer exists" in words.out and left(store, run_id) == before and unfinished.exists()
    planned = vlmrb("gc", "--dry-run", "--json", "--store", store.url).json
    assert planned["dry_run"] and len(planned["clips"][0]["clip_ids"]) == 8 and planned["bytes"] > 1_000
    done = vlmrb("gc", "--json", "--store", store.url)
    assert done.status == 0 and done.json == {**planned, "dry_run": False}
    assert left(store, run_id) == [0, 3, 6, 9] and len(left(store, other)) == 12 and store.check() == []
    assert not store.folder_of_run(gone).exists() and not unfinished.exists()
    assert foreign.exists() and of_people.exists() and (store.folder_of_run(other) / "log.txt").exists()
    assert len(list((store.folder_of_run(other) / "checkpoints").iterdir())) == 1
    assert "0 clips and 0 files" in vlmrb("gc", "--store", store.url).out


def test_gc_with_another_retention_is_for_runs_that_are_named(store: Store) -> None:
    runs = [recorded(store), recorded(store)]
    assert vlmrb("gc", runs[0], "--keep-clips", "newest:2", "--store", store.url).status == 0
    assert [len(left(store, run_id)) for run_id in runs] == [2, 12]
    for words, complaint in (
        (("--keep-clips", "yes"), "name the runs"),
        ((runs[0], "--keep-clips", "every:0"), "got 'every:0'; allowed"),
        ((runs[0], "--keep-clips", "newest:-1"), "got 'newest:-1'; allowed"),
        ((runs[0], "--keep-clips", "none"), "newest:1 keeps the fewest"),
        ((99,), "there is no run 99"),
    ):
        refused = vlmrb("gc", *words, "--store", store.url)
        assert refused.status == 2 and complaint in refused.err, refused
    assert [len(left(store, run_id)) for run_id in runs] == [2, 12]


def test_gc_on_a_disk_that_is_full_says_what_was_done(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = recorded(store, keep_clips="newest:1")
    monkeypatch.setattr(housekeeping, "PART", 5)
    deleted = store.delete_clips

    def full(_: Store, clip_ids: list[int]) -> int:
        if len(left(store, run_id)) < 12:
            raise StoreFullError("store: no space left for store.db (database or disk is full)")
        return deleted(clip_ids)

    monkeypatch.setattr(Store, "delete_clips", full)
    outcome = vlmrb("gc", "--store", store.url)
    assert outcome.status == 2 and "5 of 11 clips were removed before; free some space" in outcome.err
    assert len(left(store, run_id)) == 7 and store.check() == []


def test_a_folder_that_cannot_be_removed_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = recorded(store)
    store.folder_of_run(run_id).mkdir(parents=True)
    store.delete_run(run_id)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    outcome = vlmrb("gc", "--store", store.url)
    assert outcome.status == 2 and "cannot be removed: Permission denied" in outcome.err


def test_the_checkpoint_that_a_finished_branch_started_from_is_stray(store: Store) -> None:
    run_id = recorded(store)
    parent = store.folder_of_run(run_id) / "parent"
    parent.mkdir(parents=True)
    [stray] = stray_files(store, [run_id])
    assert stray.path == parent and "has finished" in stray.why
    remove_stray(stray)
    assert not parent.exists()


def test_sizes_are_shown_by_table_and_folder(store: Store) -> None:
    run_id = recorded(store)
    folder = store.folder_of_run(run_id)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("x" * 2_000)
    size = size_of_run(store, run_id)
    assert {name: each.rows for name, each in size.tables.items()} == {"clips": 12, "scores": 12, "clip_data": 12}
    assert size.folder_bytes == 2_000 and size.store_bytes == sum(each.bytes for each in size.tables.values()) > 12 * 100
    assert "clips 12 (" in vlmrb("show", run_id, "--store", store.url).out
    [listed] = vlmrb("runs", "--sizes", "--json", "--store", store.url).json
    assert listed["size"]["folder_bytes"] == 2_000 and listed["size"]["tables"]["scores"]["rows"] == 12
    assert "2.0 kB" in vlmrb("runs", "--sizes", "--store", store.url).out
