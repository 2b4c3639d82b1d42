"""Background processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

JobKind = Literal["train", "trial", "study"]
JobStatus = Literal["queued", "starting", "running", "finished", "failed", "cancelled", "interrupted"]
"""'starting': handed to a process that has not reported yet. 'interrupted': the process died without reporting."""

LOCAL = "local"

ACTIVE_JOB: tuple[JobStatus, ...] = ("queued", "starting", "running")
"""Statuses of jobs that have not ended."""


@dataclass(frozen=True, slots=True)
class Job:
    """A background process that trains a run, runs a trial or carries a study on. `status` accounts for processes that died.

    Attributes:
        target_id: run id, trial id, or the number of a study (`vlmrb.studies.number_of`), depending on kind.
        exit_code: of the process, once it has exited by itself.
        error: why it failed, or ''.
        launcher: who starts its process: 'local', or 'ray:' with the address of a cluster.
        resources: what the launcher is to give it, amounts by name: 'cpus', 'gpus', or a cluster's own.
        handle: how its launcher knows it, or ''.
        node: the machine that it runs on, as its launcher calls it, or ''.
        state: what its launcher said of it last, in words, or ''.
        attempt: how often its process was lost and the job queued again.
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
    launcher: str = LOCAL
    resources: Mapping[str, float] = field(default_factory=dict)
    handle: str = ""
    node: str = ""
    state: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where jobs are to run, and with what.

    Attributes:
        launcher, resources: as in `Job`.
    """

    launcher: str = LOCAL
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Whether the processes are started on this machine, by whoever looks at the queue."""
        return self.launcher == LOCAL
