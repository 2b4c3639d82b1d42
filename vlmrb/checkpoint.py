"""Checkpoints: each is written to a temporary folder, then renamed, so that a complete one always exists.

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
    """Write a checkpoint under `folder`, then remove the older ones.

    Raises:
        CheckpointError: it cannot be written (with the reason); the older one is kept.
    """
    import torch

    target = folder / f"{_PREFIX}{step:012d}"
    temporary = folder / f".{target.name}.{os.getpid()}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        (temporary / "arrays").mkdir(parents=True)
        (temporary / "state.json").write_text(json.dumps(state))
        torch.save(tensors, temporary / "tensors.pt")
        for name, array in arrays.items():
            np.save(temporary / "arrays" / f"{name}.npy", array, allow_pickle=False)
        for path in (*temporary.rglob("*"), temporary):
            _sync(path)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        _sync(folder)
    except (OSError, RuntimeError) as error:  # torch.save raises a RuntimeError if the disk is full
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"the checkpoint at step {step} cannot be written under {folder}: {getattr(error, 'strerror', None) or error}. "
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
    """Step of the newest checkpoint under `folder`, or None without one."""
    steps = [int(path.name.removeprefix(_PREFIX)) for path in folder.glob(f"{_PREFIX}*") if path.is_dir()]
    return max(steps, default=None)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]:
    """The newest checkpoint: state, tensors, arrays.

    Raises:
        CheckpointError: none exists, or it is damaged.
    """
    import torch

    step = latest_step(folder)
    if step is None:
        raise CheckpointError(f"no checkpoint exists under {folder}; start a new run")
    path = folder / f"{_PREFIX}{step:012d}"
    try:
        state = json.loads((path / "state.json").read_text())
        tensors = torch.load(path / "tensors.pt", weights_only=True, map_location="cpu")
        arrays = {file.stem: np.load(file, allow_pickle=False) for file in (path / "arrays").glob("*.npy")}
    except Exception as error:  # torch, NumPy and json raise various errors for damaged files
        raise CheckpointError(f"the checkpoint {path} is damaged ({type(error).__name__}: {error}); start a new run") from error
    return state, tensors, arrays
