"""Runs whose store is busy for a while, or is taken away."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.test_train import _break, _claim, assert_clips_tile, small
from vlmrb.checkpoint import latest_step
from vlmrb.errors import StoreBusyError, StoreUnavailableError
from vlmrb.jobs.executing import execute
from vlmrb.store import Store
from vlmrb.train import Trainer, create_run, resume, train
from vlmrb.train.trainer import REST
from vlmrb.types import RunFigures


class Lock:
    """Another program's write lock on the store."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.held = False

    def take(self) -> None:
        if not self.held:
            self._connection.execute("BEGIN IMMEDIATE")
            self.held = True

    def release(self) -> None:
        if self.held:
            self._connection.execute("ROLLBACK")
            self.held = False

    def close(self) -> None:
        self.release()
        self._connection.close()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("vlmrb.store.engine.BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    (tmp_path / "runs").mkdir()
    with Store(str(tmp_path / "runs" / "store.db")) as opened:
        yield opened


@pytest.fixture
def lock(store: Store) -> Iterator[Lock]:
    with closing(Lock(Path(store.url))) as found:
        yield found


def tiny(**settings: object):
    return small(**{"total_steps": 400, "eval_interval": 400, "learning_starts": 100, "checkpoint_interval": 40, **settings})


def test_training_continues_while_another_program_holds_the_write_lock(store: Store, lock: Lock) -> None:
    warnings: list[str] = []

    def progress(step: int, _: int, figures: RunFigures) -> None:
        if step >= 100 and not warnings:
            lock.take()
        if figures.warning and figures.warning not in warnings:
            warnings.append(figures.warning)
        if step >= 180:
            lock.release()

    result = train(tiny(), store=store, progress=progress)
    run = store.run(result.run_id)
    assert (result.status, run.status, run.error, run.step) == ("finished", "finished", "", 400)
    assert_clips_tile(store, run.run_id, 400)
    assert store.unscored_clips(run.run_id) == []
    busy, over = warnings
    assert "the store is busy since" in busy and "training continues and rows are kept" in busy
    assert "the store was busy from" in over and run.counters.store_notice == over


def test_a_slow_store_is_asked_less_often_and_gets_every_row(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.SLOW_S", 0.05)
    times: list[tuple[float, float]] = []
    exchange = store.exchange

    def slow(*given: object, **named: object) -> object:
        began = time.monotonic()
        if len(times) < 4:
            time.sleep(0.1)
        try:
            return exchange(*given, **named)
        finally:
            times.append((began, time.monotonic()))

    monkeypatch.setattr(store, "exchange", slow)
    told: list[int] = []
    result = train(tiny(total_steps=800), store=store, progress=lambda step, *_: told.append(step))
    assert result.status == "finished" and len(times) > 4  # each step has one once the store is quick again
    assert len(told) > len(times) + 4, "progress is told meanwhile"
    for (began, ended), (again, _) in pairwise(times[:5]):
        assert again - ended >= REST * (ended - began) * 0.99
    assert_clips_tile(store, result.run_id, 800)


def test_a_change_that_was_applied_while_its_answer_could_not_be_written_is_applied_once(store: Store, lock: Lock) -> None:
    applied: list[int] = []

    def progress(step: int, *_: object) -> None:
        if step >= 100 and not store.live_changes(1):
            store.request_change(1, "lambda", 0.25)
        if step >= 180:
            lock.release()

    run_id = create_run(tiny(), store=store)
    _claim(store, run_id)
    trainer = Trainer(run_id, tiny(), store, progress)
    change = trainer._sampler.change

    def noted(name: str, value: object) -> None:
        applied.append(trainer.step)
        change(name, value)
        lock.take()

    trainer._sampler.change = noted  # type: ignore[method-assign]
    trainer.run()
    assert len(applied) == 1
    assert [(c.status, c.applied_step) for c in store.live_changes(run_id)] == [("applied", applied[0])]


def test_training_waits_when_the_rows_that_it_keeps_fill_their_memory(store: Store, lock: Lock, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.outage.MAX_HELD_BYTES", 0)
    steps: list[int] = []

    def progress(step: int, _: int, figures: RunFigures) -> None:
        if step >= 100 and not steps:
            lock.take()
        if "training waits" in figures.warning:
            steps.append(step)
        if len(steps) == 3:
            lock.release()

    assert train(tiny(), store=store, progress=progress).status == "finished"
    assert len(steps) == 3 and len(set(steps)) == 1
    assert_clips_tile(store, 1, 400)


def test_a_run_waits_for_its_store_when_it_is_claimed(store: Store, lock: Lock) -> None:
    run_id = create_run(tiny(total_steps=80), store=store)
    lock.take()
    timer = threading.Timer(0.4, lock.release)  # eight times as long as a write waits
    timer.start()
    assert resume(run_id, store=store).status == "finished"
    timer.join()


@pytest.mark.slow
def test_a_run_that_has_ended_waits_for_its_store(store: Store, lock: Lock) -> None:
    waits: list[str] = []

    def progress(step: int, _: int, figures: RunFigures) -> None:
        if step >= 360 and not waits:
            lock.take()
        if "the run has ended and waits" in figures.warning:
            waits.append(figures.warning)
            lock.release()

    assert train(tiny(), store=store, progress=progress).status == "finished"
    run = store.run(1)
    assert waits and (run.status, run.step, run.error) == ("finished", 400, "")
    assert_clips_tile(store, 1, 400)
    assert not (store.folder_of_run(1) / "unwritten.jsonl").exists()


@pytest.mark.slow
def test_a_run_whose_store_stays_busy_leaves_everything_in_its_folder_and_loses_nothing(
    store: Store, lock: Lock, monkeypatch
) -> None:
    monkeypatch.setattr("vlmrb.train.outage.FINAL_WAIT_S", 0.2)
    with pytest.raises(StoreBusyError, match=r"a checkpoint at step 400 and the rows .* resume with"):
        train(tiny(), store=store, progress=lambda step, *_: lock.take() if step >= 300 else None)
    folder = store.folder_of_run(1)
    assert latest_step(folder / "checkpoints") == 400 and (folder / "unwritten.jsonl").exists()
    lock.release()
    store.release_run(1, "interrupted")  # what the end of the process would do
    before = store.run(1).step
    assert before < 400
    result = resume(1, store=store)
    assert (result.status, result.steps) == ("finished", 400)
    assert_clips_tile(store, 1, 400)
    assert store.unscored_clips(1) == [] and not (folder / "unwritten.jsonl").exists()
    assert len(store.episodes(1)) == store.run(1).counters.episodes
    assert store.check() == []


def replace_file(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)


@pytest.mark.parametrize(
    ("take_away", "words"),
    [
        (lambda path: path.unlink(), "deleted or moved"),
        (lambda path: shutil.rmtree(path.parent), "deleted or moved"),
        (replace_file, "replaced by another file"),
    ],
    ids=["file", "folder", "replaced"],
)
def test_a_store_that_is_taken_away_ends_the_run_in_words_with_a_checkpoint(store: Store, take_away, words: str) -> None:
    gone: list[int] = []

    def progress(step: int, *_: object) -> None:
        if step >= 100 and not gone:
            gone.append(step)
            take_away(Path(store.url))

    with pytest.raises(StoreUnavailableError, match=f"was {words}.*a checkpoint at step"):
        train(tiny(checkpoint_interval=10_000), store=store, progress=progress)
    step = latest_step(store.folder_of_run(1) / "checkpoints")
    assert step is not None and gone[0] <= step < 400


def test_clips_that_a_failed_scorer_left_are_scored_when_the_run_is_resumed(store: Store) -> None:
    def progress(step: int, *_: object) -> None:
        if step >= 100 and trainer.step < 200:
            _break(trainer)
        if trainer._labelling.failure and step >= 200:
            trainer._interrupt()

    config = tiny(total_steps=4_000)
    run_id = create_run(config, store=store)
    _claim(store, run_id)
    trainer = Trainer(run_id, config, store, progress)
    assert trainer.run().status == "interrupted"
    left = store.unscored_clips(run_id)
    assert len(left) > 8
    _claim(store, run_id)
    trainer = Trainer(run_id, config.model_copy(update={"scoring_queue_size": 8}), store)  # too small for all of them at once
    trainer._begin()
    assert set(left) <= set(trainer._labelling.pending)
    scored = trainer._labelling.finish(lambda: True)
    trainer._labelling.record(scored, [0] * len(scored))
    trainer._close("")
    assert store.unscored_clips(run_id) == [] and store.run(run_id).counters.dropped == 0


def test_a_job_whose_store_is_taken_away_ends_in_words(store: Store, monkeypatch, capsys) -> None:
    def work(of: Store, target: int) -> tuple[int, str]:
        Path(of.url).unlink()
        of.rename_run(target, "x")
        raise AssertionError

    [job_id] = store.enqueue_jobs("trial", [1])
    store.take_jobs({"trial": 1})
    monkeypatch.setattr("vlmrb.jobs.executing._load_work", lambda kind: work)
    monkeypatch.setattr("vlmrb.jobs.executing.signal.signal", lambda *_: None)
    assert execute(store, job_id) == 2
    said = capsys.readouterr().out
    assert "was deleted or moved" in said and "could not be recorded" in said
