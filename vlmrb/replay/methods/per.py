"""PER: proportional prioritised experience replay (Schaul et al. 2016, arXiv 1511.05952)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vlmrb.replay.method import ReplayMethod
from vlmrb.replay.sampling import Added, Sample, Score, finite_only, importance_weights, ones
from vlmrb.replay.sum_tree import SumTree
from vlmrb.schedules import Schedule, rising
from vlmrb.types import Feedback

if TYPE_CHECKING:
    from vlmrb.config import TrainConfig

SETTINGS = ("per_alpha", "per_beta", "per_beta_end", "importance_weights")
"""What PER and the methods that differ from it in the priority alone read."""

VARIANTS = {
    "importance_weights": lambda on: "with weights" if on else "no weights",
    "per_beta_end": lambda beta: f"β to {beta:g}",
}


class PrioritizedSampler:
    """P(i) = p_i^α / Σ p_j^α with p_i = |δ_i| + ε (section 3.3); a new item gets the largest p_i^α seen so far.

    Importance weights are (N · P(i))^−β, divided by the largest of the batch (section 3.4).

    Args:
        capacity: slots of the buffer.
        alpha: exponent, in [0, 1]; 0 is uniform.
        beta: importance-weight exponent in [0, 1], or its schedule over the steps of the run.
        epsilon: added to |δ|, so that every item can be drawn again.
        weighted: whether batches carry importance weights; else these are 1.
    """

    def __init__(
        self,
        capacity: int,
        alpha: float = 0.6,
        beta: float | Schedule = 0.4,
        epsilon: float = 1e-6,
        weighted: bool = True,
    ) -> None:
        self.alpha, self.epsilon, self.weighted = alpha, epsilon, weighted
        self._beta_at = beta if callable(beta) else None
        self.beta = beta(0) if callable(beta) else beta
        self._tree = SumTree(capacity)
        self._max_mass = 1.0  # on the scale p^α

    @classmethod
    def of(cls, config: TrainConfig, capacity: int) -> Self:
        """The sampler of a run: α, the schedule of β, and whether batches carry weights."""
        beta = rising(config.per_beta, config.per_beta_end, config.horizon)
        return cls(capacity, config.per_alpha, beta, weighted=config.importance_weights)

    def advance(self, step: int) -> None:
        """β follows its schedule."""
        if self._beta_at is not None:
            self.beta = self._beta_at(step)

    def add(self, slots: np.ndarray, added: Added) -> None:
        """New items get the largest priority so far, so that each is seen soon."""
        self._tree.set(slots, np.full(len(slots), self._max_mass))

    def sample(self, batch_size: int, size: int, rng: np.random.Generator, score: Score | None = None) -> Sample:
        """Draw in proportion to p^α."""
        total = self._tree.total
        slots = self._tree.find(rng.random(batch_size) * total)
        probabilities = self._tree.leaves.take(slots) / total
        weights = importance_weights(probabilities, size, self.beta) if self.weighted else ones(batch_size)
        return Sample(slots, probabilities, weights)

    def chances(self, slots: np.ndarray, size: int) -> np.ndarray:
        """P(i)."""
        return self._tree.leaves.take(slots) / self._tree.total

    def feedback(self, slots: np.ndarray, feedback: Feedback) -> None:
        """p = |δ| + ε."""
        self.prioritize(slots, np.abs(feedback.td_errors, dtype=np.float64))

    def prioritize(self, slots: np.ndarray, priorities: np.ndarray) -> None:
        """Write (priority + ε)^α for priorities (float64 [N], ≥ 0) of `slots`; what is not finite changes nothing."""
        slots, priorities = finite_only(slots, priorities)
        masses = (priorities + self.epsilon) ** self.alpha
        self._max_mass = max(self._max_mass, float(masses.max(initial=0.0)))
        self._tree.set(slots, masses)

    def state_dict(self) -> dict[str, Any]:
        """Masses p^α and their maximum."""
        return {"masses": self._tree.leaves.copy(), "max_mass": self._max_mass}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore masses and maximum."""
        self._tree.set(np.arange(len(state["masses"])), np.asarray(state["masses"], dtype=np.float64))
        self._max_mass = float(state["max_mass"])


METHOD = ReplayMethod(
    key="per",
    label="PER",
    summary="by TD error",
    color="orange",
    make=PrioritizedSampler.of,
    settings=SETTINGS,
    defaults={"importance_weights": True},
    variants=VARIANTS,
    feedback=("td_errors",),
    stored=("per_alpha",),
    usual=True,
)
