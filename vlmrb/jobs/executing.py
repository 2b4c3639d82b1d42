"""The life of a job's process: it reports, does its work, writes a log, and starts the next job when it ends."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable

import psutil

from vlmrb.errors import VlmrbError
from vlmrb.jobs.dispatching import dispatch
from vlmrb.store import Store
from vlmrb.types import JobKind, RunFigures

EXIT_NOT_MINE, EXIT_ERROR, EXIT_CRASH, EXIT_INTERRUPTED = 3, 2, 1, 130
LOG_INTERVAL_S = 10.0

Work = Callable[[Store, int], tuple[int, str]]
"""Does what a job is for, given the run's or trial's id; returns the exit status and what went wrong."""


def execute(store: Store, job_id: int) -> int:
    """Do the job in this process; returns its exit status. Does nothing where the job was cancelled or is another's.

    What has to be loaded is loaded first, so that a job can be cancelled until its work begins.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it as Ctrl-C does; while it trains the Trainer knows better
    process, job = psutil.Process(), store.job(job_id)
    exit_code, error = EXIT_CRASH, "the process was ended"
    try:
        work = _load_work(job.kind)
        if not store.job_started(job_id, process.pid, process.create_time()):
            say(f"job {job_id} was cancelled, or another process has it")
            exit_code = EXIT_NOT_MINE
            return exit_code
        say(f"job {job_id} begins: process {process.pid}, {job.kind} {job.target_id}")
        exit_code, error = work(store, job.target_id)
    except VlmrbError as failure:
        exit_code, error = EXIT_ERROR, str(failure)
        say(f"failed: {failure}")
    except KeyboardInterrupt:
        exit_code, error = EXIT_INTERRUPTED, "interrupted"
        say(error)
    except Exception as failure:  # noqa: BLE001  whatever it is, the log and the queue are told
        exit_code, error = EXIT_CRASH, f"{type(failure).__name__}: {failure}"
        say(f"failed:\n{traceback.format_exc()}")
    finally:
        if exit_code != EXIT_NOT_MINE:
            store.job_ended(job_id, exit_code, error)
        dispatch(store)
    return exit_code


def _load_work(kind: JobKind) -> Work:
    if kind == "trial":
        return _run_trial
    import vlmrb.train  # noqa: F401  torch takes seconds

    return _train


def _train(store: Store, run_id: int) -> tuple[int, str]:
    from vlmrb.train import resume

    log = Occasionally()
    warned: set[str] = set()

    def progress(step: int, total: int, figures: RunFigures) -> None:
        if figures.warning and figures.warning not in warned:
            warned.add(figures.warning)
            say(f"warning: {figures.warning}")
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
    """Says when the next line of the log is due."""

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
    """One line of the log, with the time."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {words}", flush=True)
