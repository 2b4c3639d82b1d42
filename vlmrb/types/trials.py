"""Prompts tried on stored clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

TrialStatus = Literal["created", "running", "finished", "failed", "interrupted"]
"""As `RunStatus`: 'interrupted' is what a dead process's 'running' reads as, too."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A prompt tried on a sample of stored clips. Its scores never become the clips' own.

    Attributes:
        prompt_id: what is asked, or None for scorers that read no prompt.
        options: of the scorer, such as frames and device.
        run_ids, clip_ids: the sample, ascending; those of deleted runs are gone from it.
        scored: clips that have an answer (also 'unknown').
        model, revision: who answers, once the first answer is there.
    """

    trial_id: int
    status: TrialStatus
    created_at: float  # seconds since the epoch
    ended_at: float | None
    scorer: str
    prompt_id: int | None
    threshold: float
    options: dict[str, Any]
    run_ids: tuple[int, ...]
    clip_ids: tuple[int, ...]
    scored: int
    model: str
    revision: str
    pid: int | None
    error: str
