"""Carries studies on: until nothing is left to do, in a terminal or as a background job that needs no open page or terminal.

There is one job per study. It launches, branches and resumes runs, which are jobs of their own, and writes the report in the
end. Killed or stopped, it is started again like any other job, and finds what was made before.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress

from vlmrb import jobs
from vlmrb.errors import NotFoundError, RunBusyError
from vlmrb.jobs.executing import EXIT_ERROR, Occasionally, say
from vlmrb.store import Store, patiently
from vlmrb.studies.design import Study
from vlmrb.studies.files import StudyFolder, begun_studies, default_folder
from vlmrb.studies.report import write_report
from vlmrb.studies.runs import Progress, advance, runs_of
from vlmrb.types import ACTIVE_JOB, LIVE, Job

POLL_S = 2.0
STOP_S = 10.0
"""How long to wait for a process that was asked to end, and for runs that are just starting."""


def carry_on(store: Store, study: Study, folder: StudyFolder, seen: Callable[[Progress], None]) -> Progress:
    """Take every step until the study is complete, or until nothing moves any more: the runs that are left have failed.

    Args:
        store, study, folder: as for `advance`.
        seen: told how far the study is, every two seconds.

    Raises:
        VlmrbError: as for `advance`.
    """
    resumed: set[int] = set()
    before: Progress | None = None
    while True:
        state = patiently(lambda: advance(store, study, folder, resumed))
        seen(state)
        if state.complete or (state == before and not state.moving and not _has_jobs(store, study)):
            return state
        before = state
        time.sleep(POLL_S)


def start(store: Store, study: Study) -> StudyFolder:
    """Begin the study in its default folder, if it has not begun, and carry it on in the background; returns the folder.

    Raises:
        ConfigError: see `StudyFolder.begin`.
    """
    folder = StudyFolder(default_folder(store.url, study.name))
    folder.begin(study)
    with suppress(RunBusyError):  # somebody carries it on already
        store.enqueue_jobs("study", [number_of(study.name)])
        jobs.dispatch(store)
    return folder


def stop(store: Store, study: Study) -> int:
    """End the study's job and stop its runs after a checkpoint; returns how many were stopped. `start` continues it.

    Raises:
        RunBusyError: its job runs on another machine, or does not end.
    """
    jobs.end(store, "study", number_of(study.name), wait_s=STOP_S)
    stopped: set[int] = set()
    for run in runs_of(store, study).values():  # queued ones first, so that they do not start in the place of others
        if run.status == "queued":
            with suppress(RunBusyError):  # it has just started
                jobs.cancel(store, run.run_id)
                stopped.add(run.run_id)
    gives_up_at = time.monotonic() + STOP_S
    while True:
        runs = runs_of(store, study).values()
        for run in runs:
            if run.status in LIVE and run.run_id not in stopped:
                with suppress(RunBusyError):  # it has just ended
                    jobs.stop(store, run.run_id)
                    stopped.add(run.run_id)
        starting = {run.run_id for run in runs if run.status not in LIVE} & _busy(store)
        if not starting or time.monotonic() > gives_up_at:
            return len(stopped)
        time.sleep(0.2)


def _has_jobs(store: Store, study: Study) -> bool:
    """Whether a run of the study has a job that has not ended: it may be about to start, or to report its end."""
    return bool({run.run_id for run in runs_of(store, study).values()} & _busy(store))


def _busy(store: Store) -> set[int]:
    """The runs whose job has not ended."""
    return {job.target_id for status in ACTIVE_JOB for job in store.jobs(status=status) if job.kind == "train"}


def job_of(store: Store, name: str) -> Job | None:
    """The newest job of a study, if any."""
    return store.job_of("study", number_of(name))


def number_of(name: str) -> int:
    """The number by which jobs know a study of this name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1 or 1


def folder_of(store: Store, number: int) -> StudyFolder:
    """The default folder of the study that jobs know by this number.

    Raises:
        NotFoundError: it is gone.
    """
    for folder in begun_studies(default_folder(store.url)):
        if number_of(folder.path.name) == number:
            return folder
    raise NotFoundError(f"the study's folder is no longer in {default_folder(store.url)}; restore it")


def work(store: Store, number: int) -> tuple[int, str]:
    """What a study's job does; returns the exit status and the error, if any."""
    folder = folder_of(store, number)
    study, log = folder.study(), Occasionally()
    say(f"{study.name}: {len(study.every)} runs")

    def seen(state: Progress) -> None:
        if log.is_due():
            say(f"{state.done} of {len(state.states)} runs done")

    state = carry_on(store, study, folder, seen)
    if folder.lines(study):
        write_report(folder)
    if state.complete:
        say("complete")
        return 0, ""
    left = [each for each in state.states if each.state not in ("done", "no branch")]
    names = "; ".join(f"{each.cell.name} ({each.state})" for each in left[:5]) + ("; …" if len(left) > 5 else "")
    return EXIT_ERROR, f"{len(left)} of {len(state.states)} runs did not get to their end: {names}"
