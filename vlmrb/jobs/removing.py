"""Removes runs from the queue or from the store."""

from __future__ import annotations

import shutil

from vlmrb.errors import CheckpointError, NotFoundError
from vlmrb.jobs.dispatching import dispatch
from vlmrb.jobs.ending import cancel_job
from vlmrb.places import place_of
from vlmrb.store import Store


def cancel(store: Store, run_id: int) -> None:
    """Take a queued run out of the queue.

    Raises:
        NotFoundError, RunBusyError: there is no such run, or it is not queued.
    """
    run = store.run(run_id)
    job = store.job_of("train", run_id)
    if job is None:
        raise NotFoundError(f"run {run_id} is {run.status} and was never in the queue")
    cancel_job(store, job)
    dispatch(store)  # if it was about to start, its slot is free now


def delete_run(store: Store, run_id: int) -> None:
    """Delete a run with all its data: rows, clips, scores, checkpoints, log. This cannot be undone.

    Raises:
        NotFoundError: there is no such run.
        RunBusyError: it is being trained.
        CheckpointError: it is deleted, but its checkpoints are elsewhere and could not be removed.
    """
    place, folder = place_of(store, store.run(run_id)), store.folder_of_run(run_id)
    store.delete_run(run_id)
    shutil.rmtree(folder, ignore_errors=True)
    dispatch(store)  # if it was about to start, its slot is free now
    try:
        place.delete()
    except CheckpointError as error:
        raise CheckpointError(f"run {run_id} is deleted, but its checkpoints are still in {place.name}: {error}") from error
