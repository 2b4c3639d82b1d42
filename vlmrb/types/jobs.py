"""Background processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

JobKind = Literal["train", "trial"]
JobStatus = Literal["queued", "starting", "running", "finished", "failed", "cancelled", "interrupted"]
"""'starting': handed to a process that has not reported yet. 'interrupted': the process died without reporting."""


@dataclass(frozen=True, slots=True)
class Job:
    """A background process that trains a run or runs a trial. `status` accounts for processes that died.

    Attributes:
        target_id: run id or trial id, depending on kind.
        exit_code: of the process, once it has exited by itself.
        error: why it failed, or ''.
    """

    job_id: int
    kind: JobKind
    target_id: int
    status: JobStatus
    queued_at: float  # seconds since the epoch
    started_at: float | None
    ended_at: float | None
    pid: int | None
    host: str | None
    exit_code: int | None
    error: str
