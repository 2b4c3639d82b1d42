"""Takes jobs out of the queue, and ends those of others than runs, which are asked to stop (`live`)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

from vlmrb.errors import RunBusyError
from vlmrb.jobs.launchers import launcher_of
from vlmrb.store import Store
from vlmrb.types import ACTIVE_JOB, Job, JobKind


def cancel_job(store: Store, job: Job) -> None:
    """Take a job out of the queue. A process that is loading for it has done nothing yet and is ended.

    Otherwise it would go on loading, beside the one that takes its slot.

    Raises:
        NotFoundError, RunBusyError: there is no such job, or its work has begun.
    """
    store.cancel_job(job.job_id)
    if job.status == "starting":
        launcher_of(job).cancel(job)


def end(store: Store, kind: JobKind, target_id: int, *, wait_s: float = 0.0) -> bool:
    """Take a trial's or a study's job out of the queue, or end its process; False if it has none.

    Args:
        store: whose queue it is.
        kind, target_id: whose job.
        wait_s: how long to wait until the process has ended.

    Raises:
        RunBusyError: it is running on another machine, or has not ended in time.
    """
    job = store.job_of(kind, target_id)
    if job is None or job.status not in ACTIVE_JOB:
        return False
    if job.status != "running":
        with contextlib.suppress(RunBusyError):  # it has just started, or ended
            cancel_job(store, job)
            return True
        job = store.job(job.job_id)
        if job.status not in ACTIVE_JOB:
            return False
    if job.pid is None or job.host != socket.gethostname():
        raise RunBusyError(f"{kind} {target_id} is running on {job.host}; stop it there")
    with contextlib.suppress(ProcessLookupError):
        os.kill(job.pid, signal.SIGTERM)  # safe: the status above compared the process's id and start time
    gives_up_at = time.monotonic() + wait_s
    while wait_s and store.job(job.job_id).status in ACTIVE_JOB:
        if time.monotonic() > gives_up_at:
            raise RunBusyError(f"process {job.pid} of {kind} {target_id} has not ended yet; try again")
        time.sleep(0.1)
    return True
