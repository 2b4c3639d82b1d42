"""Start or resume a run in this process."""

from __future__ import annotations

import psutil

from vlmrb.config import TrainConfig, make_config
from vlmrb.creation import create_run
from vlmrb.errors import CheckpointError
from vlmrb.store import Store, patiently
from vlmrb.train.trainer import Progress, Trainer, TrainResult
from vlmrb.types import EDITS, LIVE_CHANGES


def train(config: TrainConfig, *, store: Store, name: str | None = None, progress: Progress | None = None) -> TrainResult:
    """Train a new run to completion and keep everything about it in the store.

    Raises:
        VlmrbError: the environment, scorer, prompt or store cannot be used. Raised before anything is written or, once
            the run has started, after its status has been set to 'failed' with the reason.
    """
    run_id = create_run(config, store=store, name=name)
    return _run(run_id, make_config(**store.run(run_id).config), store, progress)  # with 'embedded' resolved


def resume(run_id: int, *, store: Store, progress: Progress | None = None, from_start: bool = False) -> TrainResult:
    """Resume a stopped, interrupted, killed or failed run from its newest whole checkpoint.

    If that is impossible, the run's row stays as it was.

    Args:
        run_id: the run.
        store: where it is.
        progress: called about once a second.
        from_start: if no whole checkpoint is left, train again from step 0; the curves are deleted.

    Raises:
        RunBusyError: another live process is training this run.
        CheckpointError: the run is finished, no whole checkpoint is left, or it is of other settings or a different version.
    """
    run = store.run(run_id)
    if run.status == "finished":
        raise CheckpointError(f"run {run_id} has finished at step {run.step} and cannot be resumed; start a new run")
    return _run(run_id, make_config(**run.config), store, progress, from_start)


def _run(run_id: int, config: TrainConfig, store: Store, progress: Progress | None, from_start: bool = False) -> TrainResult:
    process = psutil.Process()
    outdated = patiently(lambda: _for_an_earlier_process(store, run_id))
    before = patiently(lambda: store.claim_run(run_id, process.pid, process.create_time()))
    trainer = None
    try:
        trainer = Trainer(run_id, config, store, progress, from_start=from_start, outdated=outdated)
        return trainer.run()
    except BaseException as error:
        if trainer is not None and trainer.begun:  # it has recorded why it ended
            raise
        if before["status"] != "created":
            patiently(lambda: store.unclaim_run(run_id, before))
        elif isinstance(error, KeyboardInterrupt):
            patiently(lambda: store.release_run(run_id, "interrupted"))
        else:
            words = f"{type(error).__name__}: {error}"
            patiently(lambda: store.release_run(run_id, "failed", words))
        raise


def _for_an_earlier_process(store: Store, run_id: int) -> list[int]:
    """Requests to pause or stop that nobody applied. Those made from now on, while the run starts, are for this process."""
    pending = store.live_changes(run_id, status="requested")
    return [change.change_id for change in pending if change.name in LIVE_CHANGES and change.name not in EDITS]
