"""The mixture: its two parts, its edges, and that it is exact over every base method."""

from __future__ import annotations

import numpy as np
import pytest

from tests.replay.draws import SIZE, add, fits, stated, td
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MixtureSampler

CAPACITY = 64
WEIGHTS = [0.0, 0.25, 0.5, 1.0, None]
YES = np.array([3, 4, 5, 30])


def over_uniform(weight: float | None = 0.5, **settings: object) -> MixtureSampler:
    return MixtureSampler(CAPACITY, UniformSampler(), weight, **settings)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("td_boost", [False, True])
def test_it_draws_with_the_probabilities_it_states(weight: float | None, td_boost: bool) -> None:
    sampler = over_uniform(weight, td_boost=td_boost)
    add(sampler, np.arange(SIZE))
    sampler.label(YES, True)
    sampler.feedback(np.array([3, 4, 5]), td([-0.5, 0.25, 4.0]))
    share = 1.0 if weight is None else weight
    masses = np.zeros(SIZE)
    masses[YES] = [0.5, 0.25, 4.0, 1.0] if td_boost else 1.0
    expected = share * masses / masses.sum() + (1 - share) / SIZE
    slots, table = stated(sampler, seed=1)
    drawn = np.unique(slots)
    np.testing.assert_allclose(table[drawn], expected[drawn], rtol=1e-12)
    fits(slots, expected)


def test_a_new_item_is_boosted_by_the_largest_td_error_seen_so_far() -> None:
    sampler = over_uniform(None, td_boost=True)
    add(sampler, np.arange(3))
    sampler.feedback(np.array([0, 1]), td([-8.0, 2.0]))
    sampler.feedback(np.array([0]), td([3.0]))
    add(sampler, np.array([3]))
    sampler.label(np.array([0, 1, 3]), True)
    np.testing.assert_allclose(sampler.chances(np.arange(4), 4), np.array([3, 2, 0, 8]) / 13)


@pytest.mark.parametrize("weight", [0.5, 1.0, None])
def test_while_nothing_is_labelled_yes_all_mass_goes_to_the_base(weight: float | None) -> None:
    sampler = over_uniform(weight)
    sampler.label(np.arange(5), False)
    slots, table = stated(sampler, seed=3)
    np.testing.assert_allclose(table, 1 / SIZE)
    fits(slots, np.full(SIZE, 1 / SIZE))


def test_a_new_item_in_the_slot_of_a_positive_one_has_no_label() -> None:
    sampler = over_uniform(None)
    sampler.label(np.array([2, 3]), True)
    add(sampler, np.array([2]))
    assert set(sampler.sample(200, 8, np.random.default_rng(0)).slots) == {3}


def test_a_later_no_takes_back_a_yes() -> None:
    sampler = over_uniform(None)
    sampler.label(np.array([2, 3]), True)
    sampler.label(np.array([2]), False)
    assert set(sampler.sample(200, 8, np.random.default_rng(0)).slots) == {3}


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, None])
@pytest.mark.parametrize("td_boost", [False, True])
def test_the_parts_of_a_chance_are_lambda_and_the_rest_and_sum_to_what_sample_states(weight, td_boost: bool) -> None:
    sampler = over_uniform(weight, td_boost=td_boost)
    add(sampler, np.arange(SIZE))
    sampler.label(np.array([3, 4, 30]), True)
    sampler.feedback(np.array([3, 4]), td([-0.5, 3.0]))
    parts = sampler.parts(np.arange(SIZE), SIZE)
    share = 1.0 if weight is None else weight
    assert parts.vlm_weight == share
    assert parts.vlm.sum() == pytest.approx(share) and parts.other.sum() == pytest.approx(1 - share)
    assert set(np.flatnonzero(parts.vlm)) == ({3, 4, 30} if share else set())
    slots, probabilities, _ = sampler.sample(500, SIZE, np.random.default_rng(0))
    np.testing.assert_array_equal((parts.vlm + parts.other)[slots], probabilities)
    np.testing.assert_array_equal(sampler.chances(np.arange(SIZE), SIZE), parts.vlm + parts.other)


def test_without_a_yes_anywhere_the_vlm_part_is_nothing() -> None:
    parts = over_uniform(0.5).parts(np.arange(SIZE), SIZE)
    assert (parts.vlm == 0).all() and parts.other.sum() == pytest.approx(1) and parts.vlm_weight == 0.5
