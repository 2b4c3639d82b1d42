"""Start or resume a run in this process."""

from __future__ import annotations

import psutil

from vlmrb.config import TrainConfig, make_config
from vlmrb.creation import create_run
from vlmrb.errors import CheckpointError
from vlmrb.store import Store
from vlmrb.train.trainer import Progress, Trainer, TrainResult


def train(config: TrainConfig, *, store: Store, name: str | None = None, progress: Progress | None = None) -> TrainResult:
    """Train a new run to completion and keep everything about it in the store.

    Raises:
        VlmrbError: the environment, scorer, prompt or store cannot be used. Raised before anything is written or, once
            the run has started, after its status has been set to 'failed' with the reason.
    """
    run_id = create_run(config, store=store, name=name)
    return _run(run_id, make_config(**store.run(run_id).config), store, progress)  # with 'embedded' resolved


def resume(run_id: int, *, store: Store, progress: Progress | None = None) -> TrainResult:
    """Resume a stopped, interrupted, killed or failed run from its newest checkpoint.

    Raises:
        RunBusyError: another live process is training this run.
        CheckpointError: the run is finished, or its checkpoint is damaged or from a different version.
    """
    run = store.run(run_id)
    if run.status == "finished":
        raise CheckpointError(f"run {run_id} has finished at step {run.step} and cannot be resumed; start a new run")
    return _run(run_id, make_config(**run.config), store, progress)


def _run(run_id: int, config: TrainConfig, store: Store, progress: Progress | None) -> TrainResult:
    process = psutil.Process()
    store.claim_run(run_id, process.pid, process.create_time())
    try:
        trainer = Trainer(run_id, config, store, progress)
    except KeyboardInterrupt:
        store.release_run(run_id, "interrupted")
        raise
    except BaseException as error:
        store.release_run(run_id, "failed", f"{type(error).__name__}: {error}")
        raise
    return trainer.run()
