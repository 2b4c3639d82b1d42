"""Prompts tried on stored clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

TrialStatus = Literal["created", "running", "finished", "failed", "interrupted"]
"""As in `RunStatus`, a dead process's 'running' reads as 'interrupted'."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A prompt tried on a sample of stored clips. Its scores never become the clips' own.

    Attributes:
        prompt_id: the prompt to ask; None for scorers that read no prompt.
        options: of the scorer, such as frames and device.
        run_ids, clip_ids: the sample, ascending, without deleted runs.
        scored: number of clips with an answer, including 'unknown'.
        model, revision: of the scorer, known from the first answer on.
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
