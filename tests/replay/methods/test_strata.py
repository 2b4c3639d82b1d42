"""The mixture with several labels per clip, a bound on how often one item is drawn, and what λ may depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replay.draws import SIZE, add, fits, stated, td
from vlmrb.replay import Sampler
from vlmrb.replay.methods.per import PrioritizedSampler
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MAX_STRATA, RECOUNT_EVERY, MixtureSampler
from vlmrb.schedules import linear

CAPACITY = 64
ALL = np.arange(SIZE)
LABELS = {(1.0, 0.0, 0.0): [3, 4, 5, 30], (1.0, 1.0, 0.0): [10, 11], (0.0, 0.0, 0.0): [20, 21], (0.0, 0.25, 0.0): [8]}
"""Slots by the priorities that their labels give; nothing has mass in the third stratum."""


def mixture(weight=0.6, base: Sampler | None = None, **options) -> MixtureSampler:
    sampler = MixtureSampler(CAPACITY, base or UniformSampler(), weight, **options)
    add(sampler, ALL)
    for priorities, slots in LABELS.items():
        sampler.label(np.array(slots), np.array(priorities))
    return sampler


def masses(td_boost: bool = False) -> np.ndarray:
    """Of each stratum, float64 [3, SIZE]."""
    found = np.zeros((3, SIZE))
    for priorities, slots in LABELS.items():
        found[:, slots] = np.array(priorities)[:, None]
    return found


def draws(sampler: MixtureSampler) -> np.ndarray:
    """What it draws, after checking that it draws what it states."""
    slots, table = stated(sampler, seed=1)
    expected = sampler.chances(ALL, SIZE)
    drawn = np.unique(slots)
    np.testing.assert_allclose(table[drawn], expected[drawn], rtol=1e-12)
    fits(slots, expected)
    return expected


@pytest.mark.parametrize("weight", [0.0, 0.6, 1.0, None])
def test_strata_with_mass_share_lambda_equally(weight: float | None) -> None:
    share = 1.0 if weight is None else weight
    first, second, _ = masses()
    expected = share / 2 * (first / first.sum() + second / second.sum()) + (1 - share) / SIZE
    np.testing.assert_allclose(draws(mixture(weight)), expected, rtol=1e-12)


@pytest.mark.parametrize("weights", [(3.0, 1.0, 7.0), (0.0, 1.0), (1.0, 0.0, 0.0), (0.5,)])
def test_strata_with_mass_share_lambda_by_their_weights(weights: tuple[float, ...]) -> None:
    sampler = mixture()
    sampler.weigh(weights)
    first, second, _ = masses()
    one, two = (*weights, 0.0)[:2]  # the third stratum has no mass, and a stratum without a weight no share
    expected = 0.6 / (one + two) * (one * first / first.sum() + two * second / second.sum()) + 0.4 / SIZE
    np.testing.assert_allclose(draws(sampler), expected, rtol=1e-12)


def test_while_no_stratum_with_a_weight_has_mass_the_base_draws_everything() -> None:
    sampler = mixture(1.0)
    sampler.weigh((0.0, 0.0, 1.0))
    np.testing.assert_allclose(draws(sampler), np.full(SIZE, 1 / SIZE), rtol=1e-12)
    sampler.weigh(())
    np.testing.assert_allclose(sampler.chances(ALL, SIZE), mixture(1.0).chances(ALL, SIZE), rtol=0)


def test_a_stratum_that_loses_its_last_yes_gives_its_share_to_the_others() -> None:
    sampler = mixture(1.0)
    sampler.label(np.array([10, 11, 8]), np.array([1.0, 0.0, 0.0]))
    expected = np.isin(ALL, [3, 4, 5, 30, 10, 11, 8]) / 7
    np.testing.assert_allclose(draws(sampler), expected)
    add(sampler, np.array([3, 4, 5, 30, 10, 11, 8]))
    np.testing.assert_allclose(draws(sampler), 1 / SIZE)


def test_a_clip_with_fewer_labels_than_there_are_strata_is_a_no_in_the_others() -> None:
    sampler = mixture(1.0)
    sampler.label(np.array([10, 11]), np.ones(1))
    np.testing.assert_allclose(sampler.chances(np.array([8, 10]), SIZE), [1 / 2, 1 / 12])


def test_there_are_at_most_sixteen_strata_made_when_they_are_needed() -> None:
    sampler = MixtureSampler(CAPACITY, UniformSampler(), 1.0)
    for k in range(MAX_STRATA):
        sampler.label(np.array([k]), np.eye(MAX_STRATA)[k, : k + 1])
    np.testing.assert_allclose(draws(sampler)[:MAX_STRATA], 1 / 16)
    with pytest.raises(AssertionError):
        sampler.label(np.array([0]), np.ones(MAX_STRATA + 1))


def test_equal_shares_of_one_never_sum_to_more() -> None:
    for count in range(1, MAX_STRATA + 1):
        sampler = MixtureSampler(CAPACITY, UniformSampler(), 1.0)
        sampler.label(np.array([3]), np.ones(count))
        parts = sampler.parts(ALL, SIZE)
        assert (parts.other >= 0).all() and (parts.vlm + parts.other).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("base", ["uniform", "per"])
@pytest.mark.parametrize("weight", [0.5, 1.0, None])
@pytest.mark.parametrize("td_boost", [False, True])
@pytest.mark.parametrize("most", [0.5, 2.0, 100.0])
def test_no_item_is_drawn_through_one_label_more_than_c_times_as_often_as_by_uniform_replay(
    base: str, weight: float | None, td_boost: bool, most: float
) -> None:
    sampler = mixture(weight, PrioritizedSampler(CAPACITY) if base == "per" else None, td_boost=td_boost, enrichment=most)
    sampler.feedback(np.array([3, 4, 10, 0]), td([-0.5, 6.0, 2.0, 1.0]))
    boost = np.ones(SIZE)
    boost[[3, 4, 10, 0]] = [0.5, 6.0, 2.0, 1.0]
    expected, spent = np.zeros(SIZE), 0.0
    for stratum in masses()[:2] * (boost if td_boost else 1.0):
        share = min((1.0 if weight is None else weight) / 2, most * stratum.sum() / (SIZE * stratum.max()))
        part = share * stratum / stratum.sum()
        assert part.max() <= most / SIZE * (1 + 1e-12)
        expected, spent = expected + part, spent + share
    expected += (1 - spent) * sampler.base.chances(ALL, SIZE)
    np.testing.assert_allclose(draws(sampler), expected, rtol=1e-12)
    assert sampler.figures()["replay/vlm_share"] == pytest.approx(spent)
    counts = np.bincount(sampler.sample(200_000, SIZE, np.random.default_rng(5)).slots, minlength=SIZE) / 200_000
    from_base = (1 - spent) * sampler.base.chances(ALL, SIZE)
    assert (counts - from_base <= 2 * most / SIZE * 1.1 + 0.003).all()  # two strata overlap


def test_what_the_bound_cuts_off_one_stratum_goes_to_the_base_and_not_to_the_other() -> None:
    sampler = MixtureSampler(CAPACITY, UniformSampler(), 0.8, enrichment=2.0)
    add(sampler, ALL)
    sampler.label(np.arange(20), np.array([1.0, 0.0]))
    sampler.label(np.array([30]), np.array([0.0, 1.0]))
    parts = sampler.parts(ALL, SIZE)
    assert parts.vlm[:20].sum() == pytest.approx(0.4) and parts.vlm[30] == pytest.approx(2.0 / SIZE)
    assert parts.other.sum() == pytest.approx(1 - 0.4 - 2.0 / SIZE)
    assert parts.vlm_weight == 0.8


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_bound_holds_whatever_becomes_of_the_td_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sampler = mixture(1.0, td_boost=True, enrichment=1.5)
    for _ in range(20):
        slots = rng.integers(0, SIZE, 8)
        sampler.feedback(slots, td(rng.exponential(size=8) ** 3))
        sampler.label(rng.integers(0, SIZE, 2), (rng.random(3) < 0.5).astype(float))
        assert sampler.parts(ALL, SIZE).vlm.max() <= 3 * 1.5 / SIZE * (1 + 1e-9)


def test_a_largest_mass_that_is_gone_stops_holding_the_others_back_after_a_while() -> None:
    sampler = MixtureSampler(CAPACITY, UniformSampler(), 1.0, td_boost=True, enrichment=5.0)
    add(sampler, ALL)
    sampler.label(np.arange(10), np.ones(1))
    sampler.feedback(np.arange(10), td(np.full(10, 100.0)))
    sampler.feedback(np.arange(10), td(np.ones(10)))
    assert sampler.figures()["replay/vlm_share"] == pytest.approx(5.0 * 10 / SIZE / 100)
    for _ in range(RECOUNT_EVERY):
        sampler.sample(1, SIZE, np.random.default_rng(0))
    assert sampler.figures()["replay/vlm_share"] == 1.0


def test_importance_weights_come_from_the_bounded_strata_too() -> None:
    sampler = mixture(0.8, enrichment=3.0, beta=0.6)
    slots, _, weights = sampler.sample(300, SIZE, np.random.default_rng(1))
    raw = (SIZE * sampler.chances(slots, SIZE)) ** -0.6
    np.testing.assert_allclose(weights, raw / raw.max(), rtol=1e-6)


@pytest.mark.parametrize("td_boost", [False, True])
def test_restored_strata_draw_the_same_and_keep_their_bounds(td_boost: bool) -> None:
    def new() -> MixtureSampler:
        schedule = lambda step: linear(0.0, 0.8, 100, step)  # noqa: E731
        options = {"enrichment": 4.0, "from_success": True, "falls": True}
        return MixtureSampler(CAPACITY, UniformSampler(), schedule, td_boost, **options)

    before, after = new(), new()
    add(before, ALL)
    for priorities, slots in LABELS.items():
        before.label(np.array(slots), np.array(priorities))
    before.feedback(np.array([3, 4]), td([50.0, 2.0]))
    before.feedback(np.array([3]), td([1.0]))
    before.succeeded(40)
    after.load_state_dict({k: v[:SIZE] if isinstance(v, np.ndarray) else v for k, v in before.state_dict().items()})
    for sampler in (before, after):
        sampler.advance(110)
        add(sampler, np.array([4, 5]))
    assert after.figures() == before.figures() and after.figures()["replay/vlm_weight"] > 0
    for _ in range(3):
        ours, theirs = (each.sample(300, SIZE, np.random.default_rng(2)) for each in (after, before))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_state_from_before_there_were_strata_is_one_stratum_of_labelled_items() -> None:
    priorities = np.zeros(SIZE)
    priorities[[3, 4]] = 1.0
    sampler = MixtureSampler(CAPACITY, UniformSampler(), 0.5)
    sampler.load_state_dict({"vlm_priorities": priorities, "max_td_error": 1.0, "lambda_override": "schedule"})
    np.testing.assert_allclose(draws(sampler), 0.5 * (priorities / 2 + 1 / SIZE))
    assert sampler.figures() == {
        "replay/vlm_weight": 0.5,
        "replay/vlm_share": 0.5,
        "replay/yes_share": 2 / SIZE,
        "replay/held_yes": 2 / SIZE,
    }


# -- λ


def test_lambda_can_wait_for_the_first_success_and_later_ones_change_nothing() -> None:
    sampler = MixtureSampler(CAPACITY, UniformSampler(), lambda step: linear(0.0, 0.5, 100, step), from_success=True)
    sampler.advance(300)
    assert sampler.vlm_weight == 0.0
    sampler.succeeded(310)
    sampler.succeeded(350)
    for step, weight in ((310, 0.0), (360, 0.25), (410, 0.5), (900, 0.5)):
        sampler.advance(step)
        assert sampler.vlm_weight == pytest.approx(weight)
    sampler.change("lambda", 0.9)
    sampler.advance(901)
    assert sampler.vlm_weight == 0.9


def test_without_a_warmup_lambda_is_there_at_once_after_the_first_success_and_not_before() -> None:
    sampler = MixtureSampler(CAPACITY, UniformSampler(), lambda step: linear(0.0, 0.5, 0, step), from_success=True)
    assert sampler.vlm_weight == 0.0
    sampler.succeeded(8)
    sampler.advance(8)
    assert sampler.vlm_weight == 0.5


def test_lambda_falls_as_the_share_of_yes_among_labelled_items_nears_one_unless_it_is_held() -> None:
    sampler = MixtureSampler(CAPACITY, UniformSampler(), 0.5, falls=True)
    add(sampler, ALL)

    def weight() -> float | None:
        sampler.advance(1)
        return sampler.vlm_weight

    assert weight() == 0.5 and "replay/yes_share" not in sampler.figures()
    sampler.label(np.arange(10), np.zeros(2))
    sampler.label(np.arange(10, 20), np.array([0.0, 1.0]))
    assert sampler.figures()["replay/yes_share"] == 0.5 and weight() == 0.5
    sampler.label(np.arange(20, 40), np.array([1.0, 0.0]))
    assert weight() == pytest.approx(0.5 * 2 * (1 - 0.75))
    add(sampler, np.arange(10))  # the items that were no are overwritten
    assert weight() == 0.0
    sampler.label(np.arange(5), np.array([0.5, 0.25]))  # a credit is no yes
    assert sampler.figures()["replay/yes_share"] == pytest.approx(30 / 35)
    sampler.change("lambda", 0.7)
    assert weight() == 0.7
