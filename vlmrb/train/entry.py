"""Begin a run, or go on with one, in this process."""

from __future__ import annotations

import psutil

from vlmrb.config import TrainConfig, make_config
from vlmrb.creation import create_run
from vlmrb.errors import CheckpointError
from vlmrb.store import Store
from vlmrb.train.trainer import Progress, Trainer, TrainResult


def train(config: TrainConfig, *, store: Store, name: str | None = None, progress: Progress | None = None) -> TrainResult:
    """Train a new run to its end, and keep everything about it in the store.

    Raises:
        VlmrbError: the environment, scorer, prompt or store cannot be used; raised before anything is written, or, once
            the run has begun, after its status has been set to 'failed' with the reason.
    """
    run_id = create_run(config, store=store, name=name)
    return _run(run_id, make_config(**store.run(run_id).config), store, progress)  # in which 'embedded' is settled


def resume(run_id: int, *, store: Store, progress: Progress | None = None) -> TrainResult:
    """Go on with a run that was stopped, interrupted, killed or has failed, from its newest checkpoint.

    Raises:
        RunBusyError: another live process trains this run.
        CheckpointError: the run is finished, or its checkpoint is damaged.
    """
    run = store.run(run_id)
    if run.status == "finished":
        raise CheckpointError(f"run {run_id} is finished at step {run.step}; start a new run")
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
