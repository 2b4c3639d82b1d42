"""Ends the background jobs of a store, so that none outlives its test."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from tests.waiting import wait_until
from vlmrb.errors import RunBusyError
from vlmrb.store import Store


def end_jobs(store: Store) -> None:
    """End all queued and running jobs, and those that they start in turn."""
    wait_until(lambda: _none_left(store), "every job to end")


def _none_left(store: Store) -> bool:
    """End all queued and running jobs; returns whether there were none left."""
    active = [job for job in store.jobs() if job.status in ("queued", "starting", "running")]
    for job in active:
        with suppress(RunBusyError, ProcessLookupError):  # it has started or ended in the meantime
            if job.status == "running" and job.pid is not None:
                os.kill(job.pid, signal.SIGKILL)
            else:
                store.cancel_job(job.job_id)
    return not active
