"""Checkpoints: a folder written beside, then renamed, so that there is always a whole one.

step-000025000/
  state.json      numbers and text
  tensors.pt      the agent (torch.save; loaded with weights_only=True)
  arrays/*.npy    the replay buffer and open clips (loaded with allow_pickle=False)
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from vlmrb.errors import CheckpointError

_PREFIX = "step-"


def save_checkpoint(
    folder: Path, step: int, state: dict[str, Any], tensors: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    """Write a checkpoint under `folder` and remove the older ones once it stands.

    Raises:
        CheckpointError: it cannot be written (with the reason); the older one is still there.
    """
    import torch

    target = folder / f"{_PREFIX}{step:012d}"
    beside = folder / f".{target.name}.{os.getpid()}"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        (beside / "arrays").mkdir(parents=True)
        (beside / "state.json").write_text(json.dumps(state))
        torch.save(tensors, beside / "tensors.pt")
        for name, array in arrays.items():
            np.save(beside / "arrays" / f"{name}.npy", array, allow_pickle=False)
        for path in (*beside.rglob("*"), beside):
            _sync(path)
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
        _sync(folder)
    except (OSError, RuntimeError) as error:  # torch.save raises a RuntimeError where the disk is full
        shutil.rmtree(beside, ignore_errors=True)
        raise CheckpointError(
            f"the checkpoint of step {step} cannot be written under {folder}: {getattr(error, 'strerror', None) or error}. "
            "Free some space or make the folder writable, then resume the run"
        ) from error
    for path in folder.iterdir():
        if path != target and path.name.lstrip(".").startswith(_PREFIX):
            shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def latest_step(folder: Path) -> int | None:
    """Step of the newest checkpoint under `folder`, or None where there is none."""
    steps = [int(path.name.removeprefix(_PREFIX)) for path in folder.glob(f"{_PREFIX}*") if path.is_dir()]
    return max(steps, default=None)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]:
    """The newest checkpoint: state, tensors, arrays.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    import torch

    step = latest_step(folder)
    if step is None:
        raise CheckpointError(f"there is no checkpoint under {folder}; start a new run")
    path = folder / f"{_PREFIX}{step:012d}"
    try:
        state = json.loads((path / "state.json").read_text())
        tensors = torch.load(path / "tensors.pt", weights_only=True, map_location="cpu")
        arrays = {file.stem: np.load(file, allow_pickle=False) for file in (path / "arrays").glob("*.npy")}
    except Exception as error:  # whatever a damaged file makes torch, NumPy or json raise
        raise CheckpointError(f"the checkpoint {path} is damaged ({type(error).__name__}: {error}); start a new run") from error
    return state, tensors, arrays
