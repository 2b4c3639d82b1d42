"""VLM-RB: replay by the labels of a vision-language model, mixed with a base method (arXiv 2602.01915, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmrb.replay.method import ReplayMethod
from vlmrb.replay.sampling import Added, Parts, Sample, Sampler, Score, finite_only, importance_weights, ones
from vlmrb.replay.strata import Stratum
from vlmrb.schedules import Schedule, linear, rising
from vlmrb.types import Feedback

if TYPE_CHECKING:
    from vlmrb.config import TrainConfig

SCHEDULED = "schedule"
"""The live λ that gives the say back to the schedule."""

MAX_STRATA = 16
"""Labels that a clip may have."""

RECOUNT_EVERY = 1_000
"""Draws after which the largest mass of each stratum is looked up again; in between it can only rise."""

_EMPTY, _UNLABELLED, _NO, _YES = range(4)  # what a slot holds


class MixtureSampler:
    """q = Σ_k w_k·q_k + (1 − Σ_k w_k)·q_B, where q_B is what the base method draws by.

    There is one q_k per stratum, that is, per label of a clip; the paper has one. q_k is proportional to the priority that
    label k gives (1 for yes, 0 for no), times |δ| where `td_boost` is on; what is not labelled yet has priority 0 and is
    reached through q_B. The strata that have any mass share λ by their weights g_k, equal ones unless `weigh` gives others:

        w_k = λ·g_k / Σ g,  with `enrichment` c: w_k = min(λ·g_k / Σ g, c·M_k / (N·m_k))

    M_k is the stratum's total mass, m_k its largest and N the number of items held. So w_k·m_k / M_k ≤ c / N: through one
    label, no item is drawn more than c times as often as uniform replay would draw it. With `td_boost`, m_k is looked up
    now and then; until then it can only rise, so that the bound always holds. What the bound cuts off goes to the base, and
    so does everything while no stratum has mass. λ = None draws from the strata alone, as λ = 1 does; a bound applies to it,
    too. With λ = 0 it draws exactly what the base draws from the same generator.

    λ follows its schedule, unless a person holds it at a value. With `from_success` the schedule begins at the step of the
    first successful training episode, and λ is 0 before. With `falls` the schedule's λ is multiplied by min(1, 2·(1 − y)),
    where y is the share of yes among the labelled items held (1 before the first label): it falls once most items are yes.

    Args:
        capacity: slots of the buffer.
        base: the sampler of the base method.
        vlm_weight: λ in [0, 1] or None, or its schedule over the steps of the run.
        td_boost: multiply the label's priority by |δ| (new items: by the largest |δ| seen so far).
        beta: exponent of the importance weights (N · q)^−β in [0, 1], or its schedule; None for weights of 1, as in the paper.
        enrichment: c > 0, or None for no bound, as in the paper.
        from_success: the schedule of λ waits for the first success.
        falls: λ falls as the share of yes nears 1.
    """

    def __init__(
        self,
        capacity: int,
        base: Sampler,
        vlm_weight: float | None | Schedule = 0.0,
        td_boost: bool = False,
        beta: float | Schedule | None = None,
        *,
        enrichment: float | None = None,
        from_success: bool = False,
        falls: bool = False,
    ) -> None:
        self.base, self.td_boost, self.enrichment = base, td_boost, enrichment
        self._from_success, self._falls = from_success, falls
        self.first_success: int | None = None
        """Step of the first successful training episode."""
        self._weight_at: Schedule = vlm_weight if callable(vlm_weight) else lambda step: vlm_weight
        self._held: float | None | str = SCHEDULED  # what a person holds λ at
        self._beta_at = beta if callable(beta) else None
        self.beta = beta(0) if callable(beta) else beta
        self._capacity = capacity
        self._strata = [Stratum(capacity)]
        self._strata_weights: tuple[float, ...] = ()
        self._slots_hold = np.full(capacity, _EMPTY, np.int8)
        self._counts = np.array([capacity, 0, 0, 0])  # of slots, by what they hold
        self._draws = 0
        self._td_errors = np.ones(capacity) if td_boost else None
        self._max_td_error = 1.0
        self.drawn_yes = 0.0
        """Share of the last batch that a label made a yes."""
        self.by_labels = np.zeros(0, np.int64)
        """Which of the last batch the labels chose, as places in it."""
        self.vlm_weight = self._scheduled(0)

    def advance(self, step: int) -> None:
        """λ, β and the base follow their schedules, but for a λ that is held."""
        self.vlm_weight = self._scheduled(step) if self._held == SCHEDULED else self._held  # type: ignore[assignment]
        if self._beta_at is not None:
            self.beta = self._beta_at(step)
        if hasattr(self.base, "advance"):
            self.base.advance(step)

    def _scheduled(self, step: int) -> float | None:
        if self._from_success:
            if self.first_success is None:
                return 0.0
            step -= self.first_success
        weight: float | None = self._weight_at(step)
        yes = self._yes_share()
        return weight if weight is None or not self._falls or yes is None else weight * min(1.0, 2.0 * (1.0 - yes))

    def _yes_share(self) -> float | None:
        """Share of yes among the labelled items held; None while there are none."""
        no, yes = self._counts[[_NO, _YES]].tolist()
        return yes / (no + yes) if no + yes else None

    def change(self, name: str, value: float | None | str) -> None:
        """Hold λ at a value, or give the say back to the schedule."""
        assert name == "lambda", name
        self._held = value

    def weigh(self, weights: Sequence[float]) -> None:
        """How λ is shared among the strata that have any mass; () for equal shares."""
        self._strata_weights = tuple(weights)

    def succeeded(self, step: int) -> None:
        """A training episode has succeeded; the schedule of λ may wait for the first."""
        if self.first_success is None:
            self.first_success = step
        if hasattr(self.base, "succeeded"):
            self.base.succeeded(step)

    def figures(self) -> dict[str, float]:
        """λ in effect, the share of draws that labels decide after all bounds, and yes among labelled and among all items."""
        held = self._capacity - int(self._counts[_EMPTY])
        shares, _ = self._shares(held)
        figures = {"replay/vlm_weight": self._weight(), "replay/vlm_share": _whole(shares)}
        yes = self._yes_share()
        return figures if yes is None else figures | {"replay/yes_share": yes, "replay/held_yes": int(self._counts[_YES]) / held}

    def add(self, slots: np.ndarray, added: Added) -> None:
        """New items have no label yet."""
        for stratum in self._strata:
            stratum.clear(slots)
        self._mark(slots, _UNLABELLED)
        if self._td_errors is not None:
            self._td_errors[slots] = self._max_td_error
        if hasattr(self.base, "add"):
            self.base.add(slots, added)

    def _mark(self, slots: np.ndarray, now: int) -> None:
        self._counts -= np.bincount(self._slots_hold[slots], minlength=4)
        self._counts[now] += len(slots)
        self._slots_hold[slots] = now

    def sample(self, batch_size: int, size: int, rng: np.random.Generator, score: Score | None = None) -> Sample:
        """Draw from the base, and replace each item with probability Σ_k w_k by one drawn from a q_k."""
        slots, other, _ = self.base.sample(batch_size, size, rng, score)
        self._recount()
        shares, totals = self._shares(size)
        share = _whole(shares)
        self.by_labels = np.zeros(0, np.int64)
        if share > 0.0:
            lots = rng.random(batch_size)
            self.by_labels = from_vlm = np.flatnonzero(lots < share)
            points = rng.random(len(from_vlm))
            if len(shares) == 1:
                slots[from_vlm] = self._strata[0].tree.find(points * totals[0])
            else:
                slots[from_vlm] = self._drawn(lots[from_vlm], shares, points, totals)
            given = getattr(self.base, "conditional", None)
            other[from_vlm] = self.base.chances(slots[from_vlm], size) if given is None else given(slots[from_vlm])
        self.drawn_yes = np.count_nonzero(self._slots_hold[slots] == _YES) / batch_size
        probabilities = self._add_vlm_part((1.0 - share) * other, slots, shares, totals)
        weights = ones(batch_size) if self.beta is None else importance_weights(probabilities, size, self.beta)
        return Sample(slots, probabilities, weights)

    def _drawn(self, lots: np.ndarray, shares: list[float], points: np.ndarray, totals: list[float]) -> np.ndarray:
        """One slot per lot (float64 [n] in [0, Σ w_k)), which says the stratum; points in [0, 1) say the place in it."""
        chosen = np.searchsorted(list(accumulate(shares)), lots, "right")
        slots = np.empty(len(lots), np.int64)
        for k, stratum in enumerate(self._strata):
            if len(here := np.flatnonzero(chosen == k)):
                slots[here] = stratum.tree.find(points[here] * totals[k])
        return slots

    def chances(self, slots: np.ndarray, size: int) -> np.ndarray:
        """q(i)."""
        parts = self.parts(slots, size)
        whole: np.ndarray = parts.vlm + parts.other
        return whole

    def parts(self, slots: np.ndarray, size: int) -> Parts:
        """Both parts of q(i)."""
        shares, totals = self._shares(size)
        other = (1.0 - _whole(shares)) * self.base.chances(slots, size)
        return Parts(self._weight(), self._add_vlm_part(np.zeros(len(slots)), slots, shares, totals), other)

    def _add_vlm_part(self, chances: np.ndarray, slots: np.ndarray, shares: list[float], totals: list[float]) -> np.ndarray:
        """`chances` (float64 [N]), after adding Σ_k w_k·q_k(i) to them."""
        for stratum, share, total in zip(self._strata, shares, totals, strict=True):
            if share > 0.0:
                stratum.tree.add_chances(chances, slots, share, total)
        return chances

    def _weight(self) -> float:
        return 1.0 if self.vlm_weight is None else self.vlm_weight

    def _shares(self, size: int) -> tuple[list[float], list[float]]:
        """w_k and M_k of each stratum."""
        totals = [stratum.tree.total for stratum in self._strata]
        given = self._strata_weights or [1.0] * len(totals)
        weights = [weight if total > 0.0 else 0.0 for weight, total in zip_longest(given, totals, fillvalue=0.0)]
        unit = self._weight() / (sum(weights) or 1.0)
        shares = [unit * weight for weight in weights[: len(totals)]]
        if self.enrichment is not None:
            for k, stratum in enumerate(self._strata):
                if totals[k] > 0.0:
                    shares[k] = min(shares[k], self.enrichment * totals[k] / (size * stratum.largest))
        return shares, totals

    def _recount(self) -> None:
        if self.enrichment is not None:
            self._draws += 1
            if self._draws % RECOUNT_EVERY == 0:
                for stratum in self._strata:
                    stratum.recount()

    def feedback(self, slots: np.ndarray, feedback: Feedback) -> None:
        """|δ| where it boosts the priority; the base takes what it wants."""
        if self._td_errors is not None:
            known, magnitudes = finite_only(slots, np.abs(feedback.td_errors))
            self._max_td_error = max(self._max_td_error, float(magnitudes.max(initial=0.0)))
            self._td_errors[known] = magnitudes
            for stratum in self._strata:
                stratum.write(known[stratum.priorities[known] > 0.0], self._td_errors)
        if hasattr(self.base, "feedback"):
            self.base.feedback(slots, feedback)

    def label(self, slots: np.ndarray, priorities: np.ndarray) -> None:
        """The priorities (float64 [K] in [0, 1]) that a clip's labels give to all of its items, one per stratum."""
        assert len(priorities) <= MAX_STRATA, len(priorities)
        needed = 1 + int(np.flatnonzero(priorities).max(initial=0))  # a stratum costs memory and time: none before it has mass
        self._strata += [Stratum(self._capacity) for _ in range(needed - len(self._strata))]
        for k, stratum in enumerate(self._strata):
            stratum.priorities[slots] = priorities[k] if k < len(priorities) else 0.0
            stratum.write(slots, self._td_errors)
        self._mark(slots, _YES if (priorities == 1.0).any() else _NO)

    def take_labels(self, state: dict[str, Any]) -> None:
        """Take over the labels' priorities in another sampler's `state_dict`, and nothing else."""
        held = np.arange(len(state[_name(0)]))
        self._strata = [Stratum(self._capacity) for k in range(MAX_STRATA) if _name(k) in state]
        for k, stratum in enumerate(self._strata):
            stratum.priorities[held] = state[_name(k)]
            stratum.write(held, self._td_errors)
        self._slots_hold[held] = state.get("slots_hold", np.where(self._strata[0].priorities[held] == 1.0, _YES, _NO))
        self._counts = np.bincount(self._slots_hold, minlength=4)

    def state_dict(self) -> dict[str, Any]:
        """Priorities by stratum, |δ| where used, what λ depends on, and the base's state (prefixed 'base.')."""
        state: dict[str, Any] = {_name(k): stratum.priorities.copy() for k, stratum in enumerate(self._strata)}
        state |= {
            "slots_hold": self._slots_hold.copy(),
            "largest": [stratum.largest for stratum in self._strata],
            "draws": self._draws,
            "first_success": self.first_success,
            "max_td_error": self._max_td_error,
            "lambda_override": self._held,
        }
        if self._td_errors is not None:
            state["td_errors"] = self._td_errors.copy()
        if hasattr(self.base, "state_dict"):
            state |= {f"base.{name}": value for name, value in self.base.state_dict().items()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore. States from before there were strata lack some of it; all of their items count as labelled."""
        self._max_td_error, self._held = float(state["max_td_error"]), state.get("lambda_override", SCHEDULED)
        self.first_success, self._draws = state.get("first_success"), int(state.get("draws", 0))
        if self._td_errors is not None:
            self._td_errors[: len(state["td_errors"])] = state["td_errors"]
        self.take_labels(state)
        for stratum, largest in zip(self._strata, state.get("largest", ()), strict=False):
            stratum.largest = float(largest)
        if hasattr(self.base, "load_state_dict"):
            prefix = "base."
            self.base.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


def _whole(shares: list[float]) -> float:
    """Σ_k w_k, at most 1; summed in the order in which the strata are drawn from."""
    whole = 0.0
    for share in shares:
        whole += share
    return min(1.0, whole)


def _name(stratum: int) -> str:
    """The name of a stratum's priorities in the state; that of the first is as old as checkpoints are."""
    return f"vlm_priorities.{stratum}" if stratum else "vlm_priorities"


def scheduled_weight(config: TrainConfig, step: float) -> float | None:
    """λ of the schedule at a step of the run, or since its first success; None for no mixture at all."""
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
        rising(config.per_beta, config.per_beta_end, config.horizon) if config.importance_weights else None,
        enrichment=config.enrichment,
        from_success=config.lambda_from == "first-success",
        falls=config.lambda_falls,
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
        "lambda_from",
        "lambda_falls",
        "td_boost",
        "enrichment",
        "strata",
        "curriculum",
        "first_in_episode",
        "net_progress",
        "credit",
        "importance_weights",
        "per_beta",
        "per_beta_end",
        "clip_length",
        "clip_stride",
        "overlap",
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
        "lambda_from": lambda since: f"λ from {since.replace('-', ' ')}",
        "lambda_falls": lambda on: "λ falls" if on else "λ stays",
        "td_boost": lambda on: "|δ|" if on else "no |δ|",
        "enrichment": lambda most: "no bound" if most is None else f"at most {most:g}×",
        "strata": lambda on: "strata" if on else "no strata",
        "curriculum": lambda plan: f"curriculum {plan}" if plan else "no curriculum",
        "first_in_episode": lambda on: "first in episode" if on else "every yes",
        "net_progress": lambda on: "net progress" if on else "all progress",
        "credit": lambda decay: f"credit {decay:g}",
        "importance_weights": lambda on: "with weights" if on else "no weights",
        "per_beta_end": lambda beta: f"β to {beta:g}",
        "visuals": str,
        "prompt": lambda prompt: f"prompt “{prompt if len(prompt) <= 24 else prompt[:23] + '…'}”",
        "clip_length": lambda length: f"L={length}",
        "clip_stride": lambda stride: "no overlap" if stride is None else f"stride {stride}",
        "overlap": lambda rule: f"{rule} over overlapping clips",
        "threshold": lambda threshold: f"threshold {threshold:g}",
    },
    live=("lambda", "prompt", "question"),
    stored=("base", "td_boost"),
    labels=True,
    mixes=True,
    baseline=False,
    usual=True,
)
