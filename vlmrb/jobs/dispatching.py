"""Hands queued jobs to their launchers. Any process may do so at any time; no job starts twice.

Local jobs are started by whoever looks. Those of a cluster are started by its keeper (`launchers.ray`), so that nobody else
has to be connected to it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from vlmrb.errors import ConfigError
from vlmrb.jobs.launchers import LocalLauncher, launcher_of, set_limits
from vlmrb.jobs.logs import MAX_LOG, log_path, tail_of
from vlmrb.store import Store
from vlmrb.types import ACTIVE_JOB, LOCAL, Job, JobKind

LIMIT_SETTING = "job_limit"
MAX_LIMIT = 256
TRIALS_AT_A_TIME = 1
"""Trials have their own limit, so that a prompt can be tried while training runs are queued."""

STUDIES_AT_A_TIME = 16
"""A study's job only looks after its runs, which are jobs themselves, and takes next to no time."""


def job_limit(store: Store) -> int:
    """How many runs train at once on one machine: the setting, or two thirds of the cores, since scoring needs some too."""
    value = store.setting(LIMIT_SETTING)
    return value if isinstance(value, int) else max(1, (os.cpu_count() or 1) * 2 // 3)


def set_job_limit(store: Store, limit: int) -> None:
    """Change the limit; running jobs continue.

    Raises:
        ConfigError: not a whole number from 1 to 256.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise ConfigError(f"limit: got {limit!r}; allowed: a whole number from 1 to {MAX_LIMIT}")
    store.set_setting(LIMIT_SETTING, limit)
    dispatch(store)


def dispatch(store: Store) -> list[Job]:
    """Start all jobs of this machine that may start now; returns them."""
    limits: dict[JobKind, int] = {"train": job_limit(store), "trial": TRIALS_AT_A_TIME, "study": STUDIES_AT_A_TIME}
    jobs, launcher = store.take_jobs(limits, set_limits=set_limits(store)), LocalLauncher()
    for job in jobs:
        try:
            launcher.submit(store, job)
        except OSError as error:
            store.job_not_started(job.job_id, f"no process could be started: {error}")
    return jobs


def reconcile(store: Store) -> list[Job]:
    """Bring the queue up to date: detect dead processes, requeue lost jobs, start what may start.

    Cheap enough to be called every second or two.
    """
    return dispatch(store) if store.has_active_jobs() else []


def where(job: Job) -> str:
    """The cluster and node of a job, what it gets there, and what is said of it; '' for a job of this machine."""
    if job.launcher == LOCAL:
        return ""
    again = (
        f"; its process was lost {job.attempt} time{'s' if job.attempt > 1 else ''}, and it was queued again"
        if job.attempt
        else ""
    )
    state = launcher_of(job).state(job) if job.status in ACTIVE_JOB else f"{job.status} on node {job.node or 'unknown'}"
    return f"{job.launcher}, {in_words(job.resources)}: {state or 'not looked at yet'}{again}"


def in_words(resources: Mapping[str, float]) -> str:
    """Amounts of resources for people: 'cpus 1, gpus 0.2'."""
    return ", ".join(f"{name} {amount:g}" for name, amount in resources.items())


def log_tail(store: Store, target_id: int, kind: JobKind = "train", max_bytes: int = MAX_LOG) -> str:
    """The last lines of a job's log, from wherever it runs; '' if there is none yet. Runs trained in a terminal have none."""
    job = store.job_of(kind, target_id)
    if job is None:
        return tail_of(log_path(store, kind, target_id), max_bytes)
    return launcher_of(job).log(store, job, max_bytes)
