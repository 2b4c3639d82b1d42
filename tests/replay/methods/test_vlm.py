"""The mixture: its two parts, its edges, and that it is exact over every base method."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replay.draws import DRAWS, SIZE, add, fits, stated, td
from vlmrb.config import make_config
from vlmrb.replay import Sample, Sampler
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.replay.registry import bases, replay_method
from vlmrb.types import Feedback

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
    sampler.label(YES, np.ones(1))
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
    sampler.label(np.array([0, 1, 3]), np.ones(1))
    np.testing.assert_allclose(sampler.chances(np.arange(4), 4), np.array([3, 2, 0, 8]) / 13)


@pytest.mark.parametrize("weight", [0.5, 1.0, None])
def test_while_nothing_is_labelled_yes_all_mass_goes_to_the_base(weight: float | None) -> None:
    sampler = over_uniform(weight)
    sampler.label(np.arange(5), np.zeros(1))
    slots, table = stated(sampler, seed=3)
    np.testing.assert_allclose(table, 1 / SIZE)
    fits(slots, np.full(SIZE, 1 / SIZE))


def test_a_new_item_in_the_slot_of_a_positive_one_has_no_label() -> None:
    sampler = over_uniform(None)
    sampler.label(np.array([2, 3]), np.ones(1))
    add(sampler, np.array([2]))
    assert set(sampler.sample(200, 8, np.random.default_rng(0)).slots) == {3}


def test_a_later_no_takes_back_a_yes() -> None:
    sampler = over_uniform(None)
    sampler.label(np.array([2, 3]), np.ones(1))
    sampler.label(np.array([2]), np.zeros(1))
    assert set(sampler.sample(200, 8, np.random.default_rng(0)).slots) == {3}


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, None])
@pytest.mark.parametrize("td_boost", [False, True])
def test_the_parts_of_a_chance_are_lambda_and_the_rest_and_sum_to_what_sample_states(weight, td_boost: bool) -> None:
    sampler = over_uniform(weight, td_boost=td_boost)
    add(sampler, np.arange(SIZE))
    sampler.label(np.array([3, 4, 30]), np.ones(1))
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


# -- over every base

EXACT = tuple(key for key in bases() if replay_method(key).exact)
ERRORS, REDUCIBLE = np.random.default_rng(8).normal(size=(2, SIZE)).astype(np.float32)


def score(slots: np.ndarray) -> np.ndarray:
    """The agent's TD errors, for a base that asks."""
    return ERRORS[slots]


def new_base(key: str, **settings: object) -> Sampler:
    """A base as a run makes it."""
    return replay_method(key).make(make_config(replay="vlm", base=key, scorer="oracle", **settings), CAPACITY)


def teach(sampler: Sampler, first: int = 0) -> None:
    """Items in five episodes of eight steps, learned from."""
    slots = np.arange(first, SIZE)
    add(sampler, slots, episode_length=8)
    if hasattr(sampler, "feedback"):
        sampler.feedback(slots, Feedback(ERRORS[slots], REDUCIBLE[slots]))


def over(key: str, weight: float | None, beta: float | None = None, td_boost: bool = False) -> MixtureSampler:
    sampler = MixtureSampler(CAPACITY, new_base(key), weight, td_boost, beta)
    teach(sampler)
    sampler.label(YES, np.ones(1))
    return sampler


def base_of(key: str, **settings: object) -> Sampler:
    """The base alone, that knows the same."""
    sampler = new_base(key, **settings)
    teach(sampler)
    return sampler


def same(ours: Sample, theirs: Sample) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def of_base(key: str) -> np.ndarray:
    """What the base draws by; for LaBER given the candidates of a draw with generator 1 of DRAWS items."""
    if key != "laber":
        return base_of(key).chances(np.arange(SIZE), SIZE)
    candidates = np.random.default_rng(1).integers(0, SIZE, 4 * DRAWS)
    shares = np.bincount(candidates, np.abs(ERRORS[candidates], dtype=np.float64) + 1e-6, SIZE)
    return shares / shares.sum()


def of_mixture(key: str, weight: float | None, td_boost: bool = False) -> np.ndarray:
    share = 1.0 if weight is None else weight
    masses = np.zeros(SIZE)
    masses[YES] = np.abs(ERRORS[YES]) if td_boost else 1.0
    return share * masses / masses.sum() + (1 - share) * of_base(key)


@pytest.mark.parametrize("key", bases())
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_with_lambda_zero_the_mixture_is_its_base_bit_for_bit(key: str, seed: int, batch_size: int) -> None:
    mixture, base = over(key, 0.0), base_of(key)
    ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
    for _ in range(3):
        drawn, expected = (each.sample(batch_size, SIZE, rng, score) for each, rng in ((mixture, ours), (base, theirs)))
        same(drawn, expected)
    np.testing.assert_array_equal(mixture.chances(np.arange(SIZE), SIZE), base.chances(np.arange(SIZE), SIZE))


@pytest.mark.parametrize("key", EXACT)
def test_with_lambda_zero_and_importance_weights_the_weights_are_those_of_the_base_too(key: str) -> None:
    base = base_of(key, importance_weights=True, per_beta=0.7)
    drawn, expected = (each.sample(100, SIZE, np.random.default_rng(3), score) for each in (over(key, 0.0, beta=0.7), base))
    same(drawn, expected)
    assert (expected.weights < 1.0).any() == (key != "uniform")


@pytest.mark.parametrize("key", bases())
@pytest.mark.parametrize(("weight", "td_boost"), [(0.25, False), (0.5, True), (1.0, False), (None, True)])
def test_over_every_base_the_stated_probabilities_are_the_true_ones(key: str, weight: float | None, td_boost: bool) -> None:
    slots, probabilities, weights = over(key, weight, td_boost=td_boost).sample(DRAWS, SIZE, np.random.default_rng(1), score)
    expected = of_mixture(key, weight, td_boost)
    fits(slots, expected)
    np.testing.assert_allclose(probabilities, expected[slots], rtol=1e-9)
    assert (weights == 1.0).all()


def test_over_laber_an_item_that_is_no_candidate_has_the_chance_of_its_label_alone() -> None:
    mixture, rng, seen = over("laber", 0.5), np.random.default_rng(0), []

    def remember(slots: np.ndarray) -> np.ndarray:
        seen.append(slots)
        return score(slots)

    for _ in range(100):
        slots, probabilities, _ = mixture.sample(2, SIZE, rng, remember)
        shares = np.bincount(seen[-1], np.abs(ERRORS[seen[-1]], dtype=np.float64) + 1e-6, SIZE)
        expected = 0.5 * np.isin(np.arange(SIZE), YES) / len(YES) + 0.5 * shares / shares.sum()
        np.testing.assert_allclose(probabilities, expected[slots], rtol=1e-9)


@pytest.mark.parametrize("key", EXACT)
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_importance_weights_come_from_the_exact_mixture(key: str, weight: float) -> None:
    slots, _, weights = over(key, weight, beta=0.6).sample(200, SIZE, np.random.default_rng(1), score)
    raw = (SIZE * of_mixture(key, weight)[slots]) ** -0.6
    np.testing.assert_allclose(weights, raw / raw.max(), rtol=1e-6)


@pytest.mark.parametrize("key", bases())
@pytest.mark.parametrize("weight", [0.0, 0.3, None])
def test_over_every_base_the_parts_sum_to_the_whole(key: str, weight: float | None) -> None:
    mixture, slots = over(key, weight), np.arange(SIZE)
    parts, share = mixture.parts(slots, SIZE), 1.0 if weight is None else weight
    assert parts.vlm.sum() == pytest.approx(share) and parts.other.sum() == pytest.approx(1.0 - share)
    np.testing.assert_allclose(parts.other, (1.0 - share) * base_of(key).chances(slots, SIZE))
    np.testing.assert_array_equal(mixture.chances(slots, SIZE), parts.vlm + parts.other)


@pytest.mark.parametrize("key", bases())
def test_the_base_learns_of_new_items_and_of_feedback(key: str) -> None:
    mixture, base = over(key, 0.5), base_of(key)
    for _ in range(2):
        np.testing.assert_array_equal(mixture.base.chances(np.arange(SIZE), SIZE), base.chances(np.arange(SIZE), SIZE))
        for sampler in (mixture, base):
            teach(sampler, first=SIZE // 2)


@pytest.mark.parametrize("key", bases())
@pytest.mark.parametrize("td_boost", [False, True])
def test_a_restored_mixture_draws_the_same_afterwards_and_a_held_lambda_survives(key: str, td_boost: bool) -> None:
    def mixture() -> MixtureSampler:
        return MixtureSampler(CAPACITY, new_base(key), lambda step: step / 1000, td_boost)

    before, after = mixture(), mixture()
    teach(before)
    before.label(YES, np.ones(1))
    before.advance(100)
    before.change("lambda", 0.75)
    after.load_state_dict(before.state_dict())
    for sampler in (before, after):
        sampler.advance(200)
        assert sampler.figures() == {
            "replay/vlm_weight": 0.75, "replay/vlm_share": 0.75, "replay/yes_share": 1.0, "replay/held_yes": 0.1,
        }  # fmt: skip
        teach(sampler, first=SIZE // 2)
        sampler.label(np.array([20, 21]), np.ones(1))
    same(*(each.sample(300, SIZE, np.random.default_rng(2), score) for each in (after, before)))
    after.change("lambda", "schedule")
    after.advance(300)
    assert after.vlm_weight == pytest.approx(0.3)


def test_lambda_beta_and_the_base_follow_their_schedules_until_lambda_is_held() -> None:
    base = replay_method("per").make(make_config(replay="per", total_steps=1000, per_beta=0.5), CAPACITY)
    sampler = MixtureSampler(CAPACITY, base, lambda step: step / 1000, beta=lambda step: step / 2000)
    assert (sampler.vlm_weight, sampler.beta, base.beta) == (0.0, 0.0, 0.5)
    sampler.advance(500)
    assert (sampler.vlm_weight, sampler.beta, base.beta) == pytest.approx((0.5, 0.25, 0.75))
    for held, figure in ((0.2, 0.2), (None, 1.0)):
        sampler.change("lambda", held)
        sampler.advance(600)
        assert sampler.vlm_weight == held and sampler.figures() == {"replay/vlm_weight": figure, "replay/vlm_share": 0.0}
    assert (sampler.beta, base.beta) == pytest.approx((0.3, 0.8))
