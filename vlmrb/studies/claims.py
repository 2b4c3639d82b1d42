"""Claims against results: yes, no or undecided, from bootstrap intervals of differences between arms. Pure.

A claim that an arm is better than several others is a claim about each of them: it is a yes only if every difference's interval
lies on the claimed side, and a no as soon as one lies wholly on the other side. Arms that branched off from the same runs are
paired by seed; others are resampled independently. Intervals are not corrected for the number of claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vlmrb.analysis.comparison import ENOUGH_SEEDS
from vlmrb.analysis.stats import Interval
from vlmrb.studies.design import Claim, Study
from vlmrb.studies.measures import Line, Measured, measure, parse_measure

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
    measured = measure(parse_measure(claim.measure), lines)
    missing = [arm for arm in (claim.better, *claim.than) if not measured.values.get(arm)]
    if missing:
        return Verdict(claim, task, "undecided", (), f"no results of {', '.join(missing)} yet")
    contrasts = sorted((_contrast(claim, than, measured) for than in claim.than or [""]), key=lambda each: each.advantage.point)
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


def _contrast(claim: Claim, than: str, measured: Measured) -> Contrast:
    """The advantage of the claim's arm over another, or over the value to reach; something is known of both."""
    confidence = 1 - claim.alpha
    if than:
        share = 1 - claim.by if claim.lower_is_better else 1 + claim.by  # of the other's value that is to be surpassed
        found = measured.difference(claim.better, than, share=share, confidence=confidence)
    else:
        found = measured.excess(claim.better, claim.at_least or 0.0, confidence=confidence)
    assert found is not None
    return Contrast(than, _turned(found.interval) if claim.lower_is_better else found.interval, found.seeds, found.paired)


def _turned(interval: Interval) -> Interval:
    low, high = (None if bound is None else -bound for bound in (interval.low, interval.high))
    return Interval(interval.n, -interval.point, high, low)
