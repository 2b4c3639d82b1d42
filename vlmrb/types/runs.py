"""Runs as lists show them, and how a live one does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

RunStatus = Literal["created", "queued", "running", "paused", "finished", "stopped", "failed", "interrupted"]
"""'interrupted' is never written by a live run: it is what a dead process's 'running' or 'paused' reads as; 'queued' is what a
run reads as while a job waits to train it."""


@dataclass(frozen=True, slots=True)
class RunCounters:
    """What was counted over the whole run, as its last heartbeat told it.

    Attributes:
        clips_scored: answered, unknown ones included.
        stale: scores that came after some of their items had been overwritten.
        dropped: clips given up unscored because the scorer could not keep up, or had failed.
        backlog: clips that wait for their score.
        scoring_error: why there are no new scores any more, or ''.
        prompt_notice: what the scorer can make nothing of, or ''.
    """

    episodes: int = 0
    clips: int = 0
    clips_scored: int = 0
    positive: int = 0
    unknown: int = 0
    stale: int = 0
    dropped: int = 0
    backlog: int = 0
    scoring_error: str = ""
    prompt_notice: str = ""

    @property
    def positive_rate(self) -> float | None:
        """Share of yes among the clips with a known answer; None before the first."""
        known = self.clips_scored - self.unknown
        return self.positive / known if known > 0 else None


@dataclass(frozen=True, slots=True)
class RunFigures:
    """How a live run does at the moment.

    Attributes:
        steps_per_second: training speed, over all environments.
        success_rate: of the last evaluation, in [0, 1]; None before the first, or where the task has no notion of success.
        vlm_weight: λ in effect; None where there is no mixture.
        positive_rate: share of yes among the clips with a known answer; None before the first.
        warning: why scoring does not work as it should, or ''.
    """

    steps_per_second: float
    success_rate: float | None
    vlm_weight: float | None
    positive_rate: float | None
    warning: str


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
    counters: RunCounters = RunCounters()
    tags: tuple[str, ...] = ()
    set_name: str = ""  # the matched set that it was launched in, or ''


@dataclass(frozen=True, slots=True)
class RunListItem:
    """A run with its best and its latest `eval/success_rate`, in [0, 1]; None where none was measured yet."""

    run: RunSummary
    best_success: float | None
    latest_success: float | None
