"""Launches, stops and resumes trials in the background."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from vlmrb.errors import RunBusyError
from vlmrb.jobs.dispatching import dispatch
from vlmrb.jobs.ending import end
from vlmrb.jobs.launching import from_anywhere
from vlmrb.prompt_library import find_question
from vlmrb.rescoring import create_trial
from vlmrb.store import Store
from vlmrb.types import Prompt


def launch_trial(store: Store, *, scorer: str, prompt: str | Prompt, **settings: Any) -> int:
    """Create a trial with `vlmrb.rescoring.create_trial`, run it in the background, and return its id. One that was there is
    resumed where it has not finished.

    `prompt` may also be the 'name@version' of a stored prompt.

    Raises:
        VlmrbError: as for `create_trial`; nothing has been written.
    """
    question = prompt if isinstance(prompt, Prompt) else find_question(store, prompt)
    trial_id = create_trial(store, scorer=from_anywhere(scorer), prompt=question, **settings)
    if store.trial(trial_id).status in ("finished", "running"):  # of the same clips, with the answers that are wanted
        return trial_id
    with suppress(RunBusyError):  # it is queued
        store.enqueue_jobs("trial", [trial_id])
    dispatch(store)
    return trial_id


def repeat_trial(store: Store, trial_id: int, same_clips_as: int) -> int:
    """Try what a trial has tried on the clips of another, in the background; returns the id of that trial.

    Raises:
        VlmrbError: as for `launch_trial`.
    """
    trial = store.trial(trial_id)
    if trial.clip_ids == store.trial(same_clips_as).clip_ids:
        return trial_id
    given = {name: trial.options[name] for name in ("frames", "device", "dtype", "seed") if name in trial.options}
    prompt = "games" if trial.prompt_id is None else store.prompt(trial.prompt_id)  # which nobody reads
    return launch_trial(
        store,
        run_ids=(),
        scorer=trial.scorer,
        prompt=prompt,
        threshold=trial.threshold,
        same_clips_as=same_clips_as,
        **given,
    )


def stop_trial(store: Store, trial_id: int) -> None:
    """Stop a trial: take it out of the queue or end its process. Its scores are kept, and it can be resumed.

    Raises:
        NotFoundError: there is no such trial.
        RunBusyError: it is neither running nor queued, or it is running on another machine.
    """
    store.trial(trial_id)
    if not end(store, "trial", trial_id):
        raise RunBusyError(f"trial {trial_id} is neither running nor queued")


def resume_trial(store: Store, trial_id: int) -> None:
    """Queue a trial that has not finished.

    Raises:
        NotFoundError, RunBusyError: there is no such trial, or it is already queued or running.
    """
    store.trial(trial_id)
    store.enqueue_jobs("trial", [trial_id])
    dispatch(store)
