"""Measures and verdicts, from lines made up for the purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.test_comparison import run
from tests.studies.test_design import BRANCHES, TEXT
from vlmrb.analysis import stats
from vlmrb.analysis.comparison import MeasuredRun, compare
from vlmrb.analysis.curves import curve_record
from vlmrb.analysis.phases import phases_of
from vlmrb.studies.claims import Verdict, judge_claims
from vlmrb.studies.design import Study, read_study
from vlmrb.studies.files import as_line
from vlmrb.studies.measures import Line, Measured, measure, parse_measure
from vlmrb.studies.picture import curves_svg
from vlmrb.studies.report import report_text


def line(arm: str, seed: int, values: Sequence[float], *, start: int = 0, branched: bool = False, fifth: int | None = 50) -> Line:
    """A run evaluated every 100 steps after its start."""
    steps = start + 100 * np.arange(1, len(values) + 1)
    return Line(arm, "", seed, steps, np.array(values, float), start, branched, {"fifth_success": fifth})


def numbers(found: Measured) -> dict[str, dict[int, float | None]]:
    return {arm: {seed: value.value for seed, value in of_arm.items()} for arm, of_arm in found.values.items()}


def study_of(text: str = TEXT, seeds: int = 8, **claim: object) -> Study:
    for old, new in {"seeds": ('seeds = "3-5"', f'seeds = "0-{seeds - 1}"')}.values():
        text = text.replace(old, new)
    for name, value in claim.items():
        text = text.replace("[claim]", f"[claim]\n{name} = {value}")
    return read_study(text, "study")


def verdict(study: Study, lines: Sequence[Line]) -> Verdict:
    (found,) = judge_claims(study, lines)
    return found


def noisy(arm: str, level: float, seeds: int = 8) -> list[Line]:
    """Flat curves a little above and below a level."""
    return [line(arm, seed, [level + (0.04 if seed % 2 else -0.04)] * 4) for seed in range(seeds)]


# -- measures


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("final", 0.9),
        ("success_at:250", 0.4),
        ("area", (0.2 + 0.4) / 6 + (0.4 + 0.6) / 6 + (0.6 + 0.9) / 6),
        ("steps_to_50", 300),
    ],
)
def test_a_measure_is_one_number_of_a_curve(text: str, value: float) -> None:
    found = measure(parse_measure(text), [line("per", 0, [0.2, 0.4, 0.6, 0.9])])
    assert numbers(found) == {"per": {0: pytest.approx(value)}}


def test_consolidation_counts_from_the_fifth_success_and_of_a_branch_from_its_start() -> None:
    what = parse_measure("consolidation_to_50")
    assert numbers(measure(what, [line("per", 0, [0.0, 0.6], fifth=70)])) == {"per": {0: 130.0}}
    assert numbers(measure(what, [line("per", 0, [0.0, 0.6], start=1_000, branched=True)])) == {"per": {0: 200.0}}
    assert numbers(measure(what, [line("per", 0, [0.6, 0.6], fifth=150)])) == {"per": {0: 0.0}}  # evaluated success came first


def test_a_run_without_a_fifth_success_has_no_consolidation() -> None:
    found = measure(parse_measure("consolidation_to_50"), [line("per", 3, [0.0, 0.0], fifth=None)])
    assert (found.values, found.summary("per")) == ({"per": {}}, None)


def test_runs_that_never_get_there_are_censored_where_they_were_last_evaluated() -> None:
    lines = [line("per", 0, [0.0, 0.0, 0.0, 0.0, 0.9]), line("per", 1, [0.0, 0.0, 0.0]), line("uniform", 0, [0.9, 0.9, 0.9])]
    found = measure(parse_measure("steps_to_50"), lines)
    assert numbers(found) == {"per": {0: 500.0, 1: None}, "uniform": {0: 100.0}}
    assert found.horizon == 300
    mean = found.summary("per")
    assert isinstance(mean, stats.RestrictedMean) and (mean.point, mean.n, mean.censored) == (300.0, 2, 1)


def test_studies_and_compare_say_the_same_about_the_same_runs() -> None:
    rng = np.random.default_rng(5)
    runs = [
        branch_of(replay, 10 * number + seed, seed, rise=float(rng.uniform(0.02, 0.12)), length=int(rng.integers(8, 14)))
        for number, replay in enumerate(("vlm", "per"))
        for seed in range(6)
    ]
    (found,) = compare(runs, at=[], thresholds=[0.5], rng=np.random.default_rng(0), statistic=stats.mean).improvements
    lines = [as_line(curve_record(run, "eval/success_rate", "") | {"task": "", "arm": run.run.replay}) for run in runs]
    areas, steps = (measure(parse_measure(text), lines) for text in ("area", "consolidation_to_50"))
    arms = (found.method.replay, found.baseline.replay)
    assert found.pairs == 6 and found.consolidation is not None
    area, time = (each.difference(*arms) for each in (areas, steps))
    assert area is not None and area.interval == found.area and area.paired
    assert time is not None and time.interval == found.consolidation.difference and time.seeds == 6
    assert any(value is None for of_arm in numbers(steps).values() for value in of_arm.values()), "none is censored"


def branch_of(replay: str, run_id: int, seed: int, *, rise: float, length: int) -> MeasuredRun:
    """A branch of run `100 + seed` at step 1,000, evaluated every 100 steps."""
    steps = 1_000 + 100 * np.arange(1, length + 1)
    values = np.minimum(rise * np.arange(1, length + 1), 1.0)
    lineage = {"parent_id": 100 + seed, "parent_step": 1_000, "parent_moment": "fifth-success"}
    branched = replace(run(run_id, replay=replay, seed=seed, total_steps=3_000), **lineage)
    return MeasuredRun(branched, steps, values, phases=phases_of(None, None, steps, values, parent_step=1_000))


# -- verdicts


def test_a_clear_advantage_is_a_yes_and_a_clear_disadvantage_a_no() -> None:
    study = study_of()
    assert verdict(study, noisy("per", 0.7) + noisy("uniform", 0.3)).outcome == "yes"
    assert verdict(study, noisy("per", 0.3) + noisy("uniform", 0.7)).outcome == "no"
    assert verdict(study, noisy("per", 0.5) + noisy("uniform", 0.5)).outcome == "undecided"


def test_an_advantage_smaller_than_claimed_is_no_yes() -> None:
    lines = noisy("per", 0.7) + noisy("uniform", 0.6)
    assert verdict(study_of(), lines).outcome == "yes"
    assert verdict(study_of(by=0.5), lines).outcome == "no"


def test_fewer_than_five_seeds_decide_nothing() -> None:
    found = verdict(study_of(seeds=4), noisy("per", 0.9, 4) + noisy("uniform", 0.1, 4))
    assert (found.outcome, found.reason) == ("undecided", "4 seeds decide nothing; 5 are needed")


def test_an_arm_without_results_leaves_a_claim_undecided() -> None:
    assert verdict(study_of(), noisy("per", 0.9)).reason == "no results of uniform yet"


def test_a_claim_about_several_arms_must_hold_for_each() -> None:
    text = TEXT.replace('than = ["uniform"]', 'than = ["uniform", "relo"]') + '[arms.relo]\nreplay = "relo"\n'
    lines = noisy("per", 0.7) + noisy("uniform", 0.3)
    assert verdict(study_of(text), lines + noisy("relo", 0.4)).outcome == "yes"
    level = verdict(study_of(text), lines + noisy("relo", 0.7))
    assert (level.outcome, level.contrasts[0].than) == ("undecided", "relo")
    assert verdict(study_of(text), lines + noisy("relo", 0.9)).outcome == "no"


def test_branches_are_paired_so_that_their_trunks_luck_cancels() -> None:
    luck = np.random.default_rng(0).uniform(0.1, 0.8, size=8)
    lines = [
        line(arm, seed, [level + ahead] * 4, start=100 * seed + 50, branched=branched)
        for branched in (True, False)
        for arm, ahead in (("per", 0.05), ("uniform", 0.0))
        for seed, level in enumerate(luck)
    ]
    paired = verdict(study_of(BRANCHES), [each for each in lines if each.branched])
    assert (paired.outcome, paired.contrasts[0].paired) == ("yes", True)
    assert verdict(study_of(), [each for each in lines if not each.branched]).outcome == "undecided"


def test_a_share_of_another_arms_steps_is_claimed_of_its_restricted_mean() -> None:
    text = TEXT.replace("area:200", "steps_to_50")
    lines = [line("per", seed, [0.0, 0.9, 0.9, 0.9]) for seed in range(8)]
    lines += [line("uniform", seed, [0.0, 0.0, 0.0, 0.9]) for seed in range(8)]
    (found,) = verdict(study_of(text, by=0.25), lines).contrasts
    assert found.advantage.point == 0.75 * 400 - 200


def test_fewer_steps_are_better() -> None:
    text = TEXT.replace("area:200", "steps_to_50")
    slow, fast = [[0.0, 0.0, 0.0, 0.9]] * 8, [[0.9, 0.9, 0.9, 0.9], [0.0, 0.9, 0.9, 0.9]] * 4
    lines = [line("per", seed, values) for seed, values in enumerate(fast)]
    lines += [line("uniform", seed, values) for seed, values in enumerate(slow)]
    assert verdict(study_of(text), lines).outcome == "yes"


def test_a_value_to_reach_is_a_claim_too() -> None:
    text = TEXT.replace('than = ["uniform"]', "at_least = 0.5")
    assert verdict(study_of(text), noisy("per", 0.8)).outcome == "yes"
    assert verdict(study_of(text), noisy("per", 0.2)).outcome == "no"


# -- report


def test_a_report_says_what_is_missing_and_repeats_to_the_byte() -> None:
    study = study_of()
    lines = noisy("per", 0.7) + noisy("uniform", 0.3, 7)
    text = report_text(study, lines)
    assert "**Answer.** **yes**. Advantage of `per` over `uniform`" in text
    assert "| `uniform` | 7 of 8 |" in text
    assert "1 run of 16 missing: uniform, seed 7." in text
    assert (report_text(study, lines), curves_svg(study, lines)) == (text, curves_svg(study, lines))


def test_every_arm_is_compared_with_every_arm_that_a_claim_names() -> None:
    text = TEXT + '[arms.relo]\nreplay = "relo"\n'
    report = report_text(study_of(text), noisy("per", 0.7) + noisy("uniform", 0.3) + noisy("relo", 0.4, 6))
    assert "| arm − other | area under the curve to 200 | final success |" in report
    assert "| `per − uniform` | 40.0 % [36.0 %, 44.0 %] (8 seeds or more each) |" in report
    assert "| `relo − uniform` | 10.0 %" in report and "(6 seeds or more each)" in report
    assert "− per`" not in report and "− relo`" not in report
    branches = [
        line(arm, seed, [level] * 4, start=50, branched=True)
        for arm, level in (("per", 0.5), ("uniform", 0.4))
        for seed in range(8)
    ]
    assert "10.0 % [10.0 %, 10.0 %] (8 pairs)" in report_text(study_of(BRANCHES), branches)


def test_the_picture_has_a_line_for_every_arm_that_has_runs() -> None:
    study = study_of(TEXT.replace("PER or not", "a < b"))
    svg = curves_svg(study, noisy("per", 0.7))
    assert svg.count("<polyline") == 1
    assert "uniform (n = 0)" in svg and "a &lt; b" in svg
