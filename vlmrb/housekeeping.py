"""What a store holds that nothing needs: clips beyond a run's retention, folders of runs that are gone, unfinished files.

Finding and removing are two steps, so that people can look at the first one's result.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmrb.branching import branch_points
from vlmrb.checkpoint import size_of, unfinished
from vlmrb.kept import MOMENTS, kind_of
from vlmrb.places import PARENT, RESUME, FolderPlace, place_of
from vlmrb.retention import Retention, retention_of
from vlmrb.store import Store, patiently
from vlmrb.types import RunSize, RunSummary, Surplus

PART = 100
"""Clips that are deleted in one transaction: a clip can have megabytes of frames."""

STALE_S = 3_600.0
"""Unfinished files are removed when they are older than this: a younger one may just be being written."""

_FOLDER = re.compile(r"([1-9][0-9]{0,17})(-left-[0-9]+)?")
_SCRATCH = re.compile(r"\.(unwritten\.jsonl|.+\.db|backup.*)\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Stray:
    """A file or folder that nothing needs, its bytes, and what it is, in words."""

    path: Path
    bytes: int
    why: str


def size_of_run(store: Store, run_id: int) -> RunSize:
    """What a run takes in the store and on this machine's disk.

    Raises:
        NotFoundError: there is no such run.
    """
    return RunSize(store.table_sizes(store.run(run_id).run_id), size_of(store.folder_of_run(run_id)))


def surplus_of(
    store: Store, run: RunSummary, retention: Retention | None = None, everyone: Sequence[RunSummary] | None = None
) -> Surplus:
    """The clips of a run that need not be kept.

    Args:
        store: where it is.
        run: as it is now.
        retention: None for the run's own.
        everyone: all runs, if they are known already.

    Raises:
        CheckpointError: a folder of checkpoints cannot be read, so that nobody knows which clips they need.
    """
    retention = retention_of(run.config) if retention is None else retention
    if not retention.removes:
        return Surplus(run.run_id)
    family = _family(run, store.runs() if everyone is None else everyone)
    windows = [window for each in family for window in _needed_by(store, each)]
    ids = [each.run_id for each in family]
    return store.surplus_clips(run.run_id, retention, windows, ids, awaits_scores=run.status != "finished")


def _family(run: RunSummary, everyone: Sequence[RunSummary]) -> list[RunSummary]:
    """The run and all that descend from it."""
    found = [run]
    for each in found:
        found += [other for other in everyone if other.parent_id == each.run_id]
    return found


def _needed_by(store: Store, run: RunSummary) -> list[tuple[float, float]]:
    """First and last steps, in its own or its ancestors' clips, of what a run's checkpoints hold in their buffers."""
    size = int(run.config.get("buffer_size", 0))
    steps = [point.step for point in branch_points(store, run.run_id)]
    if run.status == "finished":
        place = place_of(store, run)
        unseen = bool(run.config.get("keep_checkpoints")) and isinstance(place, FolderPlace) and not place.folder.is_dir()
        return [(0, math.inf)] if unseen else [(step - size, step) for step in steps]  # they are on another machine
    # it may be resumed, perhaps on another machine with checkpoints that are not seen here
    behind = run.step - 2 * int(run.config.get("checkpoint_interval", 0))
    start = [] if run.parent_step is None else [run.parent_step]
    return [(min([*steps, *start, behind]) - size, math.inf)]


def delete_surplus(store: Store, clip_ids: Sequence[int], deleted: Callable[[int], None] = lambda _: None) -> None:
    """Delete clips part by part, so that others get their turn in between.

    Args:
        store: where they are.
        clip_ids: of `surplus_of`.
        deleted: told how many were deleted, after each part.

    Raises:
        StoreFullError: the disk is full, and even a deletion needs some space; what was deleted stays deleted.
    """
    for at in range(0, len(clip_ids), PART):
        part, began = clip_ids[at : at + PART], time.monotonic()
        deleted(patiently(lambda part=part: store.delete_clips(part)))  # type: ignore[misc]
        time.sleep(min(0.1, time.monotonic() - began) / 2)  # SQLite's lock has no queue


def stray_files(store: Store, run_ids: Iterable[int] | None = None) -> list[Stray]:
    """Folders of runs that no longer exist, and what was left unfinished in those of others.

    A folder whose number no run of this store ever had is not the store's, and left alone.

    Args:
        store: whose runs' folders are looked through.
        run_ids: only in the folders of these runs; None for all.
    """
    last = store.last_run_id()  # before the runs are listed: those that come later have larger numbers
    runs = {run.run_id: run for run in store.runs()}
    folders = store.folder_of_run(0).parent
    if run_ids is not None:
        chosen = [folders / str(run_id) for run_id in run_ids]
    else:
        chosen = sorted(folders.iterdir()) if folders.is_dir() else []
    found = []
    for folder in chosen:
        name = _FOLDER.fullmatch(folder.name)
        if name is None or not folder.is_dir() or int(name[1]) > last:
            continue
        if name[2]:
            found.append(Stray(folder, size_of(folder), f"of an earlier store's run {name[1]}"))
        elif int(name[1]) not in runs:
            found.append(Stray(folder, size_of(folder), f"of run {name[1]}, which no longer exists"))
        else:
            found += _scratch(store, folder, runs[int(name[1])])
    return found


def _scratch(store: Store, folder: Path, run: RunSummary) -> list[Stray]:
    """What an interrupted process left behind in the folder of a run."""
    found = [path for path in folder.glob(".*") if _SCRATCH.fullmatch(path.name)]
    checkpoints = place_of(store, run).folder
    for kind in (RESUME, PARENT, *map(kind_of, MOMENTS)):
        found += unfinished(checkpoints / kind)
    strays = [Stray(path, _size(path), f"unfinished, of run {run.run_id}") for path in found if _is_stale(path)]
    parent = checkpoints / PARENT
    if run.status == "finished" and parent.is_dir():
        strays.append(Stray(parent, size_of(parent), f"the checkpoint that run {run.run_id} started from; it has finished"))
    return strays


def _is_stale(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime > STALE_S
    return False


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return size_of(path) if path.is_dir() else path.stat().st_size
    return 0


def remove_stray(stray: Stray) -> None:
    """Remove a file or folder.

    Raises:
        OSError: it cannot be removed.
    """
    if stray.path.is_dir() and not stray.path.is_symlink():
        shutil.rmtree(stray.path)
    else:
        stray.path.unlink(missing_ok=True)
