"""Talking to runs: changes of a live one, its log, and its end. A live run takes requests up itself, within seconds."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from typing import Literal

from vlmrb.config import parse_lambda
from vlmrb.errors import ConfigError, NotFoundError, RunBusyError
from vlmrb.jobs.dispatching import dispatch, log_path
from vlmrb.replay.registry import replay_method
from vlmrb.scoring import fit_to_pictures, pictures_of, prompt_notice, resolve_prompt
from vlmrb.scoring.prompts import load_presets
from vlmrb.store import Store
from vlmrb.types import JobKind, Prompt, RunSummary

LIVE = ("running", "paused")
MAX_LOG = 64_000


def request_lambda(store: Store, run_id: int, value: float | str | None) -> int:
    """Ask a live run for another λ: a number in [0, 1], 'none' (no mixture) or 'schedule'; returns the request's id.

    Raises:
        ConfigError: another value, or the run has no λ.
        NotFoundError, RunBusyError: there is no such run, or no process trains it.
    """
    weight = parse_lambda(value)
    _refuse(why_not(_live(store, run_id), "lambda"))
    return store.request_control(run_id, "lambda", "none" if weight is None else weight)


def request_prompt(store: Store, run_id: int, prompt: str | int) -> int:
    """Ask a live run to use another prompt from now on: a stored one's id, a preset, 'name@version', or the text of a question.

    Raises:
        ConfigError: the prompt is empty or unknown, or the run has no use for one.
        NotFoundError, RunBusyError: there is no such run, or no process trains it.
    """
    _refuse(why_not(_live(store, run_id), "prompt"))
    prompt_id = store.prompt(prompt).prompt_id if isinstance(prompt, int) else stored_prompt(store, prompt)
    return store.request_control(run_id, "prompt", prompt_id)


def why_not(run: RunSummary, what: Literal["lambda", "prompt"]) -> str:
    """Why a change of λ or prompt cannot work for this run; '' where it can."""
    if run.status not in LIVE:
        return f"run {run.run_id} is {run.status}: no process listens for changes"
    if what not in replay_method(run.replay).live:
        name = "λ" if what == "lambda" else "the prompt"
        return f"run {run.run_id} draws batches by {run.replay!r}: {name} would have no effect; only pause, resume and stop do"
    return ""


def prompt_presets() -> list[Prompt]:
    """The shipped prompts, by name and version."""
    return [prompt for versions in load_presets().values() for prompt in versions]


def save_prompt(store: Store, name: str, text: str) -> Prompt:
    """Store a text as the next version of a name; the same text under the same name is the same version.

    Raises:
        ConfigError: the name is empty or a preset's, or the text is empty.
    """
    name = name.strip()
    if not name or "@" in name:
        raise ConfigError("name: give one of your own, without an @, such as 'keys and doors'")
    if name in {prompt.name for prompt in prompt_presets()} | {"custom"}:
        raise ConfigError(f"name: {name!r} is a preset's and stays as it was published; give another name")
    return store.save_prompt(name, text)


def find_question(store: Store, prompt: str) -> Prompt:
    """What a preset, 'name@version' of the store, or the text of a question stands for; nothing is written.

    Raises:
        ConfigError: it is empty, or there is no such version.
    """
    if not prompt.strip():
        raise ConfigError("prompt: is empty; give a preset (games, manipulation) or the text of a yes/no question")
    name, at, version = prompt.strip().rpartition("@")
    if at and version.isdecimal() and (found := store.find_prompt(name, int(version))):
        return found
    return resolve_prompt(prompt)


def unreadable(store: Store, scorer: str, prompt: str, env: str) -> str:
    """What a scorer cannot read of a question (as `find_question` has it), in words with a way out; '' if it can.

    `env` is the environment that it is asked about, where 'embedded' is not settled yet.

    Raises:
        ConfigError: there is no such question.
    """
    return prompt_notice(fit_to_pictures(scorer, {"kind": pictures_of(env)}), find_question(store, prompt).text)


def stored_prompt(store: Store, prompt: str) -> int:
    """The id of the stored version that `prompt` stands for, as `find_question` has it; stored now where it was not.

    Raises:
        ConfigError: it is empty, or there is no such version.
    """
    question = find_question(store, prompt)
    prompt_id = question.prompt_id or store.save_prompt(question.name, question.text).prompt_id
    assert prompt_id is not None
    return prompt_id


def pause(store: Store, run_id: int) -> int:
    """Ask a live run to wait; returns the request's id."""
    return _ask(store, run_id, "pause")


def unpause(store: Store, run_id: int) -> int:
    """Ask a paused run to go on; returns the request's id."""
    return _ask(store, run_id, "resume")


def stop(store: Store, run_id: int) -> int | None:
    """Ask a live run to end after a checkpoint, or take one that waits out of the queue (None then, else the request's id).

    Raises:
        NotFoundError, RunBusyError: there is no such run, or nothing to stop.
    """
    if store.run(run_id).status == "queued":
        job = store.job_of("train", run_id)
        if job is not None:
            _cancel(store, job.job_id)
            return None
    return _ask(store, run_id, "stop")


def stop_trial(store: Store, trial_id: int) -> None:
    """End a trial: out of the queue, or its process. What it has found stays, and it can be gone on with.

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


def delete_run(store: Store, run_id: int) -> None:
    """Remove a run with everything of it: rows, clips, scores, checkpoints, log. It cannot be undone.

    Raises:
        NotFoundError: there is no such run.
        RunBusyError: it is being trained.
    """
    folder = store.folder_of_run(run_id)
    store.delete_run(run_id)
    shutil.rmtree(folder, ignore_errors=True)
    dispatch(store)  # it may have been about to begin


def log_tail(store: Store, target_id: int, kind: JobKind = "train", max_bytes: int = MAX_LOG) -> str:
    """The end of a job's log, in whole lines; '' where there is none yet. Runs trained in a terminal have none."""
    try:
        with log_path(store, kind, target_id).open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - max_bytes))
            data = log.read(max_bytes)
    except OSError:
        return ""
    if size > max_bytes:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace")


def _ask(store: Store, run_id: int, what: str) -> int:
    _live(store, run_id)
    return store.request_control(run_id, what)


def _refuse(reason: str) -> None:
    if reason:
        raise ConfigError(reason)


def _live(store: Store, run_id: int) -> RunSummary:
    run = store.run(run_id)
    if run.status in LIVE:
        return run
    if run.status == "finished":
        way_out = ""
    elif run.status == "queued":
        way_out = f"; take it out of the queue by: python -m vlmrb cancel {run_id}"
    else:
        way_out = f"; go on with it by: python -m vlmrb resume {run_id}"
    raise RunBusyError(f"run {run_id} is {run.status}: no process listens for changes{way_out}")


def cancel(store: Store, run_id: int) -> None:
    """Take a run that waits out of the queue.

    Raises:
        NotFoundError, RunBusyError: there is no such run, or it does not wait.
    """
    run = store.run(run_id)
    job = store.job_of("train", run_id)
    if job is None:
        raise NotFoundError(f"run {run_id} is {run.status} and was never in the queue")
    _cancel(store, job.job_id)


def _cancel(store: Store, job_id: int) -> None:
    store.cancel_job(job_id)
    dispatch(store)  # it may have been about to begin: its place is free now
