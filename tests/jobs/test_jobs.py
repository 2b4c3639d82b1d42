"""Background jobs as real processes on a real store: order, limits, crashes, and jobs that outlive their launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.ending import end_jobs
from tests.waiting import wait_until
from vlmrb import jobs
from vlmrb.checkpoint import latest_step
from vlmrb.config import make_config
from vlmrb.errors import CheckpointError, ConfigError, EnvironmentSetupError, RunBusyError
from vlmrb.store import Store
from vlmrb.types import RunStatus

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"env": "CartPole-v1", "total_steps": 400, "learning_starts": 10_000, "eval_interval": 400, "eval_episodes": 1,
         "keep_clips": False, "hidden_size": 16, "n_envs": 2}  # fmt: skip
LONG = SHORT | {"total_steps": 5_000_000, "eval_interval": 5_000_000, "checkpoint_interval": 2_000}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose jobs all end with the test."""
    with Store(str(tmp_path / "runs.db")) as store:
        jobs.set_job_limit(store, 1)
        yield store
        end_jobs(store)


def launch(store: Store, *seeds: int, settings: dict[str, Any] = SHORT) -> list[int]:
    return jobs.launch(store, jobs.matched_set(settings, [{"replay": "uniform"}], seeds))


def status(store: Store, run_id: int) -> RunStatus:
    return store.run(run_id).status


def trains(store: Store, run_id: int) -> int:
    """Wait until a process trains the run and has a checkpoint after that of step 0; its pid."""
    folder = store.folder_of_run(run_id) / "checkpoints"
    wait_until(
        lambda: status(store, run_id) == "running" and bool(latest_step(folder)),
        lambda: f"the first checkpoint of run {run_id}; its log ends with:\n{jobs.log_tail(store, run_id)}",
    )
    pid = store.run(run_id).pid
    assert pid is not None
    return pid


def test_runs_are_trained_one_after_another_without_supervision(store: Store) -> None:
    first, second = launch(store, 0, 1)
    assert (status(store, second), store.run(second).step) == ("queued", 0)
    wait_until(lambda: status(store, second) == "finished", "the second run to finish")  # nothing here calls reconcile
    runs = [store.run(first), store.run(second)]
    assert [run.status for run in runs] == ["finished", "finished"]
    assert runs[1].started_at >= runs[0].ended_at
    wait_until(lambda: [job.status for job in store.jobs()] == ["finished", "finished"], "both jobs to end")
    assert "finished at step 400" in jobs.log_tail(store, first)


def test_jobs_that_start_the_next_one_do_not_lengthen_its_search_path(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/further", str(ROOT)]))
    _, second = launch(store, 0, 1)

    def path_of_second() -> str:
        job = store.job_of("train", second)
        if job is None or job.pid is None:
            return ""
        return psutil.Process(job.pid).environ()["PYTHONPATH"]

    assert wait_until(path_of_second, "the first run to end and the second to start") == os.pathsep.join([str(ROOT), "/further"])


@pytest.mark.slow
def test_two_dispatchers_at_once_start_no_job_twice(store: Store) -> None:
    jobs.set_job_limit(store, 8)
    script = (
        "import sys; from vlmrb import jobs; from vlmrb.store import Store; store = Store(sys.argv[1]);"
        "print('ready', flush=True); sys.stdin.readline(); [jobs.reconcile(store) for _ in range(40)]"
    )
    checked = jobs.launching.check_all(jobs.matched_set(SHORT, [{"replay": "uniform"}], range(4)))
    run_ids = [jobs.launching.write_run(run, store=store) for run in checked]
    store.enqueue_jobs("train", run_ids)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    others = [subprocess.Popen([sys.executable, "-c", script, store.url], cwd=ROOT, **pipes) for _ in range(2)]
    assert [other.stdout.readline() for other in others] == ["ready\n"] * 2
    for other in others:
        print(file=other.stdin, flush=True)
    wait_until(lambda: all(status(store, run_id) == "finished" for run_id in run_ids), "every run to finish")
    for other in others:
        other.communicate(timeout=60)
    assert [other.returncode for other in others] == [0, 0]
    for run_id in run_ids:
        log = jobs.log_tail(store, run_id)
        assert log.count("started") == 1 and "another process has it" not in log


def test_a_killed_job_is_reported_as_interrupted_and_resumes_from_its_checkpoint(store: Store) -> None:
    (run_id,) = launch(store, 0, settings=LONG)
    pid = trains(store, run_id)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: status(store, run_id) == "interrupted", "the killed run to be reported as interrupted")
    jobs.resume(store, run_id)
    assert trains(store, run_id) != pid
    wait_until(lambda: store.run(run_id).step >= 2_000, "step 2,000")
    assert jobs.log_tail(store, run_id).count("started") == 2
    jobs.stop(store, run_id)
    wait_until(lambda: status(store, run_id) == "stopped", "the run to stop")
    wait_until(lambda: [job.status for job in store.jobs()] == ["finished", "interrupted"], "the resumed job to end")


def test_a_killed_job_makes_room_for_the_next(store: Store) -> None:
    first, second = launch(store, 0, 1, settings=LONG)
    os.kill(trains(store, first), signal.SIGKILL)
    wait_until(lambda: jobs.reconcile(store) or status(store, second) == "running", "the second run to start")
    trains(store, second)


def test_jobs_and_queue_outlive_the_process_that_launched_them(store: Store) -> None:
    script = (
        "import os, signal, sys, time; from vlmrb import jobs; from vlmrb.store import Store; s = Store(sys.argv[1]);"
        f"jobs.launch(s, jobs.matched_set({SHORT!r}, [{{'replay': 'uniform'}}], [0, 1]));"
        "os.killpg(os.getpgid(0), signal.SIGKILL)"
    )
    outcome = subprocess.run([sys.executable, "-c", script, store.url], cwd=ROOT, start_new_session=True, timeout=120)
    assert outcome.returncode == -signal.SIGKILL
    wait_until(lambda: [run.status for run in store.runs()] == ["finished", "finished"], "both runs to finish")


def test_a_job_leaves_no_zombie(store: Store) -> None:
    launch(store, 0)
    (job,) = store.jobs()
    wait_until(lambda: store.job(job.job_id).status == "finished", "the job to end")
    wait_until(lambda: not psutil.pid_exists(job.pid), "its process to be reaped")  # a zombie's id would still exist


def test_queued_runs_can_be_cancelled_and_resumed(store: Store) -> None:
    _, second = launch(store, 0, 1, settings=LONG)
    jobs.stop(store, second)
    assert status(store, second) == "created"
    with pytest.raises(RunBusyError, match="cancelled"):
        jobs.cancel(store, second)
    jobs.resume(store, second)
    assert status(store, second) == "queued"
    with pytest.raises(RunBusyError, match="already queued"):
        jobs.resume(store, second)


def test_cancelling_a_starting_job_starts_the_next(store: Store) -> None:
    first, second = launch(store, 0, 1)
    assert [job.status for job in store.jobs()] == ["queued", "starting"]  # its process loads torch, which takes a while
    loading = store.jobs()[1].pid
    assert loading is not None
    jobs.cancel(store, first)
    wait_until(lambda: not psutil.pid_exists(loading), "the process of the cancelled job to end")
    wait_until(lambda: status(store, second) == "finished", "the second run to finish")  # nothing here calls reconcile
    assert status(store, first) == "created"
    assert jobs.log_tail(store, first) == ""  # it has not loaded to the end, beside the one that took its slot


def test_a_terminated_job_is_interrupted_and_the_next_starts(store: Store) -> None:
    first, second = launch(store, 0, 1, settings=LONG)
    os.kill(
        wait_until(lambda: store.run(first).pid, "the first run to have a process"), signal.SIGTERM
    )  # at once, possibly while the run is still setting up
    wait_until(lambda: status(store, second) == "running", "the second run to start")
    assert (status(store, first), store.run(first).error) == ("interrupted", "")
    assert [job.status for job in store.jobs()] == ["running", "interrupted"]


def test_a_process_that_cannot_start_is_not_retried(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/bin/false")
        (run_id,) = launch(store, 0)
    wait_until(lambda: store.jobs(status="interrupted"), "the job to read as interrupted")
    assert jobs.reconcile(store) == []
    assert status(store, run_id) == "created"
    jobs.resume(store, run_id)
    wait_until(lambda: status(store, run_id) == "finished", "the run to finish")


def test_a_paused_run_can_be_stopped(store: Store) -> None:
    (run_id,) = launch(store, 0, settings=LONG)
    trains(store, run_id)
    jobs.pause(store, run_id)
    wait_until(lambda: status(store, run_id) == "paused", "the run to pause")
    jobs.stop(store, run_id)
    wait_until(lambda: status(store, run_id) == "stopped", "the run to stop")


@pytest.mark.slow
def test_a_stop_counts_from_the_moment_at_which_a_resumed_run_takes_it(store: Store) -> None:
    (run_id,) = launch(store, 0, settings=LONG)
    trains(store, run_id)
    jobs.stop(store, run_id)
    wait_until(lambda: status(store, run_id) == "stopped", "the run to stop")
    jobs.resume(store, run_id)
    wait_until(lambda: status(store, run_id) == "running", "the run to be claimed")
    jobs.stop(store, run_id)  # the process is still loading
    wait_until(lambda: status(store, run_id) == "stopped", "the run to stop again")
    assert [change.status for change in store.live_changes(run_id)] == ["applied", "applied"]


def test_a_model_folder_is_found_whatever_folder_the_job_starts_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    configs = [make_config(**SHORT, scorer=scorer) for scorer in ("hf:model", "hf:facebook/Perception-LM-1B", "oracle")]
    scorers = [run.config.scorer for run in jobs.launching.check_all(configs)]
    assert scorers == [f"hf:{tmp_path / 'model'}", "hf:facebook/Perception-LM-1B", "oracle"]


def test_a_running_run_cannot_be_cancelled_resumed_or_deleted(store: Store) -> None:
    (run_id,) = launch(store, 0, settings=LONG)
    trains(store, run_id)
    with pytest.raises(RunBusyError, match=f"vlmrb control {run_id} stop"):
        jobs.cancel(store, run_id)
    with pytest.raises(RunBusyError, match="running"):
        jobs.resume(store, run_id)
    with pytest.raises(RunBusyError, match="stop it before deleting it"):
        jobs.delete_run(store, run_id)
    assert store.folder_of_run(run_id).is_dir()


def test_a_finished_run_can_be_deleted_with_its_files_but_not_resumed(store: Store) -> None:
    (run_id,) = launch(store, 0)
    wait_until(lambda: [job.status for job in store.jobs()] == ["finished"], "the job to end")
    with pytest.raises(CheckpointError, match="finished at step 400"):
        jobs.resume(store, run_id)
    jobs.delete_run(store, run_id)
    assert store.runs() == []
    assert store.jobs() == []
    assert not store.folder_of_run(run_id).exists()


def test_a_job_that_fails_says_why_in_log_and_queue(store: Store) -> None:
    (run_id,) = jobs.launch(store, [make_config(**SHORT, replay="vlm", scorer="hf:/no-such-folder")])
    wait_until(lambda: store.jobs(status="failed"), "the job to fail")
    assert status(store, run_id) == "failed"
    assert "no-such-folder" in store.run(run_id).error
    assert "no-such-folder" in jobs.log_tail(store, run_id)


def test_one_invalid_run_means_that_none_is_written(store: Store) -> None:
    good = jobs.matched_set(SHORT, [{"replay": "uniform"}], [0])
    bad = jobs.matched_set(SHORT | {"env": "NoSuchEnv-v9"}, [{"replay": "uniform"}], [0])
    with pytest.raises(EnvironmentSetupError, match="run 2 of 2"):
        jobs.launch(store, good + bad)
    with pytest.raises(ConfigError, match="got 0 runs"):
        jobs.launch(store, [])
    assert store.runs() == []
    assert store.jobs() == []


def test_launching_loads_no_torch(store: Store) -> None:
    script = (
        "import sys; from vlmrb import jobs; from vlmrb.store import Store; s = Store(sys.argv[1]);"
        f"jobs.launch(s, jobs.matched_set({SHORT!r}, [{{'replay': 'uniform'}}], [0])); print('torch' in sys.modules)"
    )
    outcome = subprocess.run([sys.executable, "-c", script, store.url], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert outcome.stdout.strip() == "False", outcome.stderr


@pytest.mark.parametrize("limit", [0, -1, 257, 1.5, True, "4"])
def test_an_invalid_limit_is_refused(store: Store, limit: Any) -> None:
    with pytest.raises(ConfigError, match="from 1 to 256"):
        jobs.set_job_limit(store, limit)
    assert jobs.job_limit(store) == 1


def test_a_long_log_is_cut_to_whole_lines(store: Store) -> None:
    run_id = store.create_run({}, render_spec={}, success_rule="")
    path = store.folder_of_run(run_id) / "log.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"first\n" + b"\xff line of text\n" * 1_000)
    tail = jobs.log_tail(store, run_id, max_bytes=100)
    assert set(tail.splitlines()) == {"� line of text"}
    assert jobs.log_tail(store, 99) == ""
