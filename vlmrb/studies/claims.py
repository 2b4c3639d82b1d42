"""Claims against results: yes, no or undecided, from bootstrap intervals of differences between arms. Pure.

A claim that an arm is better than several others is a claim about each of them: it is a yes only if every difference's interval
lies on the claimed side, and a no as soon as one lies wholly on the other side. Arms that branched off from the same runs are
paired by seed; others are resampled independently. Statistics of several claims are not corrected for their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlmrb.analysis.comparison import ENOUGH_SEEDS
from vlmrb.analysis.stats import Interval, bootstrap_interval, mean
from vlmrb.studies.design import Claim, Study
from vlmrb.studies.measures import Line, Measured, measure, parse_measure

RESAMPLES = 10_000

Outcome = Literal["yes", "no", "undecided"]


@dataclass(frozen=True, slots=True)
class Contrast:
    """An arm compared with another, or with a value that the claim names (`than` is '').

    Attributes:
        advantage: by how much the arm is better than claimed, on the measure's scale; positive is in the claim's favour.
        seeds: number of seeds on the side that has fewer.
        paired: whether seeds are paired.
    """

    than: str
    advantage: Interval
    seeds: int
    paired: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the results say about one claim on one task.

    Attributes:
        contrasts: with each arm that it is compared with, hardest first; empty without results.
        reason: why it is undecided; '' for a yes or a no.
    """

    claim: Claim
    task: str
    outcome: Outcome
    contrasts: tuple[Contrast, ...]
    reason: str


def judge_claims(study: Study, lines: Sequence[Line]) -> list[Verdict]:
    """A verdict on each claim for each task that it is about."""
    found = []
    for claim in study.design.claim:
        for task in [claim.task] if claim.task is not None else study.tasks:
            found.append(_judge(claim, task, [line for line in lines if line.task == task and line.arm in study.design.arms]))
    return found


def _judge(claim: Claim, task: str, lines: Sequence[Line]) -> Verdict:
    involved = [line for line in lines if line.arm in (claim.better, *claim.than)]
    measured = measure(parse_measure(claim.measure), involved)
    paired = bool(involved) and all(line.branched for line in involved)
    missing = [arm for arm in (claim.better, *claim.than) if not measured.values.get(arm)]
    if missing:
        return Verdict(claim, task, "undecided", (), f"no results of {', '.join(missing)} yet")
    contrasts = sorted(
        (_contrast(claim, than, measured, paired) for than in claim.than or [""]), key=lambda each: each.advantage.point
    )
    seeds = min(each.seeds for each in contrasts)
    if seeds < ENOUGH_SEEDS:
        return Verdict(claim, task, "undecided", tuple(contrasts), f"{seeds} seeds decide nothing; {ENOUGH_SEEDS} are needed")
    lows = [each.advantage.low for each in contrasts]
    highs = [each.advantage.high for each in contrasts]
    if all(low is not None and low > 0 for low in lows):
        return Verdict(claim, task, "yes", tuple(contrasts), "")
    if any(high is not None and high < 0 for high in highs):
        return Verdict(claim, task, "no", tuple(contrasts), "")
    return Verdict(claim, task, "undecided", tuple(contrasts), "the interval holds 0")


def _contrast(claim: Claim, than: str, measured: Measured, paired: bool) -> Contrast:
    """The advantage of the claim's arm over another, or over the value to reach."""
    sign = -1.0 if claim.lower_is_better else 1.0
    mine = measured.values[claim.better]
    if not than:
        assert claim.at_least is not None
        values = [sign * (value - claim.at_least) for value in mine.values()]
        return Contrast("", _interval([values], claim.alpha), len(mine), False)
    theirs = measured.values[than]
    share = 1.0 + sign * claim.by  # of the other's value that the claim says is surpassed
    if paired:
        seeds = sorted(mine.keys() & theirs.keys())
        if seeds:
            values = [sign * (mine[seed] - share * theirs[seed]) for seed in seeds]
            return Contrast(than, _interval([values], claim.alpha), len(seeds), True)
    a = np.array([sign * mine[seed] for seed in sorted(mine)])
    b = np.array([sign * share * theirs[seed] for seed in sorted(theirs)])
    return Contrast(than, _independent(a, b, claim.alpha), min(len(a), len(b)), False)


def _interval(groups: list[list[float]], alpha: float) -> Interval:
    rng = np.random.default_rng(0)
    return bootstrap_interval(groups, rng=rng, statistic=mean, resamples=RESAMPLES, confidence=1 - alpha)


def _independent(a: NDArray[np.float64], b: NDArray[np.float64], alpha: float) -> Interval:
    """Difference of means of two independent groups."""
    point = float(a.mean() - b.mean())
    if max(len(a), len(b)) < 2:
        return Interval(len(a) + len(b), point, None, None)
    rng = np.random.default_rng(0)
    draws = [group[rng.integers(0, len(group), size=(RESAMPLES, len(group)))].mean(axis=1) for group in (a, b)]
    low, high = np.quantile(draws[0] - draws[1], [alpha / 2, 1 - alpha / 2])
    return Interval(len(a) + len(b), point, float(low), float(high))
