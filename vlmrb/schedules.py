"""Schedules over the steps of a run: λ of the VLM mixture, β of importance weights, ε of exploration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Schedule = Callable[[int], Any]
"""Maps a step of the run to a value."""


def linear(start: float, end: float, duration: float, step: float) -> float:
    """Linear from `start` at step 0 to `end` at step `duration`, then constant; `end` throughout if duration is 0.

    The λ schedule of the paper is linear(0, λ_max, total_steps / 2, step).
    """
    if step >= duration:
        return end
    return start + (end - start) * max(step, 0.0) / duration


def rising(start: float, end: float, total_steps: int) -> Callable[[int], float]:
    """From `start` at step 0 to `end` at the end of the run: β of PER, which ends at 1 (Schaul et al. 2016, section 3.4)."""
    return lambda step: linear(start, end, total_steps, step)
