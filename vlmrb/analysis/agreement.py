"""How well a scorer's answers agree with the truth, or with earlier answers. Pure NumPy.

An answer can be None, 'unknown': it is counted separately, never as a no. Ratios with a zero denominator are None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Confusion:
    """Confusion matrix of labels against the truth. Unknown answers are in none of the four cells."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    unknown: int

    @property
    def n(self) -> int:
        """Number of known answers."""
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives

    @property
    def precision(self) -> float | None:
        """Fraction of the yes labels that are correct."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Fraction of the truly positive items with a known answer that are labelled yes."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def accuracy(self) -> float | None:
        """Fraction of the known answers that are correct."""
        return _ratio(self.true_positives + self.true_negatives, self.n)

    @property
    def positive_rate(self) -> float | None:
        """Fraction of the known answers that are yes."""
        return _ratio(self.true_positives + self.false_positives, self.n)


@dataclass(frozen=True, slots=True)
class Flips:
    """Changes between two labellings of the same items. `unknown` items lack an answer in at least one of them."""

    to_yes: int
    to_no: int
    stayed_yes: int
    stayed_no: int
    unknown: int

    @property
    def n(self) -> int:
        """Number of items with a known answer in both."""
        return self.to_yes + self.to_no + self.stayed_yes + self.stayed_no

    @property
    def flipped(self) -> int:
        """Number of items whose label changed."""
        return self.to_yes + self.to_no

    @property
    def kappa(self) -> float | None:
        """Cohen's κ: 1 is perfect agreement, 0 is chance; None without items, or if both labellings are constant and equal."""
        if not self.n:
            return None
        before, after = self.to_no + self.stayed_yes, self.to_yes + self.stayed_yes
        observed = (self.stayed_yes + self.stayed_no) / self.n
        expected = (before * after + (self.n - before) * (self.n - after)) / self.n**2
        return _ratio(observed - expected, 1 - expected)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a scorer's answers agree with the truth.

    Attributes:
        truth_rate: fraction of the items that are truly positive; None without items.
        confusion: labels against the truth.
        auc: area under the ROC curve of P(yes); 0.5 is chance; None unless both classes occur.
        calibration_error: expected calibration error of P(yes), in [0, 1]; None without known answers.
    """

    truth_rate: float | None
    confusion: Confusion
    auc: float | None
    calibration_error: float | None


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdCurve:
    """Quality of the labels at each threshold; NaN where a ratio has a zero denominator. All float64 [N]."""

    thresholds: NDArray[np.float64]  # ascending, in [0, 1]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    positive_rate: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityHistogram:
    """Histogram of P(yes), split by the truth. The last bin includes 1."""

    edges: NDArray[np.float64]  # [bins + 1], from 0 to 1
    positives: NDArray[np.int64]  # [bins], truly positive items
    negatives: NDArray[np.int64]  # [bins]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The items whose P(yes) lies in one of several equal parts of [0, 1].

    Attributes:
        predicted: their mean P(yes).
        observed: fraction of them that is truly positive.
        items: how many they are, at least 1.
    """

    predicted: float
    observed: float
    items: int


def judge(labels: Sequence[bool | None], probabilities: Sequence[float | None], truth: Sequence[bool]) -> Agreement:
    """Compare answers with the truth.

    Raises:
        ValueError: the lengths differ.
    """
    return Agreement(
        truth_rate=_ratio(sum(truth), len(truth)),
        confusion=confusion(labels, truth),
        auc=auc(probabilities, truth),
        calibration_error=expected_calibration_error(probabilities, truth),
    )


def confusion(labels: Sequence[bool | None], truth: Sequence[bool]) -> Confusion:
    """Count the labels against the truth.

    Raises:
        ValueError: the lengths differ.
    """
    cells = {(True, True): 0, (True, False): 0, (False, False): 0, (False, True): 0}
    unknown = 0
    for label, positive in zip(labels, truth, strict=True):
        if label is None:
            unknown += 1
        else:
            cells[bool(label), bool(positive)] += 1
    return Confusion(cells[True, True], cells[True, False], cells[False, False], cells[False, True], unknown)


def flips(before: Sequence[bool | None], after: Sequence[bool | None]) -> Flips:
    """Compare two labellings of the same items, in the same order.

    Raises:
        ValueError: the lengths differ.
    """
    pairs = list(zip(before, after, strict=True))
    known = [(bool(a), bool(b)) for a, b in pairs if a is not None and b is not None]
    return Flips(
        to_yes=known.count((False, True)),
        to_no=known.count((True, False)),
        stayed_yes=known.count((True, True)),
        stayed_no=known.count((False, False)),
        unknown=len(pairs) - len(known),
    )


def auc(probabilities: Sequence[float | None], truth: Sequence[bool]) -> float | None:
    """Area under the ROC curve by the Mann–Whitney statistic: P(a positive scores above a negative), ties half.

    Unknown answers are ignored. None if no positive or no negative item remains.

    Raises:
        ValueError: the lengths differ.
    """
    scores, positive = _known(probabilities, truth)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # the mean rank of each group of ties, from 1
    u = float(ranks[inverse][positive].sum()) - positives * (positives + 1) / 2
    return u / (positives * negatives)


def expected_calibration_error(probabilities: Sequence[float | None], truth: Sequence[bool], *, bins: int = 10) -> float | None:
    """Mean gap between predicted probability and observed frequency over equal-width bins of [0, 1], weighted by bin size.

    Unknown answers are ignored. None if none remain.

    Raises:
        ValueError: the lengths differ.
    """
    found = reliability(probabilities, truth, bins=bins)
    return _ratio(sum(each.items * abs(each.predicted - each.observed) for each in found), sum(each.items for each in found))


def reliability(probabilities: Sequence[float | None], truth: Sequence[bool], *, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """The reliability curve: how often the answer is yes in truth, by P(yes). Bins without items are left out.

    Unknown answers are ignored. The last bin includes 1.

    Raises:
        ValueError: the lengths differ.
    """
    scores, positive = _known(probabilities, truth)
    bin_of = np.minimum((scores * bins).astype(np.int64), bins - 1)
    items = np.bincount(bin_of, minlength=bins)
    predicted, observed = (np.bincount(bin_of, weights=each, minlength=bins) for each in (scores, positive))
    return tuple(ReliabilityBin(float(predicted[at] / n), float(observed[at] / n), int(n)) for at, n in enumerate(items) if n)


def threshold_curve(
    probabilities: Sequence[float | None], truth: Sequence[bool], thresholds: Sequence[float] | None = None
) -> ThresholdCurve:
    """Precision, recall and fraction of yes labels at each threshold; a label is yes if P(yes) ≥ threshold.

    Args:
        probabilities: P(yes) of each item; unknown answers are ignored.
        truth: whether each item is truly positive.
        thresholds: ascending, in [0, 1]; None for 0, 0.01, …, 1.

    Raises:
        ValueError: the lengths differ.
    """
    at = np.arange(101) / 100 if thresholds is None else np.asarray(thresholds, np.float64)
    scores, positive = _known(probabilities, truth)
    yes = _at_least(scores, at)
    right = _at_least(scores[positive], at)
    return ThresholdCurve(at, _ratios(right, yes), _ratios(right, positive.sum()), _ratios(yes, scores.size))


def probability_histogram(
    probabilities: Sequence[float | None], truth: Sequence[bool], *, bins: int = 20
) -> ProbabilityHistogram:
    """Count P(yes) in equal-width bins of [0, 1], split by the truth. Unknown answers are ignored.

    Raises:
        ValueError: the lengths differ.
    """
    scores, positive = _known(probabilities, truth)
    edges = np.arange(bins + 1) / bins
    return ProbabilityHistogram(edges, np.histogram(scores[positive], edges)[0], np.histogram(scores[~positive], edges)[0])


def _at_least(scores: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many scores reach each threshold."""
    return (scores.size - np.searchsorted(np.sort(scores), thresholds, side="left")).astype(np.float64)


def _ratios(part: NDArray[np.float64], whole: Any) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(
        part, whole, out=np.full(part.shape, np.nan), where=np.broadcast_to(whole, part.shape) > 0
    )
    return shares


def _known(probabilities: Sequence[float | None], truth: Sequence[bool]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    pairs = [
        (probability, positive) for probability, positive in zip(probabilities, truth, strict=True) if probability is not None
    ]
    return np.array([p for p, _ in pairs], dtype=np.float64), np.array([t for _, t in pairs], dtype=bool)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
