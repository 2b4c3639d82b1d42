"""The launcher 'local': a process on this machine, in a session of its own. Its handle is the id of the process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from vlmrb.jobs.logs import log_path, tail_of
from vlmrb.store import Store
from vlmrb.types import Job

PACKAGE_FOLDER = str(Path(__file__).resolve().parents[3])


class LocalLauncher:
    """Starts processes on this machine."""

    def submit(self, store: Store, job: Job) -> str:
        """Start a process in a new session: it survives this process and Ctrl-C in its terminal.

        Raises:
            OSError: it cannot be started.
        """
        path = log_path(store, job.kind, job.target_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        environment = {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"} | os.environ  # one thread per run: several run at once
        environment |= {"VLMRB_STORE": store.url, "PYTHONPATH": search_path(), "PYTHONUNBUFFERED": "1"}
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
        return str(process.pid)

    def cancel(self, job: Job) -> None:
        """End a process of this machine; the job's status compared its id and start time."""
        if job.pid is not None and job.host == socket.gethostname():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(job.pid, signal.SIGKILL)

    def state(self, job: Job) -> str:
        """Nothing but what the store knows of it."""
        return "gone" if job.status == "interrupted" else job.status

    def log(self, store: Store, job: Job, max_bytes: int) -> str:
        """The file that the process writes to."""
        return tail_of(log_path(store, job.kind, job.target_id), max_bytes)


def search_path() -> str:
    """PYTHONPATH of a job's process: this package first, without repetition, as jobs start further jobs."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys(filter(None, [PACKAGE_FOLDER, *given])))
