"""Long work on the store happens in short transactions, and changes by several people are all kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Connection, event

from tests.store.samples import Child, clip, draws, filled, new_run, score
from vlmrb.errors import RunBusyError, StoreBusyError, StoreUnavailableError
from vlmrb.store import Store, patiently
from vlmrb.store.tables import metadata
from vlmrb.types import CLIPS_PER_RUN, Episode, Event


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmrb.store.batches.FIRST_BATCH", 2)
    monkeypatch.setattr("vlmrb.store.batches.LARGEST_BATCH", 2)
    monkeypatch.setattr("vlmrb.store.writer.BATCH_ROWS", 3)


def whole_run(store: Store) -> int:
    run_id = filled(store, 20)
    writer = store.writer(run_id)
    for number in range(10):
        writer.add_metric("a", number, 1.0)
        writer.add_metric("b", number, 1.0)
        writer.add_episode(Episode(number, 0, number, 0, 1, 0.0, False))
        writer.add_event(number, 0, Event("success"))
        writer.add_draws(draws(number, [run_id * CLIPS_PER_RUN, run_id * CLIPS_PER_RUN + 1]))
    writer.flush()
    return run_id


def commits_of(store: Store) -> list[int]:
    found: list[int] = []
    event.listen(store._writing, "commit", lambda connection: found.append(1))
    return found


@pytest.mark.usefixtures("small_batches")
def test_a_run_is_deleted_and_rolled_back_in_many_transactions(store: Store) -> None:
    run_id, other = whole_run(store), whole_run(store)
    commits = commits_of(store)
    store.rollback_run(run_id, 0)
    assert len(commits) >= (20 + 20 + 10 + 10) / 2
    assert store.count_clips(run_id) == 0 and len(store.clips(run_id, superseded=True)) == 20
    assert store.metrics(run_id, "a")[0].tolist() == store.metrics(run_id, "b")[0].tolist() == [0]
    assert store.episodes(run_id) == store.events(run_id) == [] and store.draw_steps(run_id) == [0]
    commits.clear()
    store.delete_run(run_id)
    assert len(commits) >= 20 / 2
    assert [run.run_id for run in store.runs()] == [other] and store.count_clips(other) == 20
    assert len(store.episodes(other)) == len(store.draw_steps(other)) == 10 and store.check() == []
    store.delete_run(other)
    with store._read() as connection:
        left = {name for name in metadata.tables if connection.exec_driver_sql(f"SELECT 1 FROM {name}").first()}
    assert left <= {"prompts", "settings"}


@pytest.mark.usefixtures("small_batches")
def test_a_deletion_that_was_cut_short_says_so_and_can_be_repeated(store: Store) -> None:
    run_id = whole_run(store)
    commits = commits_of(store)

    def cut(connection: object) -> None:
        if len(commits) == 3:
            raise RuntimeError("power failure")

    event.listen(store._writing, "begin", cut, insert=True)
    with pytest.raises(RuntimeError):
        store.delete_run(run_id)
    event.remove(store._writing, "begin", cut)
    run = store.run(run_id)
    assert run.status == "failed" and "delete it again" in run.error
    assert [found.run_id for found in store.runs(status="failed")] == [run_id]
    with pytest.raises(RunBusyError, match="being deleted"):
        store.claim_run(run_id, os.getpid(), psutil.Process().create_time())
    store.delete_run(run_id)
    assert store.runs() == []


@pytest.mark.usefixtures("small_batches")
def test_a_flush_of_many_rows_is_cut_into_transactions_and_continues_where_it_failed(store: Store) -> None:
    run_id = new_run(store)
    begin, failing = store._write, [False, False, True, False, False, True]

    def sometimes():
        if failing and failing.pop(0):
            raise StoreBusyError("busy")
        return begin()

    writer = store.writer(run_id)
    writer._begin = sometimes
    for number in range(20):
        writer.add_clip(clip(run_id, number))
        writer.add_score(score(run_id * CLIPS_PER_RUN + number, 0.9))
        writer.add_metric("m", number, 1.0)
        writer.add_event(number, 0, Event("success"))
    for _ in range(2):
        with pytest.raises(StoreBusyError):
            writer.flush()
        assert writer.held_bytes > 0
    writer.flush()
    assert writer.held_bytes == 0 and store.unscored_clips(run_id) == [] and store.count_clips(run_id) == 20
    assert len(store.scores_of_run(run_id)) == len(store.events(run_id)) == len(store.metrics(run_id, "m")[0]) == 20


def test_rows_whose_commit_was_not_confirmed_are_written_once(store: Store) -> None:
    run_id = new_run(store)

    @contextmanager
    def unconfirmed() -> Iterator[Connection]:
        with store._write() as connection:
            yield connection
        raise StoreBusyError("the server was restarted")

    writer = store.writer(run_id)
    for number in range(3):
        writer.add_clip(clip(run_id, number))
        writer.add_score(score(run_id * CLIPS_PER_RUN + number, 0.9))
        writer.add_event(number, 0, Event("success"))
        writer.add_metric("m", number, 1.0)
        writer._begin = unconfirmed
        with pytest.raises(StoreBusyError):
            writer.flush()
        writer.add_metric("m", number, 2.0)
        writer.add_event(10 + number, 0, Event("success"))
        writer._begin = store._write
        writer.flush()
    writer.add_score(score(run_id * CLIPS_PER_RUN, 0.1))
    writer._begin = unconfirmed
    with pytest.raises(StoreBusyError):
        writer.flush()
    writer._begin = store._write
    writer.flush()
    assert writer.held_bytes == 0 and store.count_clips(run_id) == 3
    assert len(store.scores_of_run(run_id)) == 4 and len(store.events(run_id)) == 6
    assert store.metrics(run_id, "m")[1].tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("kind", ["events", "episodes", "scores"])
def test_rows_of_one_kind_whose_commit_was_not_confirmed_are_written_once(store: Store, kind: str) -> None:
    run_id = filled(store, 2)
    clip_id = run_id * CLIPS_PER_RUN
    writer = store.writer(run_id)
    writer.add_event(1, 0, Event("success"))
    writer.flush()
    before = len(store.scores_of_run(run_id))

    @contextmanager
    def unconfirmed() -> Iterator[Connection]:
        with store._write() as connection:
            yield connection
        raise StoreBusyError("the server was restarted")

    add = {
        "events": lambda at: writer.add_event(at, 1, Event("opened", "door", "red")),
        "episodes": lambda at: writer.add_episode(Episode(at, 0, at, 0, 1, 0.0, False)),
        "scores": lambda at: writer.add_score(score(clip_id, 0.9)),
    }[kind]
    for step in (1, 2):
        add(step)
        writer._begin = unconfirmed
        with pytest.raises(StoreBusyError):
            store.exchange(writer, step)
        writer._begin = store._write
        store.exchange(writer, step)
    assert writer.held_bytes == 0 and store.run(run_id).step == 2
    found = {
        "events": lambda: len(store.events(run_id)) - 1,
        "episodes": lambda: len(store.episodes(run_id)),
        "scores": lambda: len(store.scores_of_run(run_id)) - before,
    }[kind]
    assert found() == 2


@pytest.mark.usefixtures("small_batches")
def test_an_exchange_is_one_transaction_unless_there_are_many_rows(store: Store) -> None:
    run_id = filled(store, 1)
    writer, commits = store.writer(run_id), commits_of(store)
    assert store.exchange(writer, 8, status="running") == [] and len(commits) == 1
    change_id = store.request_change(run_id, "pause")
    commits.clear()
    for number in range(3):
        writer.add_metric("m", number, 1.0)
    [change] = store.exchange(writer, 16)
    assert change.change_id == change_id and len(commits) == 1
    for number in range(3, 10):
        writer.add_metric("m", number, 1.0)
    [change] = store.exchange(writer, 24)
    assert change.change_id == change_id and len(store.metrics(run_id, "m")[0]) == 10
    assert store.run(run_id).step == 24 and store.run(run_id).heartbeat_at


def test_rows_that_an_earlier_version_set_aside_are_taken_back(store: Store, tmp_path: Path) -> None:
    run_id, path = new_run(store), tmp_path / "rows.jsonl"
    writer = store.writer(run_id)
    writer.add_clip(clip(run_id, 0))
    writer.add_score(score(run_id * CLIPS_PER_RUN, 0.9))
    writer.set_aside(path)
    rows = json.loads(path.read_text())
    del rows["scores"][0]["votes"], rows["draws"], rows["drawn_clips"]
    path.write_text(json.dumps(rows) + "\n")
    store.writer(run_id).take_back(path)
    [found] = store.clips(run_id)
    assert found.score == score(run_id * CLIPS_PER_RUN, 0.9) and found.score.spread is None


def test_rows_that_were_set_aside_are_taken_back_once(store: Store, tmp_path: Path) -> None:
    run_id, path = new_run(store), tmp_path / "folder" / "rows.jsonl"
    writer = store.writer(run_id)
    writer.set_aside(path)
    assert not path.exists()
    for number in range(3):
        writer.add_clip(clip(run_id, number, frames=number == 1))
        writer.add_score(score(run_id * CLIPS_PER_RUN + number, 0.9))
        writer.add_metric("m", number, float("nan") if number else 1.0)
        writer.add_event(number, 0, Event("opened", "door", "red"))
        writer.add_episode(Episode(number, 0, number, 0, 1, 0.5, None))
        writer.add_draws(draws(100 * number, [run_id * CLIPS_PER_RUN]))
    writer.set_aside(path)
    writer.flush()
    assert store.count_clips(run_id) == 0 and writer.held_bytes == 0
    copy = path.read_bytes()
    for _ in range(2):  # the second time as if the process had been killed before it removed the file
        path.write_bytes(copy)
        store.writer(run_id).take_back(path)
        assert not path.exists()
        assert len(store.events(run_id)) == len(store.episodes(run_id)) == len(store.scores_of_run(run_id)) == 3
    for number in range(3):
        assert (
            store.load_clip(run_id * CLIPS_PER_RUN + number).snapshots == clip(run_id, number, frames=number == 1).snapshots
        ).all()
    assert store.metrics(run_id, "m")[0].tolist() == [0, 1, 2] and store.draw_steps(run_id) == [0, 100, 200]


@pytest.mark.usefixtures("small_batches")
def test_rows_that_are_partly_stored_already_are_completed_from_their_file(store: Store, tmp_path: Path) -> None:
    run_id, path = new_run(store), tmp_path / "rows.jsonl"
    writer = store.writer(run_id)
    for number in range(8):
        writer.add_clip(clip(run_id, number))
        writer.add_score(score(run_id * CLIPS_PER_RUN + number, 0.9))
    begin, works = store._write, [True, True, True, False]

    def cut():
        if not works.pop(0):
            raise StoreBusyError("busy")
        return begin()

    writer.set_aside(path)
    writer._begin = cut
    with pytest.raises(StoreBusyError):
        writer.take_back(path)
    assert 0 < store.count_clips(run_id) < 8 and path.exists()
    store.writer(run_id).take_back(path)
    assert store.count_clips(run_id) == len(store.scores_of_run(run_id)) == 8 and not path.exists()


def test_a_file_that_cannot_be_written_keeps_the_rows(store: Store, tmp_path: Path) -> None:
    run_id, folder = new_run(store), tmp_path / "rows.jsonl"
    (folder / "in the way").mkdir(parents=True)
    writer = store.writer(run_id)
    writer.add_clip(clip(run_id, 0))
    writer.add_metric("m", 1, 1.0)
    with pytest.raises(OSError, match="directory"):
        writer.set_aside(folder)
    writer.flush()
    assert store.count_clips(run_id) == 1 and store.metric_names(run_id) == ["m"]


def test_tags_that_several_people_add_and_remove_at_once_are_all_kept(store: Store) -> None:
    run_id = new_run(store)
    store.tag_run(run_id, ["old"])

    def tag(name: str) -> Callable[[Callable[[object], None]], None]:
        def work(report: Callable[[object], None]) -> None:
            for number in range(20):
                store.change_tags(run_id, add=[f"{name}{number}"], remove=[f"{name}{number - 1}"])

        return work

    for child in [Child(tag(name)) for name in "abcd"]:
        child.result()
    assert set(store.run(run_id).tags) == {"old", "a19", "b19", "c19", "d19"}


def test_two_runs_of_a_trial_that_are_deleted_at_once_both_leave_it(store: Store) -> None:
    runs = [filled(store, 2) for _ in range(3)]
    clip_ids = [run_id * CLIPS_PER_RUN for run_id in runs]
    trials = [
        store.create_trial(scorer="oracle", prompt_id=None, threshold=0.5, options={}, clip_ids=clip_ids) for _ in range(10)
    ]
    for child in [Child(lambda report, run_id=run_id: store.delete_run(run_id)) for run_id in runs[:2]]:
        child.result()
    assert {store.trial(trial_id).clip_ids for trial_id in trials} == {(clip_ids[2],)}


def test_saved_prompts_get_every_version_once_and_the_last_setting_is_whole(store: Store) -> None:
    def save(name: str) -> Callable[[Callable[[object], None]], None]:
        def work(report: Callable[[object], None]) -> None:
            for number in range(10):
                store.save_prompt("shared", f"{name} {number}?")
                store.set_setting("shared", {"by": name, "number": number})

        return work

    for child in [Child(save(name)) for name in "abc"]:
        child.result()
    assert sorted(prompt.version for prompt in store.prompts()) == list(range(1, 31))
    assert store.setting("shared")["number"] == 9


def test_nothing_is_written_to_a_file_that_was_deleted_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(str(path)) as store:
        run_id = new_run(store)
        path.rename(tmp_path / "moved.db")
        with pytest.raises(StoreUnavailableError, match="was deleted or moved while it was in use"):
            store.rename_run(run_id, "x")
        Store(str(path)).close()
        with pytest.raises(StoreUnavailableError, match="was replaced by another file"):
            store.rename_run(run_id, "x")


def test_patience_outlasts_a_busy_store_but_no_other_failure() -> None:
    tries = iter([StoreBusyError("busy"), None])

    def work() -> str:
        if (failure := next(tries)) is not None:
            raise failure
        return "done"

    assert patiently(work) == "done"
    with pytest.raises(StoreBusyError):
        patiently(lambda: (_ for _ in ()).throw(StoreBusyError("busy")), seconds=0)
