"""Training: the only place where environments, clips, scoring, replay, agent and store meet.

`trainer.py` holds the method and what surrounds it, `labelling.py` the way of a clip to its label, `entry.py` the
functions that begin a run or go on with one.
"""

from __future__ import annotations

from vlmrb.creation import create_run
from vlmrb.train.entry import resume, train
from vlmrb.train.trainer import Progress, Trainer, TrainResult

__all__ = ["Progress", "TrainResult", "Trainer", "create_run", "resume", "train"]
