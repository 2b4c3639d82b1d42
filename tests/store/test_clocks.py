"""Setting the clock makes no live process look dead, and lets nobody take its work."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest

from tests.store.samples import Child, filled, new_run
from vlmrb.errors import RunBusyError, RunLostError
from vlmrb.store import Store, liveness
from vlmrb.types import CLIPS_PER_RUN

ME = psutil.Process()
STARTED_AT = ME.create_time()
STEPS = pytest.mark.parametrize("seconds", [5, -5, 3600, -3600, 10**7])

SetClock = Callable[[float], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Set the wall clock forwards or back: Linux then reports another boot time, from which psutil derives start times."""
    real_time, real_start = time.time, psutil.Process.create_time

    def step(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real_time() + seconds)
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: real_start(self) + seconds)

    return step


@pytest.fixture
def watch_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "WATCH_S", 0.5)


def new_trial(store: Store) -> int:
    first = filled(store, 1) * CLIPS_PER_RUN
    return store.create_trial(scorer="oracle", prompt_id=None, threshold=0.5, options={}, clip_ids=[first])


def forget_identities(store: Store) -> None:
    """Make the rows what the version before wrote."""
    with store._write() as connection:
        for table in ("runs", "trials", "jobs"):
            connection.exec_driver_sql(f"UPDATE {table} SET pid_identity = NULL")


@STEPS
def test_a_run_a_trial_and_a_job_stay_with_their_process_when_the_clock_is_set(
    store: Store, set_clock: SetClock, seconds: float
) -> None:
    run_id, trial_id = new_run(store), new_trial(store)
    job_id, spawned_id, queued_id = store.enqueue_jobs("train", [run_id, 98, 99])
    store.take_jobs({"train": 2})
    store.claim_run(run_id, ME.pid, STARTED_AT)
    store.claim_trial(trial_id, ME.pid, STARTED_AT)
    store.job_started(job_id, ME.pid, STARTED_AT)
    store.job_spawned(spawned_id, ME.pid, STARTED_AT)
    set_clock(seconds)

    def look(report: Callable[[object], None]) -> None:
        process = psutil.Process()
        for claim in (store.claim_run, store.claim_trial):
            with pytest.raises(RunBusyError, match=str(ME.pid)):
                claim(run_id if claim == store.claim_run else trial_id, process.pid, process.create_time())
        with pytest.raises(RunBusyError, match="already running"):
            store.enqueue_jobs("train", [run_id])
        with pytest.raises(RunBusyError):
            store.delete_run(run_id)
        report(store.run(run_id).status)
        report(store.trial(trial_id).status)
        report([store.job(each).status for each in (job_id, spawned_id, queued_id)])
        report(store.take_jobs({"train": 2}))  # no slot is free

    assert Child(look).result() == ["running", "running", "['running', 'starting', 'queued']", "[]"]


@STEPS
def test_a_process_that_has_ended_is_dead_whatever_the_clock_says(store: Store, set_clock: SetClock, seconds: float) -> None:
    run_id = new_run(store)

    def claim(report: Callable[[object], None]) -> None:
        process = psutil.Process()
        store.claim_run(run_id, process.pid, process.create_time())

    Child(claim).result()
    set_clock(seconds)
    assert store.run(run_id).status == "interrupted"
    store.claim_run(run_id, ME.pid, ME.create_time())
    assert store.run(run_id).status == "running"


def test_another_process_that_was_given_the_id_does_not_have_the_run(store: Store) -> None:
    run_id = new_run(store)
    store.claim_run(run_id, ME.pid, STARTED_AT)
    with store._write() as connection:  # as of the boot before
        connection.exec_driver_sql("UPDATE runs SET pid_identity = 'd7b0 1234'")
    assert store.run(run_id).status == "interrupted"


@STEPS
def test_a_live_run_of_the_version_before_is_not_taken_for_dead(store: Store, set_clock: SetClock, seconds: float) -> None:
    run_id = new_run(store)
    (job_id,) = store.enqueue_jobs("train", [run_id])
    store.take_jobs({"train": 1})
    store.claim_run(run_id, ME.pid, STARTED_AT)
    store.job_started(job_id, ME.pid, STARTED_AT)
    forget_identities(store)
    assert (store.run(run_id).status, store.job(job_id).status) == ("running", "running")
    set_clock(seconds)
    with store._write() as connection:  # it has a heartbeat every second, by its own clock
        connection.exec_driver_sql(f"UPDATE runs SET heartbeat_at = {time.time()}")
        connection.exec_driver_sql("UPDATE jobs SET heartbeat_at = NULL")
    assert (store.run(run_id).status, store.job(job_id).status) == ("running", "running")


def test_a_dead_run_of_the_version_before_is_known_as_dead(store: Store, set_clock: SetClock) -> None:
    run_id = new_run(store)
    store.claim_run(run_id, ME.pid, STARTED_AT - 3600)
    forget_identities(store)
    with store._write() as connection:  # before this process, which was given the id, started
        connection.exec_driver_sql(f"UPDATE runs SET heartbeat_at = {STARTED_AT - 1800}")
    assert store.run(run_id).status == "interrupted"


def later(store: Store, seconds: float) -> None:
    """Let time pass for the database: everything in it is so much older."""
    with store._write() as connection:
        for table, column in (("runs", "heartbeat_at"), ("jobs", "heartbeat_at"), ("jobs", "claimed_at")):
            connection.exec_driver_sql(f"UPDATE {table} SET {column} = {column} - {seconds}")


@STEPS
def test_a_run_on_another_machine_is_judged_by_the_databases_clock_alone(
    store: Store, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    run_id = new_run(store)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("socket.gethostname", lambda: "elsewhere")
        store.claim_run(run_id, 1, 1.0)
        set_clock(seconds)
        store.heartbeat(run_id, 1)
    assert store.run(run_id).status == "running"
    later(store, 200)
    store.heartbeat(run_id, 2)
    later(store, 200)
    assert store.run(run_id).status == "running"
    later(store, 101)
    assert store.run(run_id).status == "interrupted"


@pytest.mark.usefixtures("watch_briefly")
def test_who_considers_a_run_on_another_machine_dead_watches_before_taking_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = new_run(store)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("socket.gethostname", lambda: "elsewhere")
        store.claim_run(run_id, 1, 1.0)
        later(store, 400)  # the server's clock was set forwards
        beating = Child(lambda report: _beat(store, run_id, report))

    def take(report: Callable[[object], None]) -> None:
        liveness.WATCH_S = 30.0
        with pytest.raises(RunBusyError, match="on elsewhere"):
            store.claim_run(run_id, ME.pid, STARTED_AT)

    Child(take).result()
    beating.kill()
    later(store, 400)
    store.claim_run(run_id, ME.pid, STARTED_AT)
    assert store.run(run_id).status == "running"


def _beat(store: Store, run_id: int, report: Callable[[object], None]) -> None:
    for step in range(10**6):
        store.heartbeat(run_id, step)
        if step == 1:
            report("beats")
        time.sleep(0.1)


@STEPS
def test_a_job_that_was_taken_and_forgotten_is_taken_again_whatever_the_clock_says(
    store: Store, set_clock: SetClock, seconds: float
) -> None:
    store.enqueue_jobs("train", [1])
    store.take_jobs({"train": 1})
    set_clock(seconds)
    assert store.take_jobs({"train": 1}) == []
    later(store, 11)
    assert [job.target_id for job in store.take_jobs({"train": 1})] == [1]


def test_what_a_process_writes_after_its_run_was_taken_over_is_refused(store: Store) -> None:
    run_id = new_run(store)
    with Store(store.url) as slow:
        slow.claim_run(run_id, 99_999_999, 1.0)
        slow.heartbeat(run_id, 5)
        writer = slow.writer(run_id)
        writer.add_metric("m", 1, 1.0)
        writer.flush()
        store.claim_run(run_id, ME.pid, STARTED_AT)  # there is no such process here
        writer.add_metric("m", 2, 2.0)
        for write in (
            writer.flush,
            lambda: slow.heartbeat(run_id, 6),
            lambda: slow.exchange(writer, 6),
            lambda: slow.rollback_run(run_id, 0),
            lambda: slow.release_run(run_id, "finished"),
        ):
            with pytest.raises(RunLostError, match=f"run {run_id} was taken over"):
                write()
    run = store.run(run_id)
    assert (run.status, run.step, run.pid, list(store.metrics(run_id, "m")[0])) == ("running", 5, ME.pid, [1])
    store.release_run(run_id, "finished")
    assert store.run(run_id).status == "finished"
