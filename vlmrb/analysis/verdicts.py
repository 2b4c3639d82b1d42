"""What a comparison supports, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from vlmrb.analysis import stats
from vlmrb.analysis.comparison import CONSOLIDATION, ENOUGH_SEEDS, Comparison, Contrast, Improvement, Method, MethodResult, Task
from vlmrb.types import SUCCESS

HIGHER_IS_BETTER = ("success_rate", "episodic_return")
"""Metrics, by the last part of their name, where higher is better. For others a verdict says 'higher' instead of 'ahead'."""

Measure = Literal["consolidation", "area"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the data supports about one task, in words.

    Attributes:
        env, algo: the task.
        sentences: which baseline is the best one, if methods are judged against several; then one per comparison with a
            baseline, or the reason why there is none.
        decided: whether any sentence declares a difference between two methods.
        branched: as in `Task`.
        measure: what the claims are made from.
        best_baseline: label of the best baseline by that measure; '' if fewer than two have enough seeds.
    """

    env: str
    algo: str
    sentences: tuple[str, ...]
    decided: bool
    branched: str = ""
    measure: Measure = "area"
    best_baseline: str = ""

    @property
    def task(self) -> Task:
        """The task."""
        return Task(self.env, self.algo, self.branched)


class _Judged(NamedTuple):
    """A sentence on a method and a baseline; whether there were enough runs for a claim, and whether it is a difference."""

    words: str
    enough: bool = False
    decided: bool = False


def verdicts(comparison: Comparison, metric: str = SUCCESS) -> list[Verdict]:
    """Verdicts on each task.

    Claims are made from consolidation: a method is ahead if the interval of the difference between its restricted mean
    time from the fifth success to 50 % success and the baseline's lies below 0. Where no run of a task got to a fifth
    success, and for metrics other than success, they are made from the area under the curve: from the probability of
    improvement, or from the difference within pairs. With fewer than 5 seeds, or pairs, no claim is made.
    """
    found = []
    for task in dict.fromkeys(result.method.task for result in comparison.results):
        results = {result.method: result for result in comparison.results if result.method.task == task}
        improvements = [each for each in comparison.improvements if each.method.task == task]
        consolidated = metric == SUCCESS and any(result.phases.get(CONSOLIDATION) for result in results.values())
        measure: Measure = "consolidation" if consolidated else "area"
        judged = [_by_consolidation(each, results) if consolidated else _by_area(each, results, metric) for each in improvements]
        best = _best_baseline(results, measure, metric) if any(each.enough for each in judged) else None
        sentences = [] if best is None else [_best_in_words(best, measure)]
        sentences += [each.words for each in judged] or [_why_no_comparison(results)]
        found.append(
            Verdict(
                task.env,
                task.algo,
                tuple(sentences),
                any(each.decided for each in judged),
                task.branched,
                measure,
                "" if best is None else best.method.label,
            )
        )
    return found


def _by_consolidation(found: Improvement, results: Mapping[Method, MethodResult]) -> _Judged:
    """A claim from the steps between the fifth success and 50 % success; fewer are better."""
    ours, theirs = found.method.label, found.baseline.label
    few = _too_few(found, results)
    if few:
        return _Judged(few)
    sides = results[found.method], results[found.baseline]
    contrast = found.consolidation
    seeds = (0, 0) if contrast is None else contrast.seeds
    if contrast is None or min(seeds) < ENOUGH_SEEDS or contrast.difference.low is None or contrast.difference.high is None:
        if found.pairs:
            return _Judged(f"Not enough pairs to tell {ours} and {theirs} apart by consolidation: {min(seeds)} were evaluated.")
        return _Judged(
            f"Not enough seeds to tell {ours} and {theirs} apart by consolidation: {seeds[0]} of {sides[0].seeds} and "
            f"{seeds[1]} of {sides[1].seeds} had five successes; at least {ENOUGH_SEEDS} each are needed."
        )
    start = "the branch" if found.method.branched else "the fifth success"
    x, y, gap = contrast.method, contrast.baseline, contrast.difference
    reasons = f"{x.point:,.0f} versus {y.point:,.0f} steps from {start} to 50 % success (means over {x.horizon:,.0f} steps); "
    reasons += f"difference {contrast_words(contrast)}; "
    if found.pairs:
        reasons += f"{paired_words(found)}; "
    else:
        reasons += f"{x.n} of {len(sides[0].run_ids)} and {y.n} of {len(sides[1].run_ids)} runs had five successes; "
    reasons += f"{x.censored} and {y.censored} never got to 50 % (censored)"
    if contrast.difference.low <= 0 <= contrast.difference.high:
        return _Judged(f"No clear difference between {ours} and {theirs} in consolidation: {reasons}.", True)
    place = "ahead of" if gap.point < 0 else "behind"
    return _Judged(f"{ours} is {place} {theirs} in consolidation: {reasons}.", True, True)


def _by_area(found: Improvement, results: Mapping[Method, MethodResult], metric: str) -> _Judged:
    """A claim from the areas under the curves."""
    ours, theirs = found.method.label, found.baseline.label
    few = _too_few(found, results)
    if few:
        return _Judged(few)
    result, baseline = results[found.method], results[found.baseline]
    reach = f"over {result.horizon:,} steps from the branch" if found.method.branched else f"to step {result.horizon:,}"
    reasons = f"area under the curve {result.area.point:.3g} versus {baseline.area.point:.3g} ({reach}); "
    if found.pairs:
        decisive, level = found.area, 0.0
        assert decisive is not None and decisive.low is not None and decisive.high is not None, "five pairs have an interval"
        reasons += f"difference {difference_words(decisive)}; {paired_words(found)}"
    else:
        decisive, level = found.probability, 0.5
        assert decisive.low is not None and decisive.high is not None, "five runs have an interval"
        reasons += f"a run of {ours} has the larger area with probability {decisive.point:.2f} "
        reasons += f"[{decisive.low:.2f}, {decisive.high:.2f}]; {result.seeds} and {baseline.seeds} seeds"
    reasons += "; decided by area, since " + (
        "no run of this task had five successful training episodes"
        if metric == SUCCESS
        else f"consolidation is measured in {SUCCESS} alone"
    )
    if decisive.low <= level <= decisive.high:
        return _Judged(f"No clear difference between {ours} and {theirs}: {reasons}.", True)
    above, below = ("ahead of", "behind") if _higher_is_better(metric) else ("higher than", "lower than")
    return _Judged(f"{ours} is {above if decisive.low > level else below} {theirs}: {reasons}.", True, True)


def _too_few(found: Improvement, results: Mapping[Method, MethodResult]) -> str:
    """Why there can be no claim; '' if there are enough seeds, or pairs."""
    names = f"{found.method.label} and {found.baseline.label}"
    if found.pairs:
        few = f"Not enough pairs to tell {names} apart: {found.pairs}; make at least {ENOUGH_SEEDS}."
        return few if found.pairs < ENOUGH_SEEDS else ""
    seeds = [results[each].seeds for each in (found.method, found.baseline)]
    few = f"Not enough seeds to tell {names} apart: {seeds[0]} and {seeds[1]}; run at least {ENOUGH_SEEDS} each."
    return few if min(seeds) < ENOUGH_SEEDS else ""


def restricted_words(found: stats.RestrictedMean | None) -> str:
    """'61,000 [52,000, 70,000] of 100,000 (2/8 censored)'."""
    if found is None:
        return "–"
    bounds = "" if found.low is None or found.high is None else f" [{found.low:,.0f}, {found.high:,.0f}]"
    return f"{found.point:,.0f}{bounds} of {found.horizon:,.0f} ({found.censored}/{found.n} censored)"


def contrast_words(found: Contrast | None) -> str:
    """'−27,000 [−41,000, −9,000]', in steps."""
    if found is None:
        return "–"
    gap = found.difference
    bounds = "" if gap.low is None or gap.high is None else f" [{_signed(gap.low)}, {_signed(gap.high)}]"
    return f"{_signed(gap.point)}{bounds}"


def difference_words(found: stats.Interval | None) -> str:
    """'+0.14 [+0.05, +0.2]'."""
    if found is None:
        return "–"
    bounds = "" if found.low is None or found.high is None else f" [{found.low:+.3g}, {found.high:+.3g}]"
    return f"{found.point:+.3g}{bounds}".replace("-", "−")


def runs_words(found: Improvement, results: Sequence[MethodResult]) -> str:
    """'paired, 6 pairs from 3 runs', or '5 and 4' where runs are not paired."""
    n = {result.method: len(result.run_ids) for result in results}
    return paired_words(found) or f"{n[found.method]} and {n[found.baseline]}"


def paired_words(found: Improvement) -> str:
    """'paired, 6 pairs from 3 runs', or '' if it is not paired."""
    if not found.pairs:
        return ""
    return f"paired, {found.pairs} pair{'s' * (found.pairs > 1)} from {found.parents} run{'s' * (found.parents > 1)}"


def _best_baseline(results: Mapping[Method, MethodResult], measure: Measure, metric: str) -> MethodResult | None:
    """The baseline that is hardest to beat, by its point estimate; None if fewer than two have enough seeds."""
    candidates = [result for method, result in results.items() if method.is_baseline and result.seeds >= ENOUGH_SEEDS]
    if len(candidates) < 2 or (measure == "area" and not _higher_is_better(metric)):
        return None
    if measure == "area":
        return max(candidates, key=lambda result: result.area.point)
    begun = [
        (found.point, result)
        for result in candidates
        if (found := result.phases[CONSOLIDATION]) is not None and found.n >= ENOUGH_SEEDS
    ]
    return min(begun, key=lambda each: each[0])[1] if begun else None


def _best_in_words(best: MethodResult, measure: Measure) -> str:
    found = best.phases.get(CONSOLIDATION)
    if measure == "area" or found is None:
        return f"{best.method.label} is the best baseline by area: {best.area.point:.3g}."
    start = "the branch" if best.method.branched else "the fifth success"
    return (
        f"{best.method.label} is the best baseline in consolidation: {found.point:,.0f} steps from {start} to 50 % success "
        f"(mean over {found.horizon:,.0f} steps)."
    )


def _higher_is_better(metric: str) -> bool:
    return metric.rpartition("/")[2] in HIGHER_IS_BETTER


def _signed(steps: float) -> str:
    return f"{steps:+,.0f}".replace("-", "−")


def _why_no_comparison(results: Mapping[Method, MethodResult]) -> str:
    if all(method.is_baseline for method in results):
        return "Only baselines so far; add VLM-RB runs to compare them with."
    return "No baseline runs to compare with; add runs of uniform replay or PER on this task."
