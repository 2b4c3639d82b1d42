"""The logs of job processes."""

from __future__ import annotations

from pathlib import Path

from vlmrb.store import Store
from vlmrb.types import JobKind

MAX_LOG = 64_000


def log_path(store: Store, kind: JobKind, target_id: int) -> Path:
    """The file that a job's process writes to."""
    folder = store.folder_of_run(target_id)
    return folder / "log.txt" if kind == "train" else folder.parent / f"{kind}-{target_id}" / "log.txt"


def log_tail(store: Store, target_id: int, kind: JobKind = "train", max_bytes: int = MAX_LOG) -> str:
    """The last lines of a job's log; '' if there is none yet. Runs trained in a terminal have none."""
    try:
        with log_path(store, kind, target_id).open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - max_bytes))
            data = log.read(max_bytes)
    except OSError:
        return ""
    if size > max_bytes:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace")
