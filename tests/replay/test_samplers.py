"""Samplers: stated probabilities are the true ones, and the mixture's edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmrb.replay import MixtureSampler, PrioritizedSampler, UniformSampler

SIZE = 40


def chi_square_is_plausible(slots: np.ndarray, probabilities: np.ndarray) -> None:
    """Observed against expected counts; the bound is far beyond the 99.99 % quantile for 39 degrees of freedom."""
    counts, expected = np.bincount(slots, minlength=SIZE), probabilities * len(slots)
    assert counts[probabilities == 0].sum() == 0
    held = probabilities > 0
    assert ((counts - expected)[held] ** 2 / expected[held]).sum() < 90


def stated(sampler, rng) -> tuple[np.ndarray, np.ndarray]:
    slots, probabilities, _ = sampler.sample(20_000, SIZE, rng)
    table = np.zeros(SIZE)
    table[slots] = probabilities
    np.testing.assert_array_equal(table[slots], probabilities)  # the same slot always states the same probability
    return slots, table


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 1.0, None])
@pytest.mark.parametrize("td_boost", [False, True])
def test_mixture_draws_with_the_probabilities_it_states(weight: float | None, td_boost: bool) -> None:
    rng = np.random.default_rng(1)
    sampler = MixtureSampler(64, weight, td_boost)
    sampler.add(np.arange(SIZE))
    sampler.set_vlm_priorities(np.array([3, 4, 5, 30]), 1.0)
    sampler.update_priorities(np.array([3, 4, 5]), np.array([-0.5, 0.25, 4.0], np.float32))
    share = 1.0 if weight is None else weight
    masses = np.zeros(SIZE)
    masses[[3, 4, 5, 30]] = [0.5, 0.25, 4.0, 1.0] if td_boost else 1.0
    expected = share * masses / masses.sum() + (1 - share) / SIZE
    slots, table = stated(sampler, rng)
    np.testing.assert_allclose(table[np.unique(slots)], expected[np.unique(slots)], rtol=1e-12)
    chi_square_is_plausible(slots, expected)


def test_per_draws_in_proportion_to_the_td_error_and_corrects_with_importance_weights() -> None:
    rng = np.random.default_rng(2)
    sampler = PrioritizedSampler(64, alpha=0.7, beta=0.5)
    sampler.add(np.arange(SIZE))
    errors = rng.normal(size=SIZE).astype(np.float32)
    sampler.update_priorities(np.arange(SIZE), errors)
    expected = (np.abs(errors, dtype=np.float64) + 1e-6) ** 0.7
    expected /= expected.sum()
    slots, _ = stated(sampler, rng)
    chi_square_is_plausible(slots, expected)
    slots, probabilities, weights = sampler.sample(256, SIZE, rng)
    raw = (SIZE * probabilities) ** -0.5
    np.testing.assert_allclose(weights, raw / raw.max(), rtol=1e-6)


def test_a_new_item_gets_the_largest_priority_seen_so_far() -> None:
    sampler = PrioritizedSampler(8, alpha=1.0)
    sampler.add(np.arange(4))
    sampler.update_priorities(np.arange(4), np.array([1, 9, 2, 3], np.float32))
    sampler.add(np.array([4]))
    _, table = stated_of(sampler, 5)
    assert table[4] == pytest.approx(table[1])


def stated_of(sampler, size: int) -> tuple[np.ndarray, np.ndarray]:
    slots, probabilities, _ = sampler.sample(2000, size, np.random.default_rng(0))
    table = np.zeros(size)
    table[slots] = probabilities
    return slots, table


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_with_lambda_zero_the_mixture_is_the_uniform_sampler_bit_for_bit(seed: int, batch_size: int) -> None:
    mixture = MixtureSampler(64, 0.0)
    mixture.set_vlm_priorities(np.arange(10), 1.0)
    ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
    for _ in range(3):
        for a, b in zip(mixture.sample(batch_size, SIZE, ours), UniformSampler().sample(batch_size, SIZE, theirs), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("weight", [0.5, 1.0, None])
def test_while_nothing_has_a_vlm_priority_all_mass_goes_to_the_uniform_part(weight: float | None) -> None:
    sampler = MixtureSampler(64, weight)
    slots, table = stated(sampler, np.random.default_rng(3))
    np.testing.assert_allclose(table, 1 / SIZE)
    chi_square_is_plausible(slots, np.full(SIZE, 1 / SIZE))


def test_a_new_item_in_the_slot_of_a_positive_one_has_no_vlm_priority() -> None:
    sampler = MixtureSampler(8, None)
    sampler.set_vlm_priorities(np.array([2, 3]), 1.0)
    sampler.add(np.array([2]))
    assert set(sampler.sample(200, 8, np.random.default_rng(0)).slots) == {3}


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, None])
@pytest.mark.parametrize("td_boost", [False, True])
def test_the_parts_of_a_draws_chance_are_lambda_and_the_rest_and_sum_to_what_sample_states(weight, td_boost: bool) -> None:
    sampler = MixtureSampler(64, weight, td_boost)
    sampler.add(np.arange(SIZE))
    sampler.set_vlm_priorities(np.array([3, 4, 30]), 1.0)
    sampler.update_priorities(np.array([3, 4]), np.array([-0.5, 3.0], np.float32))
    chances = sampler.chances(np.arange(SIZE), SIZE)
    share = 1.0 if weight is None else weight
    assert chances.vlm_weight == share
    assert chances.vlm.sum() == pytest.approx(share) and chances.other.sum() == pytest.approx(1 - share)
    assert set(np.flatnonzero(chances.vlm)) == ({3, 4, 30} if share else set())
    slots, probabilities, _ = sampler.sample(500, SIZE, np.random.default_rng(0))
    np.testing.assert_array_equal((chances.vlm + chances.other)[slots], probabilities)


def test_without_a_vlm_priority_anywhere_the_vlm_part_is_nothing() -> None:
    chances = MixtureSampler(64, 0.5).chances(np.arange(SIZE), SIZE)
    assert (chances.vlm == 0).all() and chances.other.sum() == pytest.approx(1) and chances.vlm_weight == 0.5


@pytest.mark.parametrize("make", [UniformSampler, lambda: PrioritizedSampler(64)])
def test_replay_without_a_vlm_draws_by_the_other_part_alone(make) -> None:
    sampler = make()
    sampler.add(np.arange(SIZE))
    sampler.update_priorities(np.arange(10), np.arange(10, dtype=np.float32))
    chances = sampler.chances(np.arange(SIZE), SIZE)
    assert chances.vlm_weight is None and (chances.vlm == 0).all() and chances.other.sum() == pytest.approx(1)
    slots, probabilities, _ = sampler.sample(500, SIZE, np.random.default_rng(0))
    np.testing.assert_array_equal(chances.other[slots], probabilities)
