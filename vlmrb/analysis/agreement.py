"""How well a scorer's answers agree with the truth, or with earlier answers. Pure NumPy.

An answer may be None, 'unknown': it is counted apart and never as a no. Ratios without a denominator are None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Confusion:
    """Labels against the truth. Unknown answers are in none of the four cells."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    unknown: int

    @property
    def n(self) -> int:
        """Answers that are known."""
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives

    @property
    def precision(self) -> float | None:
        """Share of the yes labels that are right."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the truly positive (among known answers) that were labelled yes."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def accuracy(self) -> float | None:
        """Share of the known answers that are right."""
        return _ratio(self.true_positives + self.true_negatives, self.n)

    @property
    def positive_rate(self) -> float | None:
        """Share of the known answers that are yes."""
        return _ratio(self.true_positives + self.false_positives, self.n)


@dataclass(frozen=True, slots=True)
class Flips:
    """Two labellings of the same items, one after the other. `unknown` items lack an answer on either side."""

    to_yes: int
    to_no: int
    stayed_yes: int
    stayed_no: int
    unknown: int

    @property
    def n(self) -> int:
        """Items known on both sides."""
        return self.to_yes + self.to_no + self.stayed_yes + self.stayed_no

    @property
    def flipped(self) -> int:
        """Items whose label changed."""
        return self.to_yes + self.to_no

    @property
    def kappa(self) -> float | None:
        """Cohen's κ: agreement beyond chance, 1 is perfect, 0 is chance; None where both sides are constant and equal."""
        if not self.n:
            return None
        before, after = self.to_no + self.stayed_yes, self.to_yes + self.stayed_yes
        observed = (self.stayed_yes + self.stayed_no) / self.n
        expected = (before * after + (self.n - before) * (self.n - after)) / self.n**2
        return _ratio(observed - expected, 1 - expected)


@dataclass(frozen=True, slots=True)
class Agreement:
    """A scorer's answers against the truth, in all the ways that this module knows.

    Attributes:
        truth_rate: share of the items that are truly positive; None without items.
        confusion: labels against the truth.
        auc: of P(yes); 0.5 is chance.
        calibration_error: of P(yes), in [0, 1].
    """

    truth_rate: float | None
    confusion: Confusion
    auc: float | None
    calibration_error: float | None


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdCurve:
    """What labels would be worth at each threshold; NaN where a ratio has no denominator. All float64 [N]."""

    thresholds: NDArray[np.float64]  # ascending, in [0, 1]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    positive_rate: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityHistogram:
    """How often each stretch of P(yes) was given, by the truth. The last stretch includes 1."""

    edges: NDArray[np.float64]  # [bins + 1], from 0 to 1
    positives: NDArray[np.int64]  # [bins], items that are truly positive
    negatives: NDArray[np.int64]  # [bins]


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

    Unknown answers are left out. None where no positive or no negative remains.

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
    """Mean distance between stated probability and observed frequency over equal-width bins of [0, 1], weighted by their size.

    Unknown answers are left out. None where nothing remains.

    Raises:
        ValueError: the lengths differ.
    """
    scores, positive = _known(probabilities, truth)
    if not scores.size:
        return None
    bin_of = np.minimum((scores * bins).astype(np.int64), bins - 1)
    gap = np.bincount(bin_of, weights=scores - positive, minlength=bins)  # Σ confidence − Σ outcome, per bin
    return float(np.abs(gap).sum() / scores.size)


def threshold_curve(
    probabilities: Sequence[float | None], truth: Sequence[bool], thresholds: Sequence[float] | None = None
) -> ThresholdCurve:
    """Precision, recall and share of yes labels, for labels that are yes where P(yes) ≥ the threshold.

    Args:
        probabilities: P(yes); unknown answers are left out.
        truth: of the same items.
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
    """Count P(yes) in equally wide stretches of [0, 1], by the truth. Unknown answers are left out.

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
