"""Asking a live run for a change. The run takes it up itself, within seconds."""

from __future__ import annotations

from typing import Literal

from vlmrb.config import parse_lambda
from vlmrb.errors import ConfigError, RunBusyError
from vlmrb.jobs.removing import cancel
from vlmrb.prompt_library import stored_prompt
from vlmrb.replay.registry import replay_method
from vlmrb.store import Store
from vlmrb.types import LIVE, RunSummary


def request_lambda(store: Store, run_id: int, value: float | str | None) -> int:
    """Ask a live run for another λ: a number in [0, 1], 'none' (no mixture) or 'schedule'; returns the request's id.

    Raises:
        ConfigError: another value, or the run has no λ.
        NotFoundError, RunBusyError: there is no such run, or no process trains it.
    """
    weight = parse_lambda(value)
    _refuse(why_not(_live(store, run_id), "lambda"))
    return store.request_change(run_id, "lambda", "none" if weight is None else weight)


def request_prompt(store: Store, run_id: int, prompt: str | int) -> int:
    """Ask a live run to use another prompt from now on: a stored one's id, a preset, 'name@version', or the text of a question.

    Raises:
        ConfigError: the prompt is empty or unknown, or the run has no use for one.
        NotFoundError, RunBusyError: there is no such run, or no process trains it.
    """
    _refuse(why_not(_live(store, run_id), "prompt"))
    prompt_id = store.prompt(prompt).prompt_id if isinstance(prompt, int) else stored_prompt(store, prompt)
    return store.request_change(run_id, "prompt", prompt_id)


def why_not(run: RunSummary, what: Literal["lambda", "prompt"]) -> str:
    """Why a change of λ or prompt cannot work for this run; '' where it can."""
    if run.status not in LIVE:
        return f"run {run.run_id} is {run.status}: no process listens for changes"
    if what not in replay_method(run.replay).live:
        name = "λ" if what == "lambda" else "the prompt"
        return f"run {run.run_id} draws batches by {run.replay!r}: {name} would have no effect; only pause, unpause and stop do"
    return ""


def pause(store: Store, run_id: int) -> int:
    """Ask a live run to wait; returns the request's id."""
    return _ask(store, run_id, "pause")


def unpause(store: Store, run_id: int) -> int:
    """Ask a paused run to continue; returns the request's id."""
    return _ask(store, run_id, "unpause")


def stop(store: Store, run_id: int) -> int | None:
    """Ask a live run to end after a checkpoint, or take one that waits out of the queue (None then, else the request's id).

    Raises:
        NotFoundError, RunBusyError: there is no such run, or nothing to stop.
    """
    if store.run(run_id).status == "queued":
        cancel(store, run_id)
        return None
    return _ask(store, run_id, "stop")


def _ask(store: Store, run_id: int, what: str) -> int:
    _live(store, run_id)
    return store.request_change(run_id, what)


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
        way_out = f"; resume it by: python -m vlmrb resume {run_id}"
    raise RunBusyError(f"run {run_id} is {run.status}: no process listens for changes{way_out}")
