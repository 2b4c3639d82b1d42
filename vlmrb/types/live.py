"""Live changes: what a run can be asked to do while a process trains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vlmrb.types.runs import RunStatus

LIVE: tuple[RunStatus, ...] = ("running", "paused")
"""Statuses of a run that a process is training: only such runs apply live changes."""

LIVE_CHANGES = {
    "lambda": "change λ: a number from 0 to 1, 'none' (no mixture) or 'schedule' (as configured)",
    "prompt": "ask another question about new clips: the id of a stored prompt",
    "question": "let one question of the set decide the labels: its number, from 1, or 'schedule' (as configured)",
    "pause": "pause, with everything kept in memory, until unpaused or stopped",
    "unpause": "continue after a pause",
    "stop": "save a checkpoint and end; the run can be resumed",
}
"""Every live change with its meaning. The first three take a value, the others none."""

EDITS = ("lambda", "prompt", "question")
"""Live changes that affect learning: they mark a run as edited, and a run that resumes from before them repeats them."""


@dataclass(frozen=True, slots=True)
class SetLambda:
    """Use this λ in [0, 1] from now on; None for no mixture, 'schedule' for the configured schedule."""

    weight: float | Literal["schedule"] | None


@dataclass(frozen=True, slots=True)
class SetPrompt:
    """Ask this stored prompt about new clips from now on."""

    prompt_id: int


@dataclass(frozen=True, slots=True)
class SetQuestion:
    """Let this question of the set, from 1, decide the labels of new clips; None for what is configured."""

    number: int | None


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Pause, unpause or stop."""

    status: Literal["paused", "running", "stopped"]


Change = SetLambda | SetPrompt | SetQuestion | SetStatus
"""A parsed live change."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A stored value that is not JSON; `text` is its beginning."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class LiveChange:
    """A requested live change as stored. Name and value may be anything: the run checks them.

    Attributes:
        name: one of LIVE_CHANGES if valid.
        value: for 'lambda' a number in [0, 1], 'none' or 'schedule'; for 'prompt' a prompt id; for 'question' its number or
            'schedule'; otherwise None.
        status: 'requested', 'applied' or 'rejected'.
        applied_step: step at which it took effect, once applied.
        error: the reason, once rejected.
    """

    change_id: int
    run_id: int
    name: str
    value: Any  # JSON data, or Unreadable
    requested_at: float  # seconds since the epoch
    status: Literal["requested", "applied", "rejected"] = "requested"
    applied_step: int | None = None
    error: str = ""
