"""PER: draws in proportion to (|δ| + ε)^α, and weights that correct for it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.replay.draws import SIZE, added, fits, stated, td
from vlmrb.replay.methods.per import PrioritizedSampler


def learned(errors: np.ndarray, **settings: object) -> PrioritizedSampler:
    """A sampler that knows the TD errors of its first items."""
    sampler = PrioritizedSampler(64, **settings)
    slots = np.arange(len(errors))
    sampler.add(slots, added(slots))
    sampler.feedback(slots, td(errors))
    return sampler


ERRORS = np.random.default_rng(2).normal(size=SIZE).astype(np.float32)


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_it_draws_in_proportion_to_the_td_error(alpha: float) -> None:
    expected = (np.abs(ERRORS, dtype=np.float64) + 1e-6) ** alpha
    expected /= expected.sum()
    sampler = learned(ERRORS, alpha=alpha)
    slots, table = stated(sampler)
    fits(slots, expected)
    drawn = np.unique(slots)
    np.testing.assert_allclose(table[drawn], expected[drawn], rtol=1e-12)
    np.testing.assert_allclose(sampler.chances(np.arange(SIZE), SIZE), expected, rtol=1e-12)


def test_importance_weights_correct_for_the_probability_and_the_largest_of_a_batch_is_one() -> None:
    probabilities = (np.abs(ERRORS, dtype=np.float64) + 1e-6) ** 0.7
    probabilities /= probabilities.sum()
    slots, _, weights = learned(ERRORS, alpha=0.7, beta=0.5).sample(256, SIZE, np.random.default_rng(0))
    raw = (SIZE * probabilities[slots]) ** -0.5
    np.testing.assert_allclose(weights, raw / raw.max(), rtol=1e-6)
    assert weights.dtype == np.float32 and weights.max() == 1.0


def test_without_weighting_all_weights_are_one() -> None:
    assert learned(ERRORS, weighted=False).sample(50, SIZE, np.random.default_rng(0)).weights.tolist() == [1.0] * 50


def test_the_exponent_of_the_weights_follows_its_schedule() -> None:
    sampler = learned(ERRORS, beta=lambda step: 0.4 + step / 1000)
    assert sampler.beta == 0.4
    sampler.advance(300)
    assert sampler.beta == pytest.approx(0.7)
    _, probabilities, weights = sampler.sample(30, SIZE, np.random.default_rng(0))
    raw = (SIZE * probabilities) ** -0.7
    np.testing.assert_allclose(weights, raw / raw.max(), rtol=1e-6)
    constant = learned(ERRORS, beta=0.3)
    constant.advance(300)
    assert constant.beta == 0.3


def test_a_new_item_gets_the_largest_priority_seen_so_far() -> None:
    sampler = learned(np.array([1, 9, 2, 3], np.float32), alpha=1.0)
    sampler.feedback(np.array([1]), td([0.5]))
    sampler.add(np.array([4]), added(np.array([4])))
    np.testing.assert_allclose(sampler.chances(np.arange(5), 5), np.array([1, 0.5, 2, 3, 9]) / 15.5, rtol=1e-5)


def test_a_restored_sampler_draws_the_same_afterwards() -> None:
    before, after = learned(ERRORS), PrioritizedSampler(64)
    after.load_state_dict(before.state_dict())
    for sampler in (before, after):
        sampler.add(np.array([SIZE]), added(np.array([SIZE])))
    for ours, theirs in zip(*(each.sample(500, SIZE + 1, np.random.default_rng(4)) for each in (after, before)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
