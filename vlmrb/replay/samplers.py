"""How a batch is chosen: uniformly, by TD error (PER), or by the VLM mixture.

A sampler works on slots (places in the ring buffer) and gives back, with each slot, the exact probability that one
draw had of choosing it. Draws are independent, with replacement.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from vlmrb.replay.sum_tree import SumTree


class Sample(NamedTuple):
    """Chosen slots."""

    slots: np.ndarray  # int64 [B]
    probabilities: np.ndarray  # float64 [B], of one draw
    weights: np.ndarray  # float32 [B], importance weights in (0, 1]


class Chances(NamedTuple):
    """How likely one draw is to choose each of some slots, by what leads to it; the whole is the sum of both parts."""

    vlm_weight: float | None  # λ in effect, None where the sampler has none
    vlm: np.ndarray  # float64 [N], λ·q_P; 0 where there is no VLM part or it has no mass
    other: np.ndarray  # float64 [N], (1 − λ)·q_U; the sampler's own probability where there is no VLM part


class Sampler(Protocol):
    """Chooses slots among the first `size` of the buffer."""

    def add(self, slots: np.ndarray) -> None:
        """New items lie at `slots` (int64 [N]); whatever was there is gone."""

    def sample(self, batch_size: int, size: int, rng: np.random.Generator) -> Sample:
        """Draw `batch_size` slots from [0, size)."""

    def chances(self, slots: np.ndarray, size: int) -> Chances:
        """The chances that `sample` goes by now, for `slots` (int64 [N], below `size`)."""

    def update_priorities(self, slots: np.ndarray, td_errors: np.ndarray) -> None:
        """Learn the |TD error| (float32 [N]) of items just used."""

    def set_vlm_priorities(self, slots: np.ndarray, priority: float) -> None:
        """Learn the VLM's priority of items just scored."""

    def state_dict(self) -> dict[str, Any]:
        """Arrays and numbers that `load_state_dict` restores."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""


class UniformSampler:
    """Every item alike."""

    def add(self, slots: np.ndarray) -> None:
        """Nothing to keep."""

    def sample(self, batch_size: int, size: int, rng: np.random.Generator) -> Sample:
        """Each slot with probability 1 / size."""
        slots = rng.integers(0, size, size=batch_size)
        return Sample(slots, self.chances(slots, size).other, np.ones(batch_size, dtype=np.float32))

    def chances(self, slots: np.ndarray, size: int) -> Chances:
        """1 / size each."""
        return Chances(None, np.zeros(len(slots)), np.full(len(slots), 1.0 / size))

    def update_priorities(self, slots: np.ndarray, td_errors: np.ndarray) -> None:
        """Nothing to learn."""

    def set_vlm_priorities(self, slots: np.ndarray, priority: float) -> None:
        """Nothing to learn."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


class PrioritizedSampler:
    """Proportional prioritised experience replay (Schaul et al. 2016, arXiv 1511.05952, section 3.3).

    P(i) = p_i^α / Σ p_j^α with p_i = |δ_i| + ε; a new item gets the largest p_i^α seen so far. Importance weights
    are (N · P(i))^−β, divided by the largest of the batch.

    Args:
        capacity: slots of the buffer.
        alpha: exponent, in [0, 1]; 0 is uniform.
        beta: importance-weight exponent, in [0, 1]; the Trainer raises it to 1.
        epsilon: added to |δ|, so that nothing is never seen again.
    """

    def __init__(self, capacity: int, alpha: float = 0.6, beta: float = 0.4, epsilon: float = 1e-6) -> None:
        self.alpha, self.beta, self.epsilon = alpha, beta, epsilon
        self._tree = SumTree(capacity)
        self._max_mass = 1.0  # on the scale p^α

    def add(self, slots: np.ndarray) -> None:
        """New items get the largest priority so far, so that each is seen soon."""
        self._tree.set(slots, np.full(len(slots), self._max_mass))

    def sample(self, batch_size: int, size: int, rng: np.random.Generator) -> Sample:
        """Draw in proportion to p^α."""
        slots = self._tree.find(rng.random(batch_size) * self._tree.total)
        probabilities = self.chances(slots, size).other
        weights = (size * probabilities) ** -self.beta
        return Sample(slots, probabilities, (weights / weights.max()).astype(np.float32))

    def chances(self, slots: np.ndarray, size: int) -> Chances:
        """P(i), none of it by the VLM."""
        return Chances(None, np.zeros(len(slots)), self._tree.leaves.take(slots) / self._tree.total)

    def update_priorities(self, slots: np.ndarray, td_errors: np.ndarray) -> None:
        """Set p^α from |δ|."""
        masses = (np.abs(td_errors, dtype=np.float64) + self.epsilon) ** self.alpha
        self._max_mass = max(self._max_mass, float(masses.max()))
        self._tree.set(slots, masses)

    def set_vlm_priorities(self, slots: np.ndarray, priority: float) -> None:
        """PER does not listen to the VLM."""

    def state_dict(self) -> dict[str, Any]:
        """Masses p^α and their maximum."""
        return {"masses": self._tree.leaves.copy(), "max_mass": self._max_mass}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore masses and maximum."""
        self._tree.set(np.arange(len(state["masses"])), np.asarray(state["masses"], dtype=np.float64))
        self._max_mass = float(state["max_mass"])


class MixtureSampler:
    """The VLM mixture q = λ·q_P + (1−λ)·q_U (arXiv 2602.01915, section 3).

    q_P is proportional to the VLM priority, times |δ| where `td_boost` is on; what is not scored yet has priority 0
    and is reached through q_U. While q_P has no mass, all of it goes to q_U. λ = None draws from q_P alone.
    With λ = 0 it draws exactly what UniformSampler draws from the same generator.

    Args:
        capacity: slots of the buffer.
        vlm_weight: λ in [0, 1], or None; the Trainer moves it along its schedule.
        td_boost: multiply the VLM priority by |δ| (new items: the largest |δ| seen so far).
    """

    def __init__(self, capacity: int, vlm_weight: float | None = 0.0, td_boost: bool = False) -> None:
        self.vlm_weight, self.td_boost = vlm_weight, td_boost
        self._tree = SumTree(capacity)
        self._vlm_priorities = np.zeros(capacity)
        self._td_errors = np.ones(capacity) if td_boost else None
        self._max_td_error = 1.0

    @property
    def vlm_mass(self) -> float:
        """Σ of the VLM priorities (times |δ|)."""
        return self._tree.total

    def add(self, slots: np.ndarray) -> None:
        """New items have no VLM priority yet."""
        self._vlm_priorities[slots] = 0.0
        if self._td_errors is not None:
            self._td_errors[slots] = self._max_td_error
        self._write(slots)

    def sample(self, batch_size: int, size: int, rng: np.random.Generator) -> Sample:
        """Draw from the mixture; importance weights are 1, as in the paper."""
        slots = rng.integers(0, size, size=batch_size)
        share = self._share()
        if share > 0.0:
            from_vlm = np.flatnonzero(rng.random(batch_size) < share)
            slots[from_vlm] = self._tree.find(rng.random(len(from_vlm)) * self._tree.total)
        chances = self.chances(slots, size)
        return Sample(slots, chances.vlm + chances.other, np.ones(batch_size, dtype=np.float32))

    def chances(self, slots: np.ndarray, size: int) -> Chances:
        """Both parts of q."""
        share = self._share()
        vlm = share * self._tree.leaves.take(slots) / self._tree.total if share > 0.0 else np.zeros(len(slots))
        return Chances(1.0 if self.vlm_weight is None else self.vlm_weight, vlm, np.full(len(slots), (1.0 - share) / size))

    def _share(self) -> float:
        """Draws that go to q_P: λ, or none of them while it has no mass."""
        if self._tree.total == 0.0:
            return 0.0
        return 1.0 if self.vlm_weight is None else self.vlm_weight

    def update_priorities(self, slots: np.ndarray, td_errors: np.ndarray) -> None:
        """Remember |δ| where it boosts the priority."""
        if self._td_errors is not None:
            magnitudes = np.abs(td_errors)
            self._max_td_error = max(self._max_td_error, float(magnitudes.max()))
            self._td_errors[slots] = magnitudes
            self._write(slots)

    def set_vlm_priorities(self, slots: np.ndarray, priority: float) -> None:
        """Write the VLM's priority of a clip (≥ 0; 0 or 1 in the paper) to its slots."""
        self._vlm_priorities[slots] = priority
        self._write(slots)

    def _write(self, slots: np.ndarray) -> None:
        masses = self._vlm_priorities[slots]
        if self._td_errors is not None:
            masses = masses * self._td_errors[slots]
        self._tree.set(slots, masses)

    def state_dict(self) -> dict[str, Any]:
        """VLM priorities and, where used, |δ|."""
        state: dict[str, Any] = {"vlm_priorities": self._vlm_priorities.copy(), "max_td_error": self._max_td_error}
        if self._td_errors is not None:
            state["td_errors"] = self._td_errors.copy()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        count = len(state["vlm_priorities"])
        self._vlm_priorities[:count] = state["vlm_priorities"]
        self._max_td_error = float(state["max_td_error"])
        if self._td_errors is not None:
            self._td_errors[:count] = state["td_errors"]
        self._write(np.arange(count))
