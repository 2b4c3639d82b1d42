"""Training: the only place where environments, clips, scoring, replay, agent and store meet.

`trainer.py` holds the method and its bookkeeping, `labelling.py` takes clips from recording to label, `resuming.py` is what
checkpoints hold and how a run takes that over, `ending.py` brings the end of a run to the store, and `entry.py` starts or
resumes a run.
"""

from __future__ import annotations

from vlmrb.creation import create_run
from vlmrb.train.entry import resume, train
from vlmrb.train.trainer import Progress, Trainer, TrainResult

__all__ = ["Progress", "TrainResult", "Trainer", "create_run", "resume", "train"]
