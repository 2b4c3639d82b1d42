"""Runs as lists show them, and the current figures of a live one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

RunStatus = Literal["created", "queued", "running", "paused", "finished", "stopped", "failed", "interrupted"]
"""A live run never writes 'interrupted': a dead process's 'running' or 'paused' reads as that. A run reads as 'queued' while
its job is waiting."""

SUCCESS = "eval/success_rate"
"""The metric that lists of runs show, comparisons start with, and phases are about."""

IMPORTED = "imported"
"""In the settings of a run that another program trained: where its curves are from. Nothing else is known of it."""

SYSTEM = "system/"
"""How metrics begin that say how much of the machine a run used. They say nothing about what it learned."""

EVALUATION_S = "speed/evaluation_s"
"""The metric that holds how long each evaluation took, in seconds."""

CLOCK_S = "speed/clock_s"
"""The metric that holds when a run was at a step: seconds since the epoch, by the clock of its machine."""

RUNNING_S = "speed/running_s"
"""The metric that holds how long a run had been training and evaluating at a step, in seconds: without pauses, and without
the time between a stop and the resume."""

SPEED = "speed/steps_per_second"
"""The metric that holds the training speed since the last point of the curve, without evaluations and pauses."""

MANY_UNKNOWN = 0.1
"""Fraction of unknown answers from which on they are worth a warning."""


@dataclass(frozen=True, slots=True)
class RunCounters:
    """Counts over the whole run, as of its last heartbeat.

    Attributes:
        clips_scored: clips with an answer, including unknown ones.
        stale: scores that arrived after some of their items had been overwritten.
        dropped: clips dropped unscored because the scorer could not keep up or had failed.
        backlog: clips waiting for their score.
        unknown_reason: why most of the unknown answers are unknown, or ''.
        scoring_error: why scoring has stopped, or ''.
        prompt_notice: what the scorer cannot interpret, or which of its members does not answer; or ''.
        store_notice: since when the store is busy, or how long it was; or ''.
        checkpoint_notice: which kept checkpoints are missing, and why; or ''.
        environment_notice: which episodes were cut off in evaluation, or which reports of success cannot be used; or ''.
        doing: what a live run does at the moment, other than training; or ''.
    """

    episodes: int = 0
    clips: int = 0
    clips_scored: int = 0
    positive: int = 0
    unknown: int = 0
    stale: int = 0
    dropped: int = 0
    backlog: int = 0
    unknown_reason: str = ""
    scoring_error: str = ""
    prompt_notice: str = ""
    store_notice: str = ""
    checkpoint_notice: str = ""
    environment_notice: str = ""
    doing: str = ""

    @property
    def positive_rate(self) -> float | None:
        """Fraction of yes among the clips with a known answer; None before the first."""
        known = self.clips_scored - self.unknown
        return self.positive / known if known > 0 else None

    @property
    def unknown_rate(self) -> float | None:
        """Fraction of clips without a usable answer among those scored; None before the first."""
        return self.unknown / self.clips_scored if self.clips_scored > 0 else None

    @property
    def unknown_notice(self) -> str:
        """That the scorer answers too little, with the reason; '' below MANY_UNKNOWN."""
        rate = self.unknown_rate
        if rate is None or rate < MANY_UNKNOWN:
            return ""
        all_of_them = "; without labels, replay is that of its base" if self.unknown == self.clips_scored else ""
        return (
            f"the scorer gave no usable answer about {self.unknown:,} of {self.clips_scored:,} clips ({100 * rate:.0f} %)"
            + all_of_them
            + (f": {self.unknown_reason}" if self.unknown_reason else "")
        )


@dataclass(frozen=True, slots=True)
class RunFigures:
    """Current figures of a live run.

    Attributes:
        steps_per_second: training speed, over all environments.
        success_rate: of the last evaluation, in [0, 1]; None before the first, or if the task has no notion of success.
        vlm_weight: λ in effect; None without a mixture.
        positive_rate: fraction of yes among the clips with a known answer; None before the first.
        warning: what is wrong with the store, scoring or the environment, or ''.
        change: what the last live change set, and at which step; '' before the first.
    """

    steps_per_second: float
    success_rate: float | None
    vlm_weight: float | None
    positive_rate: float | None
    warning: str
    change: str = ""

    @property
    def news(self) -> tuple[str, ...]:
        """Lines for a log, each to be written once."""
        warning, change = self.warning and f"warning: {self.warning}", self.change and f"live change: {self.change}"
        return tuple(filter(None, (warning, change)))


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a branch comes from.

    Attributes:
        parent_id: the run that it continues; it may have been deleted since.
        parent_step: the step that it continues from.
        parent_moment: what happened then: 'first-success', 'fifth-success' or 'step'.
        continuation_seed: 0 for the parent's own generators; any other seeds exploration and sampling anew.
    """

    parent_id: int
    parent_step: int
    parent_moment: str
    continuation_seed: int = 0


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as lists show it. `status` accounts for dead processes: they read as 'interrupted'.

    `parent_id`, `parent_step`, `parent_moment` and `continuation_seed` are those of its `Lineage`, if it is a branch.
    """

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
    set_name: str = ""  # the matched set it was launched in, or ''
    parent_id: int | None = None
    parent_step: int | None = None
    parent_moment: str = ""
    continuation_seed: int = 0

    @property
    def lineage(self) -> Lineage | None:
        """Where a branch comes from; None for any other run."""
        if self.parent_id is None or self.parent_step is None:
            return None
        return Lineage(self.parent_id, self.parent_step, self.parent_moment, self.continuation_seed)


@dataclass(frozen=True, slots=True)
class RunListItem:
    """A run with its best and its latest `eval/success_rate`, in [0, 1]; None before the first evaluation."""

    run: RunSummary
    best_success: float | None
    latest_success: float | None


@dataclass(frozen=True, slots=True)
class CurveFigures:
    """The last, the smallest and the largest value of a curve; values that are missing do not count.

    Attributes:
        step: of the last one.
    """

    last: float
    low: float
    high: float
    step: int
