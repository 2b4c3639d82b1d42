"""Runs as lists show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

RunStatus = Literal["created", "queued", "running", "paused", "finished", "stopped", "failed", "interrupted"]
"""'interrupted' is never written by a live run: it is what a dead process's 'running' or 'paused' reads as; 'queued' is what a
run reads as while a job waits to train it."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as lists show it. `status` is the true one: a dead process reads as 'interrupted'."""

    run_id: int
    name: str
    status: RunStatus
    env: str
    algo: str
    replay: str
    scorer: str | None
    seed: int
    total_steps: int
    step: int
    steps_per_second: float | None
    created_at: float  # seconds since the epoch
    started_at: float | None
    ended_at: float | None
    heartbeat_at: float | None
    pid: int | None
    error: str
    config: dict[str, Any] = field(default_factory=dict)
    render_spec: dict[str, Any] = field(default_factory=dict)
    success_rule: str = ""
    counters: dict[str, float] = field(default_factory=dict)  # clips, clips_scored, positive, unknown, stale, dropped
    tags: tuple[str, ...] = ()
    set_name: str = ""  # the matched set that it was launched in, or ''


@dataclass(frozen=True, slots=True)
class RunListItem:
    """A run with its best and its latest `eval/success_rate`, in [0, 1]; None where none was measured yet."""

    run: RunSummary
    best_success: float | None
    latest_success: float | None
