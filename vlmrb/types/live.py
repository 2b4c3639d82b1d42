"""Live changes: what a run can be asked while it is being trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A live change asked of a run: one row of the append-only control table.

    Attributes:
        name: 'lambda' (value: number in [0, 1], 'none' or 'schedule'), 'prompt' (value: prompt id), 'pause', 'resume' or 'stop'.
        value: JSON-serialisable value, or None.
        status: 'requested', 'applied' or 'rejected'.
        applied_step: step at which it took effect, once applied.
        error: the reason, once rejected.
    """

    control_id: int
    run_id: int
    name: str
    value: Any
    requested_at: float  # seconds since the epoch
    status: Literal["requested", "applied", "rejected"] = "requested"
    applied_step: int | None = None
    error: str = ""
