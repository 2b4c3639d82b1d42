"""Requests live changes of a run. The run applies them itself within seconds."""

from __future__ import annotations

from typing import Literal

from vlmrb.config import parse_lambda
from vlmrb.errors import ConfigError, RunBusyError
from vlmrb.jobs.removing import cancel
from vlmrb.live import parse_change
from vlmrb.prompt_library import stored_prompt
from vlmrb.replay.registry import replay_method
from vlmrb.store import Store
from vlmrb.types import LIVE, RunSummary, SetQuestion


def request_lambda(store: Store, run_id: int, value: float | str | None) -> int:
    """Change a live run's λ: a number in [0, 1], 'none' (no mixture) or 'schedule'; returns the request's id.

    Raises:
        ConfigError: the value is not one of these, or the run has no λ.
        NotFoundError, RunBusyError: there is no such run, or no process is training it.
    """
    weight = parse_lambda(value)
    _refuse(why_not(_live(store, run_id), "lambda"))
    return store.request_change(run_id, "lambda", "none" if weight is None else weight)


def request_prompt(store: Store, run_id: int, prompt: str | int) -> int:
    """Change a live run's prompt: a stored prompt's id, a preset, 'name@version' or the text of a question.

    Raises:
        ConfigError: the prompt is empty or unknown, or the run does not use one.
        NotFoundError, RunBusyError: there is no such run, or no process is training it.
    """
    _refuse(why_not(_live(store, run_id), "prompt"))
    prompt_id = store.prompt(prompt).prompt_id if isinstance(prompt, int) else stored_prompt(store, prompt)
    return store.request_change(run_id, "prompt", prompt_id)


def request_question(store: Store, run_id: int, value: int | str) -> int:
    """Let one question of a live run's prompt decide its labels: its number, from 1, or 'schedule'; returns the request's id.

    Raises:
        ConfigError: the value is not one of these, or the run reads no answers.
        NotFoundError, RunBusyError: there is no such run, or no process is training it.
    """
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        value = int(value)
    change = parse_change("question", value)
    _refuse(why_not(_live(store, run_id), "question"))
    assert isinstance(change, SetQuestion)
    return store.request_change(run_id, "question", "schedule" if change.number is None else change.number)


def why_not(run: RunSummary, what: Literal["lambda", "prompt", "question"]) -> str:
    """Why λ, the prompt or the ruling question of this run cannot be changed; '' if it can."""
    if run.status not in LIVE:
        return f"run {run.run_id} is {run.status}: no process listens for changes"
    if what not in replay_method(run.replay).live:
        name = {"lambda": "λ", "prompt": "the prompt", "question": "the ruling question"}[what]
        return f"run {run.run_id} uses {run.replay!r} replay: {name} has no effect; only pause, unpause and stop do"
    return ""


def pause(store: Store, run_id: int) -> int:
    """Pause a live run; returns the request's id."""
    return _ask(store, run_id, "pause")


def unpause(store: Store, run_id: int) -> int:
    """Unpause a paused run; returns the request's id."""
    return _ask(store, run_id, "unpause")


def stop(store: Store, run_id: int) -> int | None:
    """Stop a live run after a checkpoint (returns the request's id), or take a queued one out of the queue (returns None).

    Raises:
        NotFoundError, RunBusyError: there is no such run, or it is neither live nor queued.
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
        way_out = f"; take it out of the queue with: python -m vlmrb cancel {run_id}"
    else:
        way_out = f"; resume it with: python -m vlmrb resume {run_id}"
    raise RunBusyError(f"run {run_id} is {run.status}: no process listens for changes{way_out}")
