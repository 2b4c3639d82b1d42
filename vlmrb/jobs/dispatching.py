"""Starts queued jobs up to the limit. Any process may do so at any time; no job starts twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from vlmrb.errors import ConfigError
from vlmrb.jobs.logs import log_path
from vlmrb.store import Store
from vlmrb.types import Job, JobKind

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
    """Start all jobs that may start now; returns them."""
    limits: dict[JobKind, int] = {"train": job_limit(store), "trial": TRIALS_AT_A_TIME, "study": STUDIES_AT_A_TIME}
    jobs = store.take_jobs(limits)
    for job in jobs:
        try:
            _start_process(store, job)
        except OSError as error:
            store.job_not_started(job.job_id, f"no process could be started: {error}")
    return jobs


def reconcile(store: Store) -> list[Job]:
    """Bring the queue up to date: detect dead processes, requeue lost jobs, start what may start.

    Cheap enough to be called every second or two.
    """
    return dispatch(store) if store.has_active_jobs() else []


def _start_process(store: Store, job: Job) -> None:
    """Start a process in a new session: it survives this process and Ctrl-C in its terminal."""
    path = log_path(store, job.kind, job.target_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    package_folder = str(Path(__file__).resolve().parents[2])
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    search_path = dict.fromkeys(filter(None, [package_folder, *given]))  # without repetition, as jobs start further jobs
    environment = {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"} | os.environ  # one thread per run: several run at once
    environment |= {"VLMRB_STORE": store.url, "PYTHONPATH": os.pathsep.join(search_path), "PYTHONUNBUFFERED": "1"}
    with path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vlmrb.studies" if job.kind == "study" else "vlmrb.jobs", str(job.job_id)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,  # not an argument: the store's URL may hold a password
            start_new_session=True,
        )
    started_at = psutil.Process(process.pid).create_time()  # exists until someone has waited for it
    threading.Thread(target=process.wait, name=f"job-{job.job_id}", daemon=True).start()  # avoids a zombie
    store.job_spawned(job.job_id, process.pid, started_at)
