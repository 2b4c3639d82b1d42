"""The two phases of learning a sparse task: discovery, until the agent succeeds at all, and consolidation, until it usually does.

When the first successes come is luck for the most part. Replay decides how much is made of them, so claims about replay are
made from consolidation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vlmrb.analysis.stats import steps_to_threshold

FIFTH = 5
"""Consolidation counts from this many successful training episodes."""


@dataclass(frozen=True, slots=True)
class Phases:
    """When a run found out how to succeed, and how long it took from there.

    Attributes:
        first_success, fifth_success: step at which the first and the fifth successful training episode ended. None: not so
            far, or it is a branch, and discovery was its parent's. Scripted play does not count.
        to_50, to_90: steps from `start` to the first evaluation with that success rate in percent; 0 if it came before `start`.
            None: not by `horizon`, or there is no `start`.
        horizon: the last evaluated step; 0 before the first. What was not reached by then is censored there.
        start: the step that `to_50` and `to_90` count from: the fifth success, or the parent step of a branch.
        first_to_50, first_to_90: the same from the first success; None in a branch.
    """

    first_success: int | None
    fifth_success: int | None
    to_50: int | None
    to_90: int | None
    horizon: int
    start: int | None = None
    first_to_50: int | None = None
    first_to_90: int | None = None

    def observed(self, name: str) -> tuple[int | None, int] | None:
        """One of these times as an observation: when it was over (None: never), and how long it was watched, in steps.

        None if it has not begun, or there was no evaluation since.
        """
        if name in ("first_success", "fifth_success"):
            is_branch = self.start is not None and self.fifth_success is None
            begun = None if is_branch else 0
        else:
            begun = self.first_success if name.startswith("first_") else self.start
        if begun is None or self.horizon <= begun:
            return None
        return getattr(self, name), self.horizon - begun


def phases_of(
    first_success: int | None,
    fifth_success: int | None,
    steps: ArrayLike,
    values: ArrayLike,
    *,
    parent_step: int | None = None,
) -> Phases:
    """The phases of a run.

    Args:
        first_success, fifth_success: steps of the first and the fifth successful training episode, if any.
        steps, values: its evaluations: steps, ascending, and success rates in [0, 1].
        parent_step: where it branched from another run, if it did.
    """
    own = np.asarray(steps) >= (parent_step or 0)
    own_steps, own_values = np.asarray(steps)[own], np.asarray(values)[own]
    start = fifth_success if parent_step is None else parent_step
    reached_50, reached_90 = (steps_to_threshold(own_steps, own_values, share) for share in (0.5, 0.9))
    if parent_step is not None:
        first_success = fifth_success = None
    return Phases(
        first_success=first_success,
        fifth_success=fifth_success,
        to_50=_since(start, reached_50),
        to_90=_since(start, reached_90),
        horizon=int(own_steps[-1]) if own_steps.size else 0,
        start=start,
        first_to_50=_since(first_success, reached_50),
        first_to_90=_since(first_success, reached_90),
    )


def _since(start: int | None, reached: int | None) -> int | None:
    return None if start is None or reached is None else max(reached - start, 0)
