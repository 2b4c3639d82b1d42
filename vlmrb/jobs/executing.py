"""What a job's process does: report, work, write a log, and start the next job at the end."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

from vlmrb.errors import StoreError, VlmrbError
from vlmrb.jobs.dispatching import dispatch
from vlmrb.jobs.logs import log_path, tail_of
from vlmrb.store import Store, patiently
from vlmrb.types import LOCAL, Job, JobKind, RunFigures

EXIT_NOT_MINE, EXIT_ERROR, EXIT_CRASH, EXIT_INTERRUPTED = 3, 2, 1, 130
LOG_INTERVAL_S = 10.0
MAX_SENT = 8_000
"""Bytes of its log that a process on a cluster sends to the store."""

PULSE_S = 5.0
"""Seconds between a job's signs of life."""

Work = Callable[[Store, int], tuple[int, str]]
"""Does a job's work, given the id of its run or trial; returns the exit status and the error, if any."""


def execute(store: Store, job_id: int, load_work: Callable[[JobKind], Work] | None = None, *, attempt: int = 0) -> int:
    """Do the job in this process; returns its exit status. Does nothing if the job was cancelled or another process has it.

    Slow imports come first, so that a job can be cancelled until its work starts.

    Args:
        store: whose queue it is.
        job_id: the job, taken for its launcher.
        load_work: what to do; by default, training or a trial.
        attempt: which of the job's processes this is, from 0.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C; during training the Trainer replaces this
    process, job = psutil.Process(), store.job(job_id)
    if job.launcher != LOCAL:
        _begin_elsewhere(store, job, attempt)
    exit_code, error = EXIT_CRASH, "the process was terminated"
    try:
        work = (load_work or _load_work)(job.kind)
        if not patiently(lambda: store.job_started(job_id, process.pid, process.create_time(), attempt)):
            say(f"job {job_id} was cancelled, or another process has it")
            exit_code = EXIT_NOT_MINE
            return exit_code
        say(f"job {job_id} started: process {process.pid}, {job.kind} {job.target_id}")
        with _pulse(store, job, attempt):
            exit_code, error = work(store, job.target_id)
    except VlmrbError as failure:
        exit_code, error = EXIT_ERROR, str(failure)
        say(f"failed: {failure}")
    except KeyboardInterrupt:
        exit_code, error = EXIT_INTERRUPTED, "interrupted"
        say(error)
    except Exception as failure:  # noqa: BLE001  log and queue record any failure
        exit_code, error = EXIT_CRASH, f"{type(failure).__name__}: {failure}"
        say(f"failed:\n{traceback.format_exc()}")
    finally:
        exit_code = _report(store, job, attempt, exit_code, error)
    return exit_code


def _report(store: Store, job: Job, attempt: int, exit_code: int, error: str) -> int:
    """Record the end of the job and start the next one; returns the exit status, an error if the store refuses."""
    try:
        if exit_code != EXIT_NOT_MINE:
            patiently(lambda: store.job_ended(job.job_id, exit_code, error, attempt))
        if job.launcher == LOCAL:
            patiently(lambda: dispatch(store))
    except StoreError as failure:
        say(f"the end of job {job.job_id} could not be recorded: {failure}")
        return exit_code or EXIT_ERROR
    return exit_code


def _begin_elsewhere(store: Store, job: Job, attempt: int) -> None:
    """What a process on a cluster does first: say where it is, and end with its parent."""
    from vlmrb.jobs.launchers.ray import follow_runner, write_log

    follow_runner()
    write_log(store, job)
    process = psutil.Process()
    node = os.environ.get("VLMRB_NODE", "")
    patiently(lambda: store.job_spawned(job.job_id, process.pid, process.create_time(), attempt, node))


@contextmanager
def _pulse(store: Store, job: Job, attempt: int) -> Iterator[None]:
    """Send signs of life while the work is done, and from a cluster the end of the log, whenever there is more of it."""
    ended, sent = threading.Event(), ""

    def send() -> None:
        nonlocal sent
        log = "" if job.launcher == LOCAL else tail_of(log_path(store, job.kind, job.target_id), MAX_SENT)
        with suppress(StoreError):  # busy: the next one will do
            store.job_alive(job.job_id, attempt, None if log == sent else log)
            sent = log

    def run() -> None:
        while not ended.wait(PULSE_S):
            send()

    thread = threading.Thread(target=run, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(PULSE_S)
        if job.launcher != LOCAL:
            send()


def _load_work(kind: JobKind) -> Work:
    if kind == "trial":
        return _run_trial
    import vlmrb.train  # noqa: F401  torch takes seconds to import

    return _train


def _train(store: Store, run_id: int) -> tuple[int, str]:
    from vlmrb.train import resume

    log = Occasionally()
    said: set[str] = set()

    def progress(step: int, total: int, figures: RunFigures) -> None:
        for words in figures.news:
            if words not in said:
                said.add(words)
                say(words)
        if log.is_due():
            say(f"step {step:,} of {total:,}{_figures(figures)}")

    result = resume(run_id, store=store, progress=progress)
    rate = result.final_success_rate
    say(f"{result.status} at step {result.steps:,}" + ("" if rate is None else f", success {rate:.0%}"))
    return (EXIT_INTERRUPTED, "interrupted") if result.status == "interrupted" else (0, "")


def _run_trial(store: Store, trial_id: int) -> tuple[int, str]:
    from vlmrb.rescoring import ScoringProgress, run_trial

    log = Occasionally()

    def progress(at: ScoringProgress) -> None:
        if log.is_due():
            say(str(at))

    run_trial(store, trial_id, progress)
    say("finished")
    return 0, ""


def _figures(figures: RunFigures) -> str:
    known = ((figures.success_rate, "success {:.0%}"), (figures.vlm_weight, "λ {:.2f}"), (figures.positive_rate, "yes {:.0%}"),
             (figures.steps_per_second, "{:.0f} steps/s"))  # fmt: skip
    return "".join(f", {form.format(value)}" for value, form in known if value is not None)


class Occasionally:
    """Limits how often progress is logged."""

    def __init__(self, seconds: float = LOG_INTERVAL_S) -> None:
        self._seconds, self._next = seconds, 0.0

    def is_due(self) -> bool:
        """True at most once per interval."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def say(words: str) -> None:
    """Write one log line, with the time."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {words}", flush=True)
