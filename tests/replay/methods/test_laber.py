"""LaBER: m·B uniform candidates, of which B are kept in proportion to |δ| + ε."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.replay.draws import DRAWS, SIZE, fits
from vlmrb.replay.methods.laber import LargeBatchSampler

ERRORS = np.random.default_rng(2).normal(size=SIZE).astype(np.float32)
ERRORS[7] = 0.0


class Scoring:
    """Gives signed TD errors, and remembers whose they were asked."""

    def __init__(self, errors: np.ndarray = ERRORS) -> None:
        self.errors, self.candidates = errors, np.zeros(0, np.int64)

    def __call__(self, slots: np.ndarray) -> np.ndarray:
        self.candidates = slots.copy()
        return self.errors[slots]

    def shares(self, epsilon: float) -> np.ndarray:
        """By definition, the probability of each slot given the candidates, float64 [size]."""
        shares = np.zeros(len(self.errors))
        for slot in self.candidates:
            shares[slot] += abs(float(self.errors[slot])) + epsilon
        return shares / shares.sum()


@pytest.mark.parametrize("factor", [1, 4])
def test_given_the_candidates_it_draws_in_proportion_to_their_td_errors(factor: int) -> None:
    scoring, sampler = Scoring(), LargeBatchSampler(factor, epsilon=1e-2)
    slots, probabilities, _ = sampler.sample(DRAWS, SIZE, np.random.default_rng(1), scoring)
    assert len(scoring.candidates) == factor * DRAWS
    fits(scoring.candidates, np.full(SIZE, 1 / SIZE))
    fits(slots, scoring.shares(1e-2))
    np.testing.assert_allclose(probabilities, scoring.shares(1e-2)[slots], rtol=1e-9)


def test_with_few_candidates_of_many_items_only_candidates_are_drawn_with_the_probabilities_it_states() -> None:
    size = 60
    scoring, sampler, rng = Scoring(np.arange(size, dtype=np.float32)), LargeBatchSampler(3), np.random.default_rng(0)
    for _ in range(200):
        slots, probabilities, _ = sampler.sample(4, size, rng, scoring)
        shares = scoring.shares(1e-6)
        assert len(scoring.candidates) == 12 and set(slots) <= set(scoring.candidates)
        np.testing.assert_allclose(probabilities, shares[slots], rtol=1e-9)
        np.testing.assert_allclose(sampler.conditional(np.arange(size)), shares, rtol=1e-9, atol=1e-15)


def test_weights_are_the_mean_priority_of_the_candidates_over_that_of_the_item() -> None:
    scoring = Scoring()
    slots, _, weights = LargeBatchSampler(4, epsilon=1e-3).sample(64, SIZE, np.random.default_rng(3), scoring)
    mean = (np.abs(ERRORS[scoring.candidates], dtype=np.float64) + 1e-3).mean()
    np.testing.assert_allclose(weights, mean / (np.abs(ERRORS[slots], dtype=np.float64) + 1e-3), rtol=1e-6)
    assert weights.dtype == np.float32
    unweighted = LargeBatchSampler(4, weighted=False).sample(64, SIZE, np.random.default_rng(3), scoring)
    assert unweighted.weights.tolist() == [1.0] * 64


@pytest.mark.parametrize("of_item", [lambda slots: slots / SIZE, lambda slots: np.cos(slots), lambda slots: (slots == 7) * 1.0])
def test_the_weighted_mean_of_a_batch_estimates_the_mean_of_the_buffer_without_bias(
    of_item: Callable[[np.ndarray], np.ndarray],
) -> None:
    sampler, rng, scoring = LargeBatchSampler(4, epsilon=0.1), np.random.default_rng(5), Scoring()
    means = []
    for _ in range(4_000):
        slots, _, weights = sampler.sample(16, SIZE, rng, scoring)
        means.append((weights * of_item(slots)).mean())
    standard_error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - of_item(np.arange(SIZE)).mean()) < 3.5 * standard_error
    assert standard_error < 0.02


def test_before_the_candidates_are_known_every_item_has_the_same_chance() -> None:
    np.testing.assert_array_equal(LargeBatchSampler().chances(np.arange(SIZE), SIZE), 1 / SIZE)


def test_it_keeps_nothing_between_draws() -> None:
    used, fresh = LargeBatchSampler(), LargeBatchSampler()
    used.sample(50, SIZE, np.random.default_rng(0), Scoring())
    draws = [each.sample(50, SIZE, np.random.default_rng(1), Scoring()) for each in (used, fresh)]
    for ours, theirs in zip(*draws, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not hasattr(used, "state_dict")


def test_it_needs_somebody_to_score_the_candidates() -> None:
    with pytest.raises(AssertionError, match="score"):
        LargeBatchSampler().sample(4, SIZE, np.random.default_rng(0))
