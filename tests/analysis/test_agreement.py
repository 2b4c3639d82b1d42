"""Agreement of labels with the truth and with other labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmrb.analysis import agreement

labels = st.one_of(st.none(), st.booleans())
probabilities = st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.99, 1.0]))


def test_confusion_counts_the_four_cells_and_unknown_answers_separately() -> None:
    counted = agreement.confusion([True, True, False, False, None, True], [True, False, False, True, True, True])
    assert counted == agreement.Confusion(2, 1, 1, 1, unknown=1)
    assert counted.n == 5
    assert counted.precision == pytest.approx(2 / 3)
    assert counted.recall == pytest.approx(2 / 3)
    assert counted.accuracy == pytest.approx(3 / 5)
    assert counted.positive_rate == pytest.approx(3 / 5)


def test_ratios_with_a_zero_denominator_are_none() -> None:
    counted = agreement.confusion([None, None], [True, False])
    assert (counted.n, counted.precision, counted.recall, counted.accuracy, counted.positive_rate) == (0, None, None, None, None)
    assert agreement.confusion([False], [False]).precision is None


@given(st.lists(st.tuples(labels, st.booleans())))
def test_confusion_counts_every_item_once(pairs: list[tuple[bool | None, bool]]) -> None:
    counted = agreement.confusion([label for label, _ in pairs], [truth for _, truth in pairs])
    assert counted.n + counted.unknown == len(pairs)


def test_auc_with_a_tie_matches_a_value_computed_by_hand() -> None:
    # positives 0.8, 0.4; negatives 0.4, 0.1: 0.8 beats both, 0.4 ties one and beats one → 3.5 of 4
    assert agreement.auc([0.8, 0.4, 0.4, 0.1], [True, True, False, False]) == pytest.approx(3.5 / 4)


def test_auc_of_a_perfect_an_inverted_and_a_constant_scorer_is_1_0_and_one_half() -> None:
    truth = [False, True, False, True]
    assert agreement.auc([0.1, 0.9, 0.2, 0.7], truth) == 1.0
    assert agreement.auc([0.9, 0.1, 0.7, 0.2], truth) == 0.0
    assert agreement.auc([0.5] * 4, truth) == 0.5


@given(st.lists(st.tuples(probabilities, st.booleans()), max_size=30))
def test_the_reliability_curve_has_every_known_answer_once_and_gives_the_calibration_error(
    pairs: list[tuple[float | None, bool]],
) -> None:
    answers, truth = [p for p, _ in pairs], [truth for _, truth in pairs]
    bins = agreement.reliability(answers, truth)
    known = [pair for pair in pairs if pair[0] is not None]
    assert sum(each.items for each in bins) == len(known)
    assert sum(each.observed * each.items for each in bins) == pytest.approx(sum(truth for _, truth in known))
    assert all(0 <= each.observed <= 1 for each in bins)
    assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)
    error = agreement.expected_calibration_error(answers, truth)
    gaps = sum(each.items * abs(each.predicted - each.observed) for each in bins)
    assert error == (pytest.approx(gaps / len(known)) if known else None)


def test_auc_needs_both_classes() -> None:
    assert agreement.auc([0.5, 0.6], [True, True]) is None
    assert agreement.auc([None, 0.6], [True, False]) is None


@given(st.lists(st.tuples(probabilities, st.booleans()), max_size=30))
def test_auc_equals_the_fraction_of_pairs_won(pairs: list[tuple[float | None, bool]]) -> None:
    positives = [p for p, truth in pairs if truth and p is not None]
    negatives = [p for p, truth in pairs if not truth and p is not None]
    found = agreement.auc([p for p, _ in pairs], [truth for _, truth in pairs])
    if not positives or not negatives:
        assert found is None
    else:
        won = [(p > q) + 0.5 * (p == q) for p in positives for q in negatives]
        assert found == pytest.approx(np.mean(won))


def test_calibration_error_matches_a_value_computed_by_hand() -> None:
    # bin [0, 0.1): 0.05 twice, one is positive → gap 0.45; bin [0.9, 1]: 1.0 twice, both positive → 0
    assert agreement.expected_calibration_error([0.05, 0.05, 1.0, 1.0], [True, False, True, True]) == pytest.approx(0.225)


def test_calibration_error_ignores_unknown_answers_and_is_none_without_known_ones() -> None:
    assert agreement.expected_calibration_error([None, 1.0], [False, True]) == 0.0
    assert agreement.expected_calibration_error([None], [True]) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_calibration_error_is_between_0_and_1(pairs: list[tuple[float, bool]]) -> None:
    error = agreement.expected_calibration_error([p for p, _ in pairs], [truth for _, truth in pairs])
    assert 0.0 <= error <= 1.0 + 1e-12


def test_flips_are_counted_by_direction() -> None:
    before = [True, True, False, False, None, True]
    after = [True, False, True, False, True, None]
    counted = agreement.flips(before, after)
    assert counted == agreement.Flips(to_yes=1, to_no=1, stayed_yes=1, stayed_no=1, unknown=2)
    assert (counted.n, counted.flipped, counted.kappa) == (4, 2, 0.0)


def test_kappa_matches_a_value_computed_by_hand() -> None:
    counted = agreement.Flips(to_yes=5, to_no=10, stayed_yes=20, stayed_no=15, unknown=0)
    assert counted.kappa == pytest.approx(0.4)  # observed 0.7, expected by chance 0.5


def test_kappa_is_none_without_items_or_with_one_constant_answer() -> None:
    assert agreement.flips([], []).kappa is None
    assert agreement.flips([True, True], [True, True]).kappa is None


@given(st.lists(labels))
def test_a_labelling_compared_with_itself_has_no_flips(answers: list[bool | None]) -> None:
    counted = agreement.flips(answers, answers)
    assert counted.flipped == 0
    assert counted.kappa in (None, 1.0)


@pytest.mark.parametrize("function", [agreement.confusion, agreement.flips, agreement.auc])
def test_different_lengths_are_rejected(function) -> None:
    with pytest.raises(ValueError):
        function([True], [True, False])


@given(st.lists(st.tuples(probabilities, st.booleans()), max_size=30))
def test_a_threshold_curve_matches_the_confusion_at_each_threshold(answers: list[tuple[float | None, bool]]) -> None:
    given_probabilities, truth = [p for p, _ in answers], [positive for _, positive in answers]
    curve = agreement.threshold_curve(given_probabilities, truth)
    assert (curve.thresholds[0], curve.thresholds[-1], len(curve.thresholds)) == (0, 1, 101)
    for at, threshold in enumerate(curve.thresholds):
        counted = agreement.confusion([None if p is None else p >= threshold for p in given_probabilities], truth)
        expected = [counted.precision, counted.recall, counted.positive_rate]
        found = [curve.precision[at], curve.recall[at], curve.positive_rate[at]]
        np.testing.assert_allclose(found, [np.nan if value is None else value for value in expected])


def test_a_probability_equal_to_the_threshold_counts_as_yes() -> None:
    curve = agreement.threshold_curve([0.35], [True], thresholds=[0.34, 0.35, 0.36])
    np.testing.assert_array_equal(curve.positive_rate, [1, 1, 0])
    assert agreement.threshold_curve([0.35], [True]).positive_rate[35] == 1


def test_a_histogram_counts_every_known_answer_once_split_by_the_truth() -> None:
    histogram = agreement.probability_histogram(
        [0.0, 0.09, 0.1, 0.95, 1.0, None], [True, False, True, False, True, True], bins=10
    )
    np.testing.assert_array_equal(histogram.edges, np.arange(11) / 10)
    np.testing.assert_array_equal(histogram.positives, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(histogram.negatives, [1, 0, 0, 0, 0, 0, 0, 0, 0, 1])


def test_judge_combines_all_measures() -> None:
    found = agreement.judge([True, False, None], [0.9, 0.2, None], [True, False, True])
    assert found.truth_rate == pytest.approx(2 / 3)
    assert (found.confusion.precision, found.confusion.unknown, found.auc) == (1, 1, 1)
    assert found.calibration_error == pytest.approx(0.15)
