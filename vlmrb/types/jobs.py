"""Background processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

JobKind = Literal["train", "trial", "study"]
JobStatus = Literal["queued", "starting", "running", "finished", "failed", "cancelled", "interrupted"]
"""'starting': handed to a process that has not reported yet. 'interrupted': the process died without reporting."""

ACTIVE_JOB: tuple[JobStatus, ...] = ("queued", "starting", "running")
"""Statuses of jobs that have not ended."""


@dataclass(frozen=True, slots=True)
class Job:
    """A background process that trains a run, runs a trial or carries a study on. `status` accounts for processes that died.

    Attributes:
        target_id: run id, trial id, or the number of a study (`vlmrb.studies.number_of`), depending on kind.
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
