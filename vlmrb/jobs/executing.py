"""What a job's process does: report, work, write a log, and start the next job at the end."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable

import psutil

from vlmrb.errors import StoreError, VlmrbError
from vlmrb.jobs.dispatching import dispatch
from vlmrb.store import Store, patiently
from vlmrb.types import JobKind, RunFigures

EXIT_NOT_MINE, EXIT_ERROR, EXIT_CRASH, EXIT_INTERRUPTED = 3, 2, 1, 130
LOG_INTERVAL_S = 10.0

Work = Callable[[Store, int], tuple[int, str]]
"""Does a job's work, given the id of its run or trial; returns the exit status and the error, if any."""


def execute(store: Store, job_id: int, load_work: Callable[[JobKind], Work] | None = None) -> int:
    """Do the job in this process; returns its exit status. Does nothing if the job was cancelled or another process has it.

    Slow imports come first, so that a job can be cancelled until its work starts.

    Args:
        store: whose queue it is.
        job_id: the job, taken by `dispatch`.
        load_work: what to do; by default, training or a trial.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C; during training the Trainer replaces this
    process, job = psutil.Process(), store.job(job_id)
    exit_code, error = EXIT_CRASH, "the process was terminated"
    try:
        work = (load_work or _load_work)(job.kind)
        if not patiently(lambda: store.job_started(job_id, process.pid, process.create_time())):
            say(f"job {job_id} was cancelled, or another process has it")
            exit_code = EXIT_NOT_MINE
            return exit_code
        say(f"job {job_id} started: process {process.pid}, {job.kind} {job.target_id}")
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
        exit_code = _report(store, job_id, exit_code, error)
    return exit_code


def _report(store: Store, job_id: int, exit_code: int, error: str) -> int:
    """Record the end of the job and start the next one; returns the exit status, an error if the store refuses."""
    try:
        if exit_code != EXIT_NOT_MINE:
            patiently(lambda: store.job_ended(job_id, exit_code, error))
        patiently(lambda: dispatch(store))
    except StoreError as failure:
        say(f"the end of job {job_id} could not be recorded: {failure}")
        return exit_code or EXIT_ERROR
    return exit_code


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
