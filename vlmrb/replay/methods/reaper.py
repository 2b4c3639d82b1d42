"""ReaPER: reliability-adjusted prioritised experience replay (Pleiss et al. 2025, arXiv 2506.18482).

A TD error is worth as much as its target can be trusted, and a target is unreliable while much error remains in the rest
of its episode: R_t = 1 − Σ_{i>t}|δ_i| / Σ_i|δ_i|. The priority is R_t^ω · |δ_t|^α. The authors' class has α = ω = 0.3 and
β 0.5, their example, whose values are the defaults here, α 0.4 and ω 0.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.replay.method import ReplayMethod
from vlmrb.replay.methods.per import SETTINGS, VARIANTS, PrioritizedSampler
from vlmrb.replay.sampling import Added, finite_only
from vlmrb.schedules import Schedule, rising
from vlmrb.types import Feedback


class ReliabilitySampler(PrioritizedSampler):
    """PER with P(i) ∝ R_i^ω · (|δ_i| + ε)^α, the reliability R_i over those items of the episode that the buffer holds.

    A new item has the largest |δ| seen so far and R = 1 until its episode ends or one of its items is learned from: then
    R is computed for the whole episode. An episode that has not ended is measured against the largest sum of |δ| that an
    ended one has had (or against its own, where that is larger), as the authors' code does.

    Args:
        capacity: slots of the buffer.
        alpha, omega: exponents of |δ| and of R, in [0, 1].
        beta: importance-weight exponent in [0, 1], or its schedule over the steps of the run.
        epsilon: added to |δ|, so that every item can be drawn again.
        weighted: whether batches carry importance weights; else these are 1.
    """

    def __init__(
        self,
        capacity: int,
        alpha: float = 0.4,
        omega: float = 0.2,
        beta: float | Schedule = 0.5,
        epsilon: float = 1e-6,
        weighted: bool = True,
    ) -> None:
        from vlmrb.replay import kernels

        super().__init__(capacity, alpha, beta, epsilon, weighted)
        self._kernels, self.omega = kernels, omega
        self._errors = np.zeros(capacity)  # |δ| + ε
        self._episodes = np.full(capacity, -1, np.int64)
        self._steps = np.zeros(capacity, np.int64)
        self._ended = np.zeros(capacity, bool)
        self._stride = 1
        self._max_error, self._largest_sum = 1.0, 0.0

    def add(self, slots: np.ndarray, added: Added) -> None:
        """New items have the largest |δ| so far; an episode that ends with one is rated as a whole."""
        self._stride = added.n_envs
        self._errors[slots] = self._max_error
        self._episodes[slots], self._steps[slots], self._ended[slots] = added.episodes, added.steps, added.ended
        self._tree.set(slots, np.full(len(slots), self._max_error**self.alpha))
        if added.ended.any():
            self._rate_episodes(slots[added.ended])

    def feedback(self, slots: np.ndarray, feedback: Feedback) -> None:
        """New |δ| of some items, and with them the reliability of all items of their episodes."""
        slots, errors = finite_only(slots, np.abs(feedback.td_errors, dtype=np.float64))
        if not len(slots):
            return
        self._errors[slots] = errors + self.epsilon
        self._max_error = max(self._max_error, float(self._errors[slots].max()))
        self._rate_episodes(slots)

    def _rate_episodes(self, slots: np.ndarray) -> None:
        found, reliability, self._largest_sum = self._kernels.reliability(
            self._errors, self._episodes, self._steps, self._ended, slots, self._stride, self._largest_sum
        )
        self._tree.set(found, reliability**self.omega * self._errors[found] ** self.alpha)

    def state_dict(self) -> dict[str, Any]:
        """|δ|, episodes and masses."""
        return {
            "errors": self._errors.copy(),
            "episodes": self._episodes.copy(),
            "steps": self._steps.copy(),
            "ended": self._ended.copy(),
            "masses": self._tree.leaves.copy(),
            "stride": self._stride,
            "max_error": self._max_error,
            "largest_sum": self._largest_sum,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        held = slice(0, len(state["masses"]))
        self._errors[held], self._episodes[held] = state["errors"], state["episodes"]
        self._steps[held], self._ended[held] = state["steps"], state["ended"]
        self._tree.set(np.arange(len(state["masses"])), np.asarray(state["masses"], np.float64))
        self._stride = int(state["stride"])
        self._max_error, self._largest_sum = float(state["max_error"]), float(state["largest_sum"])


METHOD = ReplayMethod(
    key="reaper",
    label="ReaPER",
    summary="by TD error, weighted by how reliable its target is",
    color="brown",
    make=lambda config, capacity: ReliabilitySampler(
        capacity,
        config.per_alpha,
        config.reaper_omega,
        rising(config.per_beta, config.per_beta_end, config.horizon),
        weighted=config.importance_weights,
    ),
    settings=(*SETTINGS, "reaper_omega"),
    defaults={"importance_weights": True, "per_alpha": 0.4, "per_beta": 0.5},
    variants=VARIANTS,
    feedback=("td_errors",),
    stored=("per_alpha", "reaper_omega"),
)
