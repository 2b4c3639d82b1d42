"""Linear schedules: λ of the VLM mixture, β of PER, ε of the exploration."""

from __future__ import annotations


def linear(start: float, end: float, duration: float, step: float) -> float:
    """`start` at step 0, `end` from step `duration` on, straight in between; `end` at once where duration is 0.

    The λ schedule of the paper is linear(0, λ_max, total_steps / 2, step).
    """
    if step >= duration:
        return end
    return start + (end - start) * max(step, 0.0) / duration
