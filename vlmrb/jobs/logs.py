"""The files that the processes of jobs write their logs to."""

from __future__ import annotations

from pathlib import Path

from vlmrb.store import Store
from vlmrb.types import JobKind

MAX_LOG = 64_000


def log_path(store: Store, kind: JobKind, target_id: int) -> Path:
    """The file that a job's process writes to."""
    folder = store.folder_of_run(target_id)
    return folder / "log.txt" if kind == "train" else folder.parent / f"{kind}-{target_id}" / "log.txt"


def tail_of(path: Path, max_bytes: int = MAX_LOG) -> str:
    """The last whole lines of a file; '' if it is not there."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - max_bytes))
            data = log.read(max_bytes)
    except OSError:
        return ""
    if size > max_bytes:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace")
