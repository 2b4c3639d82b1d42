"""Measures and verdicts, from lines made up for the purpose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.studies.test_design import BRANCHES, TEXT
from vlmrb.studies.claims import Verdict, judge_claims
from vlmrb.studies.design import Study, read_study
from vlmrb.studies.measures import Line, measure, parse_measure
from vlmrb.studies.picture import curves_svg
from vlmrb.studies.report import report_text


def line(arm: str, seed: int, values: Sequence[float], *, start: int = 0, branched: bool = False, fifth: int | None = 50) -> Line:
    """A run evaluated every 100 steps after its start."""
    steps = start + 100 * np.arange(1, len(values) + 1)
    return Line(arm, "", seed, steps, np.array(values, float), start, branched, {"fifth_success": fifth})


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
    assert found.values == {"per": {0: pytest.approx(value)}}


def test_consolidation_counts_from_the_fifth_success_and_of_a_branch_from_its_start() -> None:
    what = parse_measure("consolidation_to_50")
    assert measure(what, [line("per", 0, [0.0, 0.6], fifth=70)]).values == {"per": {0: 130.0}}
    assert measure(what, [line("per", 0, [0.0, 0.6], start=1_000, branched=True)]).values == {"per": {0: 200.0}}
    assert measure(what, [line("per", 0, [0.6, 0.6], fifth=150)]).values == {"per": {0: 0.0}}  # evaluated success came first


def test_a_run_without_a_fifth_success_has_no_consolidation() -> None:
    found = measure(parse_measure("consolidation_to_50"), [line("per", 3, [0.0, 0.0], fifth=None)])
    assert (found.values, found.left_out) == ({"per": {}}, {"per": [3]})


def test_runs_that_never_get_there_restrict_everybodys_steps_to_what_they_were_watched_for() -> None:
    lines = [line("per", 0, [0.0, 0.0, 0.0, 0.0, 0.9]), line("per", 1, [0.0, 0.0, 0.0]), line("uniform", 0, [0.9, 0.9, 0.9])]
    found = measure(parse_measure("steps_to_50"), lines)
    assert found.horizon == 300
    assert found.values == {"per": {0: 300.0, 1: 300.0}, "uniform": {0: 100.0}}
    assert found.censored == {"per": 1, "uniform": 0}


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


def test_the_picture_has_a_line_for_every_arm_that_has_runs() -> None:
    study = study_of(TEXT.replace("PER or not", "a < b"))
    svg = curves_svg(study, noisy("per", 0.7))
    assert svg.count("<polyline") == 1
    assert "uniform (n = 0)" in svg and "a &lt; b" in svg
