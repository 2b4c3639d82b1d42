"""Trials in the background: launched, stopped, resumed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any

from vlmrb.errors import RunBusyError
from vlmrb.jobs.dispatching import dispatch
from vlmrb.jobs.launching import from_anywhere
from vlmrb.prompt_library import find_question
from vlmrb.rescoring import create_trial
from vlmrb.store import Store


def launch_trial(store: Store, *, scorer: str, prompt: str, **settings: Any) -> int:
    """Make a trial as `vlmrb.rescoring.create_trial` does, run it in the background, and return its id.

    `prompt` may also be 'name@version' of a prompt that is stored.

    Raises:
        VlmrbError: as `create_trial`; nothing has been written then.
    """
    trial_id = create_trial(store, scorer=from_anywhere(scorer), prompt=find_question(store, prompt), **settings)
    store.enqueue_jobs("trial", [trial_id])
    dispatch(store)
    return trial_id


def stop_trial(store: Store, trial_id: int) -> None:
    """End a trial: out of the queue, or its process. What it has found stays, and it can be resumed.

    Raises:
        NotFoundError: there is no such trial.
        RunBusyError: nothing runs or waits, or its process is another machine's.
    """
    store.trial(trial_id)
    job = store.job_of("trial", trial_id)
    if job is None or job.status not in ("queued", "starting", "running"):
        raise RunBusyError(f"trial {trial_id} neither runs nor waits")
    if job.status != "running":
        store.cancel_job(job.job_id)
    elif job.pid is None or job.host != socket.gethostname():
        raise RunBusyError(f"trial {trial_id} runs on {job.host}; end it there")
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(job.pid, signal.SIGTERM)  # the job is true to its process: id and start time have been compared


def resume_trial(store: Store, trial_id: int) -> None:
    """Queue a trial that has not come to its end.

    Raises:
        NotFoundError, RunBusyError: there is no such trial, or it waits or runs already.
    """
    store.trial(trial_id)
    store.enqueue_jobs("trial", [trial_id])
    dispatch(store)
