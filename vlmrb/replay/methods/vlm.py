"""VLM-RB: replay by the labels of a vision-language model, mixed with a base method (arXiv 2602.01915, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmrb.replay.method import ReplayMethod
from vlmrb.replay.sampling import Added, Parts, Sample, Sampler, Score, importance_weights, ones
from vlmrb.replay.sum_tree import SumTree
from vlmrb.schedules import Schedule, linear, rising_to_one
from vlmrb.types import Feedback

if TYPE_CHECKING:
    from vlmrb.config import TrainConfig

SCHEDULED = "schedule"
"""The live λ that gives the say back to the schedule."""


class MixtureSampler:
    """q = λ·q_P + (1−λ)·q_B, where q_B is what the base method draws by.

    q_P is proportional to the label's priority (1 for yes, 0 for no), times |δ| where `td_boost` is on; what is not
    labelled yet has priority 0 and is reached through q_B. While q_P has no mass, all of q goes to q_B. λ = None draws from
    q_P alone. With λ = 0 it draws exactly what the base draws from the same generator.

    Args:
        capacity: slots of the buffer.
        base: the sampler of the base method.
        vlm_weight: λ in [0, 1] or None, or its schedule over the steps of the run.
        td_boost: multiply the label's priority by |δ| (new items: by the largest |δ| seen so far).
        beta: exponent of the importance weights (N · q)^−β in [0, 1], or its schedule; None for weights of 1, as in the paper.
    """

    def __init__(
        self,
        capacity: int,
        base: Sampler,
        vlm_weight: float | None | Schedule = 0.0,
        td_boost: bool = False,
        beta: float | Schedule | None = None,
    ) -> None:
        self.base, self.td_boost = base, td_boost
        self._weight_at = vlm_weight if callable(vlm_weight) else None
        self.vlm_weight: float | None = vlm_weight(0) if callable(vlm_weight) else vlm_weight
        self._held: float | None | str = SCHEDULED  # what a person holds λ at
        self._beta_at = beta if callable(beta) else None
        self.beta = beta(0) if callable(beta) else beta
        self._tree = SumTree(capacity)
        self._priorities = np.zeros(capacity)
        self._td_errors = np.ones(capacity) if td_boost else None
        self._max_td_error = 1.0

    def advance(self, step: int) -> None:
        """λ, β and the base follow their schedules, but for a λ that is held."""
        if self._held != SCHEDULED:
            self.vlm_weight = self._held  # type: ignore[assignment]
        elif self._weight_at is not None:
            self.vlm_weight = self._weight_at(step)
        if self._beta_at is not None:
            self.beta = self._beta_at(step)
        if hasattr(self.base, "advance"):
            self.base.advance(step)

    def change(self, name: str, value: float | None | str) -> None:
        """Hold λ at a value, or give the say back to the schedule."""
        assert name == "lambda", name
        self._held = value

    def figures(self) -> dict[str, float]:
        """λ in effect."""
        return {"replay/vlm_weight": self._weight()}

    def add(self, slots: np.ndarray, added: Added) -> None:
        """New items have no label yet."""
        self._priorities[slots] = 0.0
        if self._td_errors is not None:
            self._td_errors[slots] = self._max_td_error
        self._write(slots)
        if hasattr(self.base, "add"):
            self.base.add(slots, added)

    def sample(self, batch_size: int, size: int, rng: np.random.Generator, score: Score | None = None) -> Sample:
        """Draw from the base, and replace each item with probability λ by one drawn from q_P."""
        slots, other, _ = self.base.sample(batch_size, size, rng, score)
        share = self._share()
        if share > 0.0:
            from_vlm = np.flatnonzero(rng.random(batch_size) < share)
            slots[from_vlm] = self._tree.find(rng.random(len(from_vlm)) * self._tree.total)
            given = getattr(self.base, "conditional", None)
            other[from_vlm] = self.base.chances(slots[from_vlm], size) if given is None else given(slots[from_vlm])
        probabilities = self._vlm_part(slots) + (1.0 - share) * other
        weights = ones(batch_size) if self.beta is None else importance_weights(probabilities, size, self.beta)
        return Sample(slots, probabilities, weights)

    def chances(self, slots: np.ndarray, size: int) -> np.ndarray:
        """q(i)."""
        parts = self.parts(slots, size)
        whole: np.ndarray = parts.vlm + parts.other
        return whole

    def parts(self, slots: np.ndarray, size: int) -> Parts:
        """Both parts of q(i)."""
        return Parts(self._weight(), self._vlm_part(slots), (1.0 - self._share()) * self.base.chances(slots, size))

    def _vlm_part(self, slots: np.ndarray) -> np.ndarray:
        share = self._share()
        return share * self._tree.leaves.take(slots) / self._tree.total if share > 0.0 else np.zeros(len(slots))

    def _weight(self) -> float:
        return 1.0 if self.vlm_weight is None else self.vlm_weight

    def _share(self) -> float:
        """Draws that go to q_P: λ, or none of them while it has no mass."""
        return 0.0 if self._tree.total == 0.0 else self._weight()

    def feedback(self, slots: np.ndarray, feedback: Feedback) -> None:
        """|δ| where it boosts the priority; the base takes what it wants."""
        if self._td_errors is not None:
            magnitudes = np.abs(feedback.td_errors)
            self._max_td_error = max(self._max_td_error, float(magnitudes.max()))
            self._td_errors[slots] = magnitudes
            self._write(slots)
        if hasattr(self.base, "feedback"):
            self.base.feedback(slots, feedback)

    def label(self, slots: np.ndarray, yes: bool) -> None:
        """The scorer's answer about a clip: yes is priority 1, no is 0, for all of its items."""
        self._priorities[slots] = float(yes)
        self._write(slots)

    def take_labels(self, state: dict[str, Any]) -> None:
        """Take over the labels' priorities in another sampler's `state_dict`, and nothing else."""
        held = np.arange(len(state["vlm_priorities"]))
        self._priorities[held] = state["vlm_priorities"]
        self._write(held)

    def _write(self, slots: np.ndarray) -> None:
        masses = self._priorities[slots]
        if self._td_errors is not None:
            masses = masses * self._td_errors[slots]
        self._tree.set(slots, masses)

    def state_dict(self) -> dict[str, Any]:
        """Labels' priorities, |δ| where used, a held λ, and the base's state (prefixed 'base.')."""
        state: dict[str, Any] = {
            "vlm_priorities": self._priorities.copy(),
            "max_td_error": self._max_td_error,
            "lambda_override": self._held,
        }
        if self._td_errors is not None:
            state["td_errors"] = self._td_errors.copy()
        if hasattr(self.base, "state_dict"):
            state |= {f"base.{name}": value for name, value in self.base.state_dict().items()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        count = len(state["vlm_priorities"])
        self._priorities[:count] = state["vlm_priorities"]
        self._max_td_error, self._held = float(state["max_td_error"]), state.get("lambda_override", SCHEDULED)
        if self._td_errors is not None:
            self._td_errors[:count] = state["td_errors"]
        self._write(np.arange(count))
        if hasattr(self.base, "load_state_dict"):
            prefix = "base."
            self.base.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


def scheduled_weight(config: TrainConfig, step: float) -> float | None:
    """λ of the schedule at a step of the run; None for no mixture at all."""
    if config.lambda_max is None:
        return None
    return linear(0.0, config.lambda_max, config.lambda_warmup * config.horizon, step)


def _make(config: TrainConfig, capacity: int) -> MixtureSampler:
    from vlmrb.replay.registry import make_sampler

    return MixtureSampler(
        capacity,
        make_sampler(config.model_copy(update={"replay": config.base}), capacity),
        lambda step: scheduled_weight(config, step),
        config.td_boost,
        rising_to_one(config.per_beta, config.horizon) if config.importance_weights else None,
    )


METHOD = ReplayMethod(
    key="vlm",
    label="VLM-RB",
    summary="clips that the scorer says yes to, mixed with a base method",
    color="indigo",
    make=_make,
    settings=(
        "base",
        "lambda_max",
        "lambda_warmup",
        "td_boost",
        "importance_weights",
        "per_beta",
        "clip_length",
        "scorer",
        "prompt",
        "threshold",
        "visuals",
    ),
    defaults={"importance_weights": False, "scorer": "embedded"},
    variants={
        "base": lambda base: f"base {base}",
        "lambda_max": lambda weight: "λ=none" if weight is None else f"λ={weight:g}",
        "lambda_warmup": lambda share: f"warm-up {share:g}",
        "td_boost": lambda on: "|δ|" if on else "no |δ|",
        "importance_weights": lambda on: "with weights" if on else "no weights",
        "visuals": str,
        "prompt": lambda prompt: f"prompt “{prompt if len(prompt) <= 24 else prompt[:23] + '…'}”",
        "clip_length": lambda length: f"L={length}",
        "threshold": lambda threshold: f"threshold {threshold:g}",
    },
    live=("lambda", "prompt"),
    stored=("base", "td_boost"),
    labels=True,
    mixes=True,
    baseline=False,
    usual=True,
)
