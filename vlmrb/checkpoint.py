"""Checkpoints: written so that a whole one exists at every moment, and believed only if every byte is as it was written.

    step-000000025000/      the one before the newest, in case that gets damaged
    step-000000050000/
      SHA256SUMS      checksums of all other files, as `sha256sum` writes them; no file may be missing and none added
      state.json      numbers and text, with the step and the version of this format
      tensors.pt      the agent (torch.save; loaded with weights_only=True)
      arrays/*.npy    the replay buffer and open clips (loaded with allow_pickle=False)
    replaced-step-…/        while a checkpoint takes the place of another of the same step: the other
    damaged-step-…/         set aside when it was to be loaded

Each is written to a hidden folder and then renamed. Anything else in the folder is ignored.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vlmrb.errors import CheckpointError

FORMAT = 2
"""Version of the format; 1 had neither checksums nor this number."""

KEPT = 2
"""Checkpoints that are kept, and damaged ones."""

SUMS = "SHA256SUMS"
"""The file with the checksums of all others."""

Loaded = tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]
"""State, tensors and arrays."""

_NAME = re.compile(r"(replaced-)?step-([0-9]{12,})")
_DAMAGED = re.compile(r"damaged-(replaced-)?step-[0-9]{12,}(-[0-9]+)?")
_UNFINISHED = re.compile(r"\.(replaced-)?step-[0-9]{12,}\..+")
_FULL = (errno.ENOSPC, errno.EDQUOT, None)  # torch and NumPy give no number
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


class DamagedError(Exception):
    """What is wrong with a checkpoint, in words. Caught where checkpoints are looked through; nobody else sees it."""


def save_checkpoint(
    folder: Path,
    step: int,
    state: dict[str, Any],
    tensors: dict[str, Any],
    arrays: dict[str, np.ndarray],
    *,
    keep: int = KEPT,
) -> None:
    """Write a checkpoint under `folder`, then remove all but the `keep` newest.

    If the disk is full, all older ones but the newest give way first.

    Raises:
        CheckpointError: it cannot be written (with the reason); the newest of the older ones is kept.
    """
    try:
        try:
            _write(folder, step, state, tensors, arrays)
        except (OSError, RuntimeError) as error:  # torch.save raises a RuntimeError if the disk is full
            if getattr(error, "errno", None) not in _FULL or not remove_older(folder):
                raise
            _write(folder, step, state, tensors, arrays)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint at step {step} cannot be written under {folder}: {getattr(error, 'strerror', None) or error}. "
            "Free some space or make the folder writable, then resume the run"
        ) from error
    _tidy(folder, step, keep)


def _write(folder: Path, step: int, state: dict[str, Any], tensors: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    import torch

    target = folder / f"step-{step:012d}"
    temporary = folder / f".{target.name}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        (temporary / "arrays").mkdir(parents=True)
        (temporary / "state.json").write_text(json.dumps({**state, "step": step, "format": FORMAT}))
        torch.save(tensors, temporary / "tensors.pt")
        for name, array in arrays.items():
            # NumPy writes what does not lie in one piece, such as a field of records, element by element
            np.save(temporary / "arrays" / f"{name}.npy", np.asarray(array, order="C"), allow_pickle=False)
        (temporary / SUMS).write_text(_sums(temporary))
        for path in (*temporary.rglob("*"), temporary):
            _sync(path)
        if target.exists():
            replaced = folder / f"replaced-{target.name}"
            remove(replaced)  # of an earlier replacement that was cut short after the new one was in place
            target.rename(replaced)
        temporary.rename(target)
    except (OSError, RuntimeError):
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(folder)
    _sync(folder.parent)  # the first checkpoint creates the folder


def remove_older(folder: Path) -> bool:
    """Make room on a full disk: remove all checkpoints but the newest; False if there are none to remove."""
    older = _checkpoints(folder)[1:]
    for _, path in older:
        remove(path)
    return bool(older)


def _tidy(folder: Path, step: int, keep: int) -> None:
    """Remove all but the `keep` newest checkpoints up to `step` and the newest damaged ones, and what was left unfinished."""
    for path in unfinished(folder):
        shutil.rmtree(path, ignore_errors=True)
    newest = {at: path for at, path in reversed(_checkpoints(folder)) if at <= step}  # of one step the unreplaced one
    kept = [newest[at] for at in sorted(newest)[-keep:]]
    for _, path in _checkpoints(folder):
        if path not in kept:
            remove(path)
    for path in sorted(path for path in folder.iterdir() if _DAMAGED.fullmatch(path.name))[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def unfinished(folder: Path) -> list[Path]:
    """What processes that were killed left under `folder` while they wrote or removed a checkpoint; [] if it cannot be read."""
    with contextlib.suppress(OSError):
        return sorted(path for path in folder.iterdir() if _UNFINISHED.fullmatch(path.name))
    return []


def remove(path: Path) -> None:
    """Remove a checkpoint; it stops being one at once, so that no half of it is ever left."""
    doomed = path.with_name(f".{path.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Steps and folders of what looks like a checkpoint, newest first; a replaced one after its successor.

    Raises:
        CheckpointError: the folder cannot be read.
    """
    try:
        found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)) and path.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error
    newest = sorted(((int(match[2]), match[1] is None, path) for match, path in found), reverse=True)
    return [(step, path) for step, _, path in newest]


def latest_step(folder: Path) -> int | None:
    """Step of the newest checkpoint under `folder`, whole or not; None without one."""
    return next((step for step, _ in _checkpoints(folder)), None)


def load_checkpoint(folder: Path, tell: Callable[[str], None] = lambda _: None) -> Loaded | None:
    """The newest whole checkpoint; None if there is none. Damaged ones that are newer are set aside.

    Args:
        folder: where `save_checkpoint` wrote them.
        tell: told in words about each one set aside.

    Raises:
        CheckpointError: the checkpoint is whole, but cannot be read or was written by a newer version.
    """
    for step, path in _checkpoints(folder):
        try:
            return load_from(path, step)
        except DamagedError as damage:
            tell(_set_aside(path, str(damage)))
    return None


def copy_checkpoint(folder: Path, target: Path) -> int | None:
    """Copy the newest whole checkpoint, even while a run is writing others; returns its step, or None if there is none.

    Args:
        folder: where `save_checkpoint` wrote it.
        target: where to write the copy; created if needed.

    Raises:
        OSError: the copy cannot be written.
    """
    for _ in range(3):  # a live run may remove a checkpoint while it is being copied; it has newer ones then
        for step, path in _checkpoints(folder):
            if _copy(path, target / f"step-{step:012d}"):
                return step
    return None


def copy_checkpoints(folder: Path, target: Path) -> int:
    """Copy all whole checkpoints under `folder`; returns how many there were.

    Raises:
        OSError: a copy cannot be written.
    """
    return sum(_copy(path, target / path.name) for _, path in list_checkpoints(folder))


def _copy(path: Path, copied: Path) -> bool:
    """Copy a checkpoint; False, and no copy, if it is damaged or its run has just removed it.

    Raises:
        OSError: the copy cannot be written.
    """
    try:
        shutil.copytree(path, copied)
        check(copied)
    except (DamagedError, OSError) as error:
        shutil.rmtree(copied, ignore_errors=True)
        if isinstance(error, OSError) and path.exists():
            raise
        return False
    return True


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Steps and folders of the checkpoints under `folder`, newest first; whether they are damaged is not looked at.

    Raises:
        CheckpointError: the folder cannot be read.
    """
    return [(step, path) for step, path in _checkpoints(folder) if not path.name.startswith("replaced-")]


def size_of(path: Path) -> int:
    """Bytes of a folder's files; fewer if it is being removed."""
    total = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def link_checkpoint(path: Path, folder: Path) -> None:
    """Make a checkpoint one of `folder` too, without a second copy of its files where the file system can do that.

    No checkpoint's file is ever changed in place, so that both last for as long as either is wanted.

    Raises:
        CheckpointError: it is damaged or has just been removed, or the new one cannot be written.
    """
    target = folder / path.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, target, copy_function=_link)
        check(target)
        for place in (target / "arrays", target, folder, folder.parent):
            _sync(place)
    except (OSError, DamagedError) as error:  # copytree's error is an OSError
        shutil.rmtree(target, ignore_errors=True)
        raise CheckpointError(f"the checkpoint {path} cannot be taken over: {error}") from error


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def load_from(path: Path, step: int) -> Loaded:
    """Load one checkpoint, of this step.

    Raises:
        DamagedError: it is not as it was written.
        CheckpointError: it is, but cannot be read or was written by a newer version.
    """
    import torch

    try:
        has_sums = check(path)
        state = json.loads((path / "state.json").read_bytes())
        version = state.get("format", 1)
        if not has_sums and version != 1:
            raise DamagedError(f"{SUMS} is missing")
        if version > FORMAT:
            raise CheckpointError(f"the checkpoint {path} was written by a newer version of vlmrb; upgrade, then resume again")
        if state.get("step", step) != step:
            raise DamagedError(f"it is of step {state['step']}, so its folder was renamed")
        tensors = torch.load(path / "tensors.pt", weights_only=True, map_location="cpu")
        arrays = {file.stem: np.load(file, allow_pickle=False) for file in (path / "arrays").glob("*.npy")}
    except (DamagedError, CheckpointError):
        raise
    except OSError as error:
        if error.errno in (errno.EIO, *_MISSING):
            raise DamagedError(error.strerror) from error
        raise _unreadable(path, error) from error
    except MemoryError as error:
        raise CheckpointError(f"the checkpoint {path} does not fit into this machine's memory; free some, then resume") from error
    except Exception as error:  # torch, NumPy and json raise various errors for damaged files
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    return state, tensors, arrays


def check(path: Path) -> bool:
    """Compare a checkpoint's files with its checksums; False if it is of the first format, which has none.

    Raises:
        DamagedError: they differ.
        OSError: a file cannot be read.
    """
    if not (path / SUMS).exists():
        return False
    written, found = (path / SUMS).read_bytes(), _sums(path).encode()
    if written != found:
        before, now = (_by_name(text) for text in (written, found))
        words = [f"{name} is missing" for name in before if name not in now]
        words += [f"{name} does not belong to it" for name in now if name not in before]
        words += [f"{name} has changed" for name in now if name in before and now[name] != before[name]]
        raise DamagedError(", ".join(words[:3]) or f"{SUMS} has changed")
    return True


def _sums(path: Path) -> str:
    """What SHA256SUMS has to be: one line per file, by name.

    Raises:
        DamagedError: something in the folder is not a plain file.
    """
    lines = []
    for name, file in sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*")):
        if name in (SUMS, "arrays"):
            continue
        if not file.is_file():  # a pipe would block the reader
            raise DamagedError(f"{name!r} does not belong to it")
        with file.open("rb") as opened:
            lines.append(f"{hashlib.file_digest(opened, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def names_in(sums: bytes) -> list[str]:
    """The files that a SHA256SUMS names, as they stand there: it may be anybody's."""
    return list(_by_name(sums))


def _by_name(sums: bytes) -> dict[str, str]:
    lines = (line.partition("  ") for line in sums.decode(errors="replace").splitlines())
    return {name: checksum for checksum, _, name in lines}


def _set_aside(path: Path, why: str) -> str:
    """Rename a damaged checkpoint and describe that in words."""
    taken = {other.name for other in path.parent.iterdir()}
    names = (f"damaged-{path.name}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 1_000))))
    aside = next((path.with_name(name) for name in names if name not in taken), path)
    try:
        path.rename(aside)
    except OSError as error:
        return f"the checkpoint {path} is damaged ({why}) and was left out; it cannot be renamed ({error.strerror})"
    return f"the checkpoint {path} is damaged ({why}) and was set aside as {aside.name}"


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read ({error.strerror or error}); make it readable, then resume the run")
