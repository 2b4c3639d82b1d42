"""A study as a background job: it moves on by itself, can be stopped and killed, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.studies.test_branches import FILE as BRANCHES
from tests.studies.test_runs import FILE
from tests.waiting import wait_until
from vlmrb import jobs, studies
from vlmrb.__main__ import main
from vlmrb.store import Store
from vlmrb.studies.design import Study, find_study, read_study
from vlmrb.types import ACTIVE_JOB, LIVE

LONG = FILE.replace("total_steps = 400", "total_steps = 4_000_000")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose processes are ended after the test."""
    with Store(str(tmp_path / "runs.db")) as store:
        jobs.set_job_limit(store, 1)
        yield store
        for job in store.jobs(status="queued"):
            store.cancel_job(job.job_id)
        for job in sorted(store.jobs(status="running"), key=lambda job: job.kind):  # the study's first
            assert job.pid is not None
            process = psutil.Process(job.pid)
            process.kill()
            process.wait(20)


def status_of(store: Store, study: Study) -> str:
    job = studies.job_of(store, study.name)
    return "none" if job is None else job.status


def log_of(store: Store, study: Study) -> str:
    return f"{study.name}; its log ends with:\n{jobs.log_tail(store, studies.number_of(study.name), 'study')}"


def wait_for_a_live_run(store: Store, study: Study) -> None:
    wait_until(lambda: any(run.status in LIVE for run in store.runs()), lambda: f"a run of {log_of(store, study)}")


@pytest.mark.parametrize("starts", [True, False])
def test_a_job_that_starts_or_ends_while_it_is_taken_out_of_the_queue_is_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch, starts: bool
) -> None:
    store.enqueue_jobs("study", [7])
    process, cancel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]), Store.cancel_job

    def late(store: Store, job_id: int) -> None:
        store.take_jobs({"study": 1})
        assert store.job_started(job_id, process.pid, psutil.Process(process.pid).create_time())
        if not starts:
            store.job_ended(job_id, 0)
        cancel(store, job_id)

    monkeypatch.setattr(Store, "cancel_job", late)
    try:
        assert jobs.end(store, "study", 7) is starts
        assert process.wait(20) == -signal.SIGTERM if starts else process.poll() is None
    finally:
        process.kill()
        process.wait(20)


@pytest.mark.slow
def test_a_study_of_branches_moves_on_by_itself_to_its_report(store: Store) -> None:
    study = read_study(BRANCHES, "b")
    folder = studies.start(store, study)
    studies.start(store, study)  # a second press changes nothing
    assert len([job for job in store.jobs() if job.kind == "study"]) == 1
    wait_until(lambda: status_of(store, study) == "finished", lambda: log_of(store, study))
    assert studies.progress_of(store, study, folder).complete
    assert (folder.path / "report.md").exists()
    assert sorted(run.replay for run in store.runs() if run.parent_id is not None) == ["per", "per", "uniform"]


def test_a_study_run_from_a_terminal_goes_on_in_the_background_until_it_is_stopped_and_can_be_continued(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(LONG, encoding="utf-8")
    study = find_study(str(file))
    assert main(["study", "run", str(file), "--store", store.url]) == 0
    wait_for_a_live_run(store, study)
    assert status_of(store, study) in ACTIVE_JOB
    assert main(["jobs", "--store", store.url]) == 0
    assert "study tiny" in capsys.readouterr().out
    assert main(["study", "stop", str(file), "--store", store.url]) == 0
    assert "stopped 4 runs; continue with: " in capsys.readouterr().out
    assert status_of(store, study) in ("interrupted", "cancelled")  # cancelled if it was still loading
    wait_until(lambda: not any(run.status in LIVE for run in store.runs()), "the run to stop")
    assert sorted(run.status for run in store.runs()) == ["created", "created", "created", "stopped"]
    studies.start(store, study)
    wait_for_a_live_run(store, study)
    assert len(store.runs()) == 4


def test_a_study_whose_process_was_killed_goes_on_without_making_a_run_twice(store: Store) -> None:
    study = read_study(LONG, "tiny")
    studies.start(store, study)
    wait_for_a_live_run(store, study)
    job = studies.job_of(store, study.name)
    assert job is not None and job.pid is not None
    os.kill(job.pid, signal.SIGKILL)
    wait_until(lambda: status_of(store, study) == "interrupted", "the process to end")
    assert any(run.status in LIVE for run in store.runs()), "its runs go on"
    studies.start(store, study)
    wait_until(lambda: status_of(store, study) == "running", lambda: log_of(store, study))
    assert len(store.runs()) == 4


def test_a_study_that_cannot_start_says_why(store: Store) -> None:
    study = read_study(LONG.replace("CartPole-v1", "no_such_module:Env-v0"), "tiny")
    studies.start(store, study)
    wait_until(lambda: status_of(store, study) == "failed", lambda: log_of(store, study))
    job = studies.job_of(store, study.name)
    assert job is not None and "no_such_module" in job.error
    assert store.runs() == []
