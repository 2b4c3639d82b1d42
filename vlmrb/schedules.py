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


def rising_to_one(start: float, total_steps: int) -> Callable[[int], float]:
    """From `start` at step 0 to 1 at the end of the run: β of PER (Schaul et al. 2016, section 3.4)."""
    return lambda step: linear(start, 1.0, total_steps, step)
