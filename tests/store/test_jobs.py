"""The job table: each job is taken once, in order; lost claims are requeued and dead processes detected."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import psutil
import pytest

from vlmrb.errors import ConfigError, NotFoundError, RunBusyError, RunLostError
from vlmrb.store import Store, liveness
from vlmrb.store import jobs as queue
from vlmrb.types import Destination

HERE = psutil.Process()


def started(store: Store, job_id: int) -> bool:
    return store.job_started(job_id, HERE.pid, HERE.create_time())


def make_run(store: Store) -> int:
    return store.create_run({}, render_spec={}, success_rule="")


def taken(store: Store, limit: int) -> list[int]:
    return [job.target_id for job in store.take_jobs({"train": limit})]


def test_jobs_are_taken_once_and_in_order(store: Store) -> None:
    store.enqueue_jobs("train", [5, 3, 4])
    assert taken(store, 2) == [5, 3]
    assert taken(store, 2) == []
    assert taken(store, 3) == [4]


def test_each_kind_has_its_own_limit(store: Store) -> None:
    store.enqueue_jobs("train", [1, 2])
    store.enqueue_jobs("trial", [1])
    assert [(job.kind, job.target_id) for job in store.take_jobs({"train": 1, "trial": 1})] == [("train", 1), ("trial", 1)]


def test_an_ended_job_frees_its_slot(store: Store) -> None:
    first, _ = store.enqueue_jobs("train", [1, 2])
    assert taken(store, 1) == [1]
    assert started(store, first)
    assert taken(store, 1) == []
    store.job_ended(first, 0)
    assert taken(store, 1) == [2]


def test_a_killed_process_frees_its_slot_and_is_reported_as_interrupted(store: Store) -> None:
    first, _ = store.enqueue_jobs("train", [1, 2])
    assert taken(store, 1) == [1]
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    store.job_started(first, child.pid, psutil.Process(child.pid).create_time())
    assert [job.status for job in store.jobs(status="running")] == ["running"]
    child.kill()
    child.communicate()
    assert [job.target_id for job in store.jobs(status="interrupted")] == [1]
    assert taken(store, 1) == [2]
    assert [job.status for job in store.jobs()] == ["starting", "interrupted"]


def test_a_claim_whose_process_never_started_goes_back_to_the_queue(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (job_id,) = store.enqueue_jobs("train", [1])
    assert taken(store, 1) == [1]
    assert taken(store, 1) == []
    monkeypatch.setattr(queue, "CLAIM_TIMEOUT_S", -1.0)
    assert taken(store, 1) == [1]
    assert started(store, job_id)
    assert not started(store, job_id)  # the first process is late and must not start


def test_a_process_that_dies_before_it_reports_is_not_retried(store: Store) -> None:
    first, _ = store.enqueue_jobs("train", [1, 2])
    assert taken(store, 1) == [1]
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    store.job_spawned(first, child.pid, psutil.Process(child.pid).create_time())
    assert taken(store, 1) == []
    child.kill()
    child.communicate()
    assert taken(store, 1) == [2]
    assert (store.job(first).status, "its log" in store.job(first).error) == ("interrupted", True)


def test_a_job_on_another_machine_runs_until_its_heartbeat_stops(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = make_run(store)
    with monkeypatch.context() as elsewhere:  # such as a container since replaced by one with another name
        elsewhere.setattr("socket.gethostname", lambda: "elsewhere")
        (job_id,) = store.enqueue_jobs("train", [run_id])
        taken(store, 1)
        started(store, job_id)
        store.claim_run(run_id, HERE.pid, HERE.create_time())
    assert (store.job(job_id).status, store.run(run_id).status) == ("running", "running")
    with pytest.raises(RunBusyError, match="already running"):
        store.enqueue_jobs("train", [run_id])
    monkeypatch.setattr(liveness, "LEASE_S", 0.0)
    assert (store.job(job_id).status, store.run(run_id).status) == ("interrupted", "interrupted")
    store.enqueue_jobs("train", [run_id])
    assert taken(store, 1) == [run_id]


def test_only_queued_jobs_can_be_cancelled(store: Store) -> None:
    first, second, third = store.enqueue_jobs("train", [1, 2, 3])
    store.cancel_job(second)
    assert taken(store, 2) == [1, 3]
    store.cancel_job(third)  # its process has not reported yet
    assert not started(store, third)
    assert started(store, first)
    with pytest.raises(RunBusyError, match="vlmrb control 1 stop"):
        store.cancel_job(first)
    with pytest.raises(RunBusyError, match="cancelled"):
        store.cancel_job(second)
    with pytest.raises(NotFoundError, match="no job 99"):
        store.cancel_job(99)


def test_nothing_is_queued_twice(store: Store) -> None:
    (job_id,) = store.enqueue_jobs("train", [1])
    with pytest.raises(RunBusyError, match="run 1 is already queued"):
        store.enqueue_jobs("train", [2, 1])
    assert [job.target_id for job in store.jobs()] == [1]
    store.cancel_job(job_id)
    store.enqueue_jobs("train", [1])
    assert [job.status for job in store.jobs()] == ["queued", "cancelled"]


@pytest.mark.parametrize(("exit_code", "status"), [(0, "finished"), (2, "failed"), (130, "interrupted")])
def test_an_ended_job_is_finished_failed_or_interrupted(store: Store, exit_code: int, status: str) -> None:
    (job_id,) = store.enqueue_jobs("trial", [7])
    store.take_jobs({"trial": 1})
    started(store, job_id)
    store.job_ended(job_id, exit_code, "λ \x00 wrong" if exit_code else "")
    job = store.job_of("trial", 7)
    assert job is not None
    assert (job.status, job.exit_code) == (status, exit_code)
    assert not store.has_active_jobs()


def test_jobs_of_one_status_are_found_behind_newer_ones(store: Store) -> None:
    first, *others = store.enqueue_jobs("train", range(1, 6))
    taken(store, 5)
    store.job_ended(first, 2, "wrong")
    for job_id in others:
        store.job_ended(job_id, 0)
    assert [job.job_id for job in store.jobs(status="failed", limit=1)] == [first]
    assert [job.job_id for job in store.jobs(limit=2)] == others[:-3:-1]


def test_a_cancelled_job_stays_cancelled(store: Store) -> None:
    (job_id,) = store.enqueue_jobs("train", [1])
    taken(store, 1)
    store.cancel_job(job_id)
    store.job_ended(job_id, 1, "its process fails all the same")
    assert (store.job(job_id).status, store.job(job_id).error) == ("cancelled", "")


def test_a_run_with_a_queued_job_is_queued(store: Store) -> None:
    first, second = make_run(store), make_run(store)
    job_id, _ = store.enqueue_jobs("train", [first, second])
    assert [run.run_id for run in store.runs(status="queued")] == [second, first]
    taken(store, 1)
    started(store, job_id)
    assert store.run(first).status == "queued"  # its process has started, the run has not
    store.claim_run(first, os.getpid(), HERE.create_time())
    assert (store.run(first).status, store.run(second).status) == ("running", "queued")
    store.release_run(first, "stopped")
    assert store.run(first).status == "stopped"
    store.job_ended(job_id, 0)
    store.enqueue_jobs("train", [first])
    assert store.run(first).status == "queued"


def test_a_deleted_run_leaves_the_queue(store: Store) -> None:
    run_id = make_run(store)
    (job_id,) = store.enqueue_jobs("train", [run_id])
    taken(store, 1)
    store.delete_run(run_id)
    assert store.jobs() == []
    assert not started(store, job_id)


def test_settings_are_stored(store: Store) -> None:
    assert store.setting("job_limit") is None
    for value in (3, {"a": [1, None]}, 4):
        store.set_setting("job_limit", value)
        assert store.setting("job_limit") == value


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_a_setting_that_is_not_plain_data_is_refused(store: Store, value: Any) -> None:
    with pytest.raises(ConfigError):
        store.set_setting("job_limit", value)


def lose(store: Store, job_id: int, run_id: int, attempt: int, step: int) -> str | None:
    """Let the job's process of this attempt train to a step and die; says what becomes of the job."""
    (job,) = store.take_jobs({"train": 1}, launcher="far")
    assert (job.job_id, job.attempt) == (job_id, attempt)
    assert store.job_started(job_id, HERE.pid, HERE.create_time(), attempt)
    with Store(store.url) as of_process:
        of_process.claim_run(run_id, HERE.pid, HERE.create_time())
        of_process.heartbeat(run_id, step)
        lost = store.job_lost(job_id, attempt, "node 7 died")
        with pytest.raises(RunLostError):
            of_process.heartbeat(run_id, step + 1)
    assert store.job_lost(job_id, attempt, "node 7 died") is None
    assert not store.job_started(job_id, HERE.pid, HERE.create_time(), attempt)
    return lost


def test_a_lost_job_is_queued_again_while_its_run_gets_further(store: Store) -> None:
    run_id = make_run(store)
    (job_id,) = store.enqueue_jobs("train", [run_id], Destination("far", {"cpus": 2}))
    steps = [0, 100, 100, 200, 150, 200, 10, 200]
    assert [lose(store, job_id, run_id, number, step) for number, step in enumerate(steps)] == ["queued"] * len(steps)
    assert store.run(run_id).status == "queued"
    assert lose(store, job_id, run_id, 8, 200) == "interrupted"
    job = store.job(job_id)
    assert (job.status, store.run(run_id).status, job.resources) == ("interrupted", "interrupted", {"cpus": 2})
    assert "one process after another was lost at step 200" in job.error and "node 7 died" in job.error
    store.enqueue_jobs("train", [run_id])  # it can be resumed


def test_a_node_that_dies_hardly_speaks_against_its_runs(store: Store) -> None:
    run_id = make_run(store)
    (job_id,) = store.enqueue_jobs("train", [run_id], Destination("far"))
    for attempt in range(queue.MAX_FUTILE):
        assert [job.attempt for job in store.take_jobs({"train": 1}, launcher="far")] == [attempt]
        left = store.job_lost(job_id, attempt, "node 7 died", node_died=True)
        assert left == ("queued" if attempt < queue.MAX_FUTILE - 1 else "interrupted")


@pytest.mark.parametrize(("asked", "status"), [("stop", "stopped"), ("pause", "interrupted")])
def test_a_lost_job_that_was_asked_to_stop_or_pause_is_not_queued_again(store: Store, asked: str, status: str) -> None:
    run_id = make_run(store)
    (job_id,) = store.enqueue_jobs("train", [run_id], Destination("far"))
    store.request_change(run_id, asked)
    assert lose(store, job_id, run_id, 0, 10) == "interrupted"
    assert (store.run(run_id).status, asked in store.job(job_id).error) == (status, True)


def test_a_late_end_of_a_lost_attempt_does_not_end_the_next(store: Store) -> None:
    (job_id,) = store.enqueue_jobs("train", [make_run(store)], Destination("far"))
    lose(store, job_id, 1, 0, 10)
    store.take_jobs({"train": 1}, launcher="far")
    store.job_ended(job_id, 0, attempt=0)
    store.job_alive(job_id, 0, "late")
    assert (store.job(job_id).status, store.job_log(job_id)) == ("starting", "")
    store.job_alive(job_id, 1, "x" * 10**5)
    assert store.job_log(job_id) == "x" * queue.MAX_LOG
    store.job_ended(job_id, 0, attempt=1)
    assert store.job(job_id).status == "finished"


def test_each_launcher_takes_its_own_jobs_and_holds_only_those_back_that_have_not_started(store: Store) -> None:
    ids = store.enqueue_jobs("train", [1, 2, 3], Destination("far"))
    store.enqueue_jobs("train", [4])
    assert taken(store, 9) == [4]
    assert [job.target_id for job in store.take_jobs({"train": 2}, launcher="far")] == [1, 2]
    assert store.take_jobs({"train": 2}, launcher="far") == []
    started(store, ids[0])
    assert [job.target_id for job in store.take_jobs({"train": 2}, launcher="far")] == [3]


def test_a_set_has_a_limit_of_its_own_and_others_overtake_it(store: Store) -> None:
    runs = [store.create_run({}, render_spec={}, success_rule="", set_name=name) for name in ("a", "a", "a", "b")]
    first, *_ = store.enqueue_jobs("train", runs)
    limits = {"a": 1}
    assert [job.target_id for job in store.take_jobs({"train": 9}, set_limits=limits)] == [runs[0], runs[3]]
    assert store.take_jobs({"train": 9}, set_limits=limits) == []
    started(store, first)
    store.job_ended(first, 0)
    assert [job.target_id for job in store.take_jobs({"train": 9}, set_limits=limits)] == [runs[1]]
