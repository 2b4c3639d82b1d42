"""ReLo: draws in proportion to (max(0, L_online − L_target) + ε)^α; everything else is PER."""

from __future__ import annotations

import numpy as np
import pytest

from tests.replay.draws import SIZE, added, fits, stated
from vlmrb.replay.methods.relo import ReLoSampler
from vlmrb.types import Feedback

RNG = np.random.default_rng(6)
ONLINE, TARGET = RNG.exponential(size=(2, SIZE)).astype(np.float32)
FEEDBACK = Feedback(RNG.normal(size=SIZE).astype(np.float32), ONLINE - TARGET)  # the TD errors say something else


def learned(**settings: object) -> ReLoSampler:
    sampler = ReLoSampler(64, **settings)
    sampler.add(np.arange(SIZE), added(np.arange(SIZE)))
    sampler.feedback(np.arange(SIZE), FEEDBACK)
    return sampler


@pytest.mark.parametrize(("alpha", "epsilon"), [(0.6, 1e-2), (1.0, 1e-6), (0.3, 1e-6)])
def test_it_draws_in_proportion_to_the_loss_that_can_still_be_learned_away(alpha: float, epsilon: float) -> None:
    expected = np.array(
        [(max(0.0, float(online - target)) + epsilon) ** alpha for online, target in zip(ONLINE, TARGET, strict=True)]
    )
    expected /= expected.sum()
    sampler = learned(alpha=alpha, epsilon=epsilon)
    slots, table = stated(sampler)
    fits(slots, expected)
    drawn = np.unique(slots)
    np.testing.assert_allclose(table[drawn], expected[drawn], rtol=1e-6)
    np.testing.assert_allclose(sampler.chances(np.arange(SIZE), SIZE), expected, rtol=1e-6)


def test_importance_weights_are_those_of_its_own_probabilities() -> None:
    sampler = learned(beta=0.7)
    slots, _, weights = sampler.sample(300, SIZE, np.random.default_rng(0))
    raw = (SIZE * sampler.chances(slots, SIZE)) ** -0.7
    np.testing.assert_allclose(weights, raw / raw.max(), rtol=1e-6)
    assert learned(weighted=False).sample(9, SIZE, np.random.default_rng(0)).weights.tolist() == [1.0] * 9


def test_a_new_item_gets_the_largest_priority_seen_so_far() -> None:
    sampler = learned(alpha=1.0)
    sampler.add(np.array([SIZE]), added(np.array([SIZE])))
    chances = sampler.chances(np.arange(SIZE + 1), SIZE + 1)
    reducible = np.maximum(ONLINE - TARGET, 0.0)
    assert chances[SIZE] / chances[0] == pytest.approx(max(1.0, reducible.max()) / (reducible[0] + 1e-6), rel=1e-5)


def test_a_restored_sampler_draws_the_same_afterwards() -> None:
    before, after = learned(), ReLoSampler(64)
    after.load_state_dict(before.state_dict())
    for sampler in (before, after):
        sampler.add(np.array([SIZE]), added(np.array([SIZE])))
        sampler.feedback(np.array([1, 2]), Feedback(np.zeros(2, np.float32), np.array([-1, 2], np.float32)))
    for ours, theirs in zip(*(each.sample(500, SIZE + 1, np.random.default_rng(4)) for each in (after, before)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_needs_reducible_losses() -> None:
    with pytest.raises(AssertionError, match="reducible"):
        learned().feedback(np.arange(2), Feedback(np.ones(2, np.float32)))
