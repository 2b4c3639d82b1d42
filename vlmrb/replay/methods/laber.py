"""LaBER: large batch experience replay (Lahire et al. 2022, arXiv 2110.01528).

No priority is stored. m·B candidates are drawn uniformly, the agent's present networks give |δ| for all of them, and B are
kept in proportion to it. The paper uses m = 4 and weights normalised by the mean ('LaBER-mean').
"""

from __future__ import annotations

import numpy as np

from vlmrb.replay.method import ReplayMethod
from vlmrb.replay.sampling import Sample, Score, ones


class LargeBatchSampler:
    """Of m·B uniform candidates, B drawn in proportion to p_i = |δ_i| + ε.

    The weights mean(p) / p_i make the weighted mean over a batch an unbiased estimate of the mean over the buffer.
    Stated probabilities are those given the candidates: p_i / Σ p_j, summed over the places that a slot has among them.

    Args:
        factor: m, candidates per item of the batch, at least 1; 1 draws B of B.
        epsilon: added to |δ|, so that candidates without error can be drawn.
        weighted: whether batches carry the weights; else these are 1.
    """

    def __init__(self, factor: int = 4, epsilon: float = 1e-6, weighted: bool = True) -> None:
        self.factor, self.epsilon, self.weighted = factor, epsilon, weighted
        self._candidates, self._shares = np.zeros(0, np.int64), np.zeros(0)  # distinct slots, ascending, and their probabilities

    def sample(self, batch_size: int, size: int, rng: np.random.Generator, score: Score | None = None) -> Sample:
        """Draw candidates, score them, keep `batch_size`."""
        assert score is not None, "LaBER scores its candidates: give sample a score"
        candidates = rng.integers(0, size, size=self.factor * batch_size)
        errors = np.abs(score(candidates), dtype=np.float64)
        priorities = np.where(np.isfinite(errors), errors, 0.0) + self.epsilon
        total = priorities.sum()
        chosen = np.minimum(np.searchsorted(np.cumsum(priorities), rng.random(batch_size) * total, "right"), len(candidates) - 1)
        self._candidates, places = np.unique(candidates, return_inverse=True)
        self._shares = np.bincount(places, priorities) / total
        weights = (total / len(candidates) / priorities[chosen]).astype(np.float32) if self.weighted else ones(batch_size)
        return Sample(candidates[chosen], self._shares[places[chosen]], weights)

    def conditional(self, slots: np.ndarray) -> np.ndarray:
        """The probability that a draw of the last `sample` had of choosing each slot, given its candidates: float64 [N]."""
        places = np.minimum(np.searchsorted(self._candidates, slots), len(self._candidates) - 1)
        return np.where(self._candidates[places] == slots, self._shares[places], 0.0)

    def chances(self, slots: np.ndarray, size: int) -> np.ndarray:
        """Before candidates are drawn nothing is known about |δ|: 1 / size each, the chance of being a candidate's slot."""
        return np.full(len(slots), 1.0 / size)


METHOD = ReplayMethod(
    key="laber",
    label="LaBER",
    summary="large TD errors among uniformly drawn candidates",
    color="crimson",
    make=lambda config, capacity: LargeBatchSampler(config.laber_factor, weighted=config.importance_weights),
    settings=("laber_factor", "importance_weights"),
    defaults={"importance_weights": True},
    variants={"importance_weights": lambda on: "with weights" if on else "no weights", "laber_factor": lambda m: f"m={m}"},
    exact=False,
)
