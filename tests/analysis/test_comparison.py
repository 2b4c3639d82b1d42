"""Grouping runs into methods and summarising them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmrb.analysis import stats
from vlmrb.analysis.comparison import Comparison, Improvement, MeasuredRun, Method, MethodResult, compare, method_of
from vlmrb.analysis.phases import phases_of
from vlmrb.analysis.verdicts import verdicts
from vlmrb.config import TrainConfig, make_config
from vlmrb.types import RunSummary


def run(run_id: int, *, status: str = "finished", step: int | None = None, **settings) -> RunSummary:
    if settings.get("replay", "vlm") == "vlm":
        settings.setdefault("scorer", "oracle")
    config: TrainConfig = make_config(**({"seed": run_id} | settings))
    return RunSummary(
        run_id=run_id,
        name=f"run {run_id}",
        status=status,
        env=config.env,
        algo=config.algo,
        replay=config.replay,
        scorer=config.scorer,
        seed=config.seed,
        total_steps=config.total_steps,
        step=config.total_steps if step is None else step,
        steps_per_second=1000.0,
        created_at=0.0,
        started_at=0.0,
        ended_at=1.0,
        heartbeat_at=1.0,
        pid=1,
        error="",
        config=config.model_dump(),
    )


def measured(run_id: int, values: list[float], *, every: int = 100_000, edited: bool = False, **settings) -> MeasuredRun:
    steps = np.arange(1, len(values) + 1) * every
    settings.setdefault("total_steps", int(steps[-1]) if len(values) else every)
    return MeasuredRun(run(run_id, **settings), steps, np.array(values, dtype=np.float64), edited)


def compared(runs: list[MeasuredRun], *, at=(100_000, 200_000), thresholds=(0.5, 0.9)):
    return compare(runs, at=at, thresholds=thresholds, rng=np.random.default_rng(0), statistic=stats.mean)


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({"replay": "per"}, "per"),
        ({"replay": "uniform", "lambda_max": 1.0}, "uniform"),
        ({}, "vlm (oracle)"),
        ({"transcript": "ansi"}, "vlm (oracle)"),
        ({"transcript": "numbers", "scorer": "hf:/models/llama"}, "vlm (hf:llama, text: numbers)"),
        (
            {"transcript": "step {step}: {obs[0]:.2f} {obs[1]:.2f}", "scorer": "hf:a/b"},
            "vlm (hf:b, text: step {step}: {obs[0]:.2f…)",
        ),
        ({"lambda_max": 0.25}, "vlm (oracle, λ=0.25)"),
        ({"lambda_max": None}, "vlm (oracle, λ=none)"),
        ({"scorer": "hf:/models/plm-1b/"}, "vlm (hf:plm-1b)"),
        ({"scorer": "openai:http://127.0.0.1:8000/v1#plm"}, "vlm (openai:v1#plm)"),
        ({"scorer": "random:0.25", "visuals": "swapped"}, "vlm (random:0.25, swapped)"),
        ({"clip_length": 8, "td_boost": True}, "vlm (oracle, |δ|, L=8)"),
        ({"prompt": "manipulation"}, "vlm (oracle)"),
        ({"prompt": "manipulation", "scorer": "embedded"}, "vlm (embedded, prompt “manipulation”)"),
        ({"base": "per", "importance_weights": True}, "vlm (oracle, base per, with weights)"),
        ({"replay": "per", "importance_weights": False}, "per (no weights)"),
        ({"replay": "per", "per_alpha": 0.7}, "per"),
        ({"replay": "laber", "laber_factor": 8}, "laber (m=8)"),
        ({"algo": "sac", "td_boost": False}, "vlm (oracle, no |δ|)"),
    ],
)
def test_a_method_label_names_everything_that_affects_its_replay(settings: dict, label: str) -> None:
    assert method_of(run(1, **settings)).label == label


def test_runs_of_one_method_are_summarised_together() -> None:
    result = compared([measured(1, [0.2, 1.0]), measured(2, [0.6, 0.8])]).results[0]
    assert result.run_ids == (1, 2)
    assert result.at[100_000].point == pytest.approx(0.4)
    assert result.at[200_000].point == pytest.approx(0.9)
    assert (result.reaching[0.5].median, result.reaching[0.5].reached) == (100_000, 2)
    assert (result.reaching[0.9].median, result.reaching[0.9].reached) == (200_000, 1)
    assert result.area.point == pytest.approx((0.6 + 0.7) / 2)


def test_a_run_does_not_count_at_steps_that_it_did_not_reach() -> None:
    result = compared([measured(1, [0.2, 1.0]), measured(2, [0.6], status="stopped", step=120_000)]).results[0]
    assert (result.at[100_000].n, result.at[200_000].n, result.at[200_000].point) == (2, 1, 1.0)
    assert compared([measured(1, [0.5])], at=[900_000]).results[0].at[900_000] is None


def test_areas_extend_to_the_last_step_that_all_runs_reached() -> None:
    results = compared([measured(1, [0.0, 0.0, 1.0], replay="per"), measured(2, [0.0, 0.0])]).results
    assert [result.area.point for result in results] == [0.0, 0.0]


def test_vlm_replay_is_compared_with_both_baselines() -> None:
    runs = [measured(i, [0.1 * i], replay=replay) for i, replay in enumerate(["uniform", "per", "vlm"], start=1)]
    improvements = compared(runs).improvements
    assert [(item.method.label, item.baseline.label, item.probability.point) for item in improvements] == [
        ("vlm (oracle)", "per", 1.0),
        ("vlm (oracle)", "uniform", 1.0),
    ]


def test_vlm_replay_is_compared_with_every_baseline_with_or_without_importance_weights() -> None:
    kinds = [{"replay": "per"}, {"replay": "per", "importance_weights": False}, {"replay": "relo"}, {"replay": "vlm"}]
    improvements = compared([measured(i, [0.1 * i], **kind) for i, kind in enumerate(kinds, 1)]).improvements
    assert {(item.method.label, item.baseline.label) for item in improvements} == {
        ("vlm (oracle)", label) for label in ("per", "per (no weights)", "relo")
    }


def test_runs_of_a_method_that_is_no_longer_installed_are_compared_under_its_key() -> None:
    gone = measured(2, [0.1])
    gone = replace(gone, run=replace(gone.run, replay="gone", config=gone.run.config | {"replay": "gone"}))
    result = compared([measured(1, [0.2]), gone])
    assert [(item.method.label, item.baseline.label) for item in result.improvements] == [("vlm (oracle)", "gone")]


def test_a_setting_that_only_one_method_uses_is_no_difference_between_methods() -> None:
    runs = [measured(i, [0.1], replay="per" if i % 2 else "uniform", per_alpha=0.5 if i % 2 else 0.6) for i in range(10)]
    assert compared(runs).notes == []


def test_runs_with_another_environment_or_agent_are_separate_methods() -> None:
    runs = [measured(1, [0.1]), measured(2, [0.1], env="DoorKey-6x6"), measured(3, [0.1], algo="iqn")]
    assert len(compared(runs).results) == 3


def test_few_seeds_live_changes_and_unfinished_runs_get_notes() -> None:
    notes = " ".join(compared([measured(1, [0.1], edited=True), measured(2, [0.2], status="interrupted")]).notes)
    for words in ("only 2 seeds", "changed while running: run 1", "not finished: run 2"):
        assert words in notes


def test_five_seeds_with_equal_settings_get_no_note() -> None:
    assert compared([measured(i, [0.1 * i]) for i in range(5)]).notes == []


def test_unequal_settings_and_shared_seeds_get_notes() -> None:
    runs = [measured(i, [0.1], seed=min(i, 4), learning_rate=1e-3 if i else 3e-4) for i in range(6)]
    notes = compared(runs).notes
    assert any("differ in learning_rate" in note for note in notes)
    assert any("share a seed" in note for note in notes)


def test_a_difference_in_train_freq_is_also_said_as_replay_ratios() -> None:
    runs = [measured(i, [0.1], train_freq=16 if i else 4) for i in range(5)]
    assert any("differ in train_freq (replay ratios 8, 32)" in note for note in compared(runs).notes)
    runs = [measured(i, [0.1], replay=replay, train_freq=steps) for replay, steps in (("per", 16), ("vlm", 4)) for i in range(5)]
    assert any("also differ in train_freq (replay ratios 8, 32), not only" in note for note in compared(runs).notes)


def test_scoring_settings_are_no_difference_between_runs_without_a_scorer() -> None:
    runs = [measured(i, [0.1], replay="per", clip_length=8 + i) for i in range(5)]
    assert compared(runs).notes == []


def test_a_run_without_evaluations_is_left_out_with_a_note() -> None:
    comparison = compared([measured(1, []), measured(2, [0.5])])
    assert [result.run_ids for result in comparison.results] == [(2,)]
    assert "run 1 has no evaluation" in comparison.notes[0]


@pytest.mark.parametrize("status", ["running", "paused"])
def test_a_live_run_that_has_only_begun_does_not_shorten_what_is_compared(status: str) -> None:
    begun = measured(4, [0.0], status=status, step=130_000)
    comparison = compared([measured(1, [0.5, 1.0, 1.0]), measured(2, [0.5, 1.0, 1.0]), measured(3, [0.5, 1.0]), begun])
    assert [(result.run_ids, result.horizon) for result in comparison.results] == [((1, 2, 3), 200_000)]
    assert "run 4 has only begun (100,000 steps) and is left out" in comparison.notes


def test_live_runs_that_are_about_as_far_as_the_others_count_and_so_do_runs_that_ended_early() -> None:
    live = [measured(i, [0.5] * i, status="running") for i in (2, 3, 3)]
    assert [result.run_ids for result in compared(live).results] == [(2, 3, 3)]
    ended = [measured(1, [0.5], status="failed"), measured(2, [0.5] * 4), measured(3, [0.5] * 4)]
    assert [result.run_ids for result in compared(ended).results] == [(1, 2, 3)]


def test_methods_that_differ_in_more_than_replay_get_a_note() -> None:
    runs = [
        measured(i, [0.1], replay=replay, learning_rate=rate) for replay, rate in (("per", 1e-3), ("vlm", 3e-4)) for i in range(5)
    ]
    assert compared(runs).notes == ["MiniGrid-DoorKey-8x8-v0, dqn: the methods also differ in learning_rate, not only in replay"]
    runs = [
        measured(i, [0.1], replay=replay, per_alpha=alpha) for replay, alpha in (("per", 0.7), ("vlm", 0.6)) for i in range(5)
    ]
    assert compared(runs).notes == []


def test_an_interval_does_not_depend_on_what_else_is_requested() -> None:
    runs = [measured(i, [0.1 * i, 0.2 * i]) for i in range(5)]
    others = [measured(5 + i, [0.1 * i, 0.1 * i], replay="per") for i in range(5)]
    alone = compared(runs, at=[200_000], thresholds=[0.5]).results[0]
    among = next(result for result in compared(runs + others).results if result.method.label.startswith("vlm"))
    assert (alone.at[200_000], alone.reaching[0.5], alone.area) == (among.at[200_000], among.reaching[0.5], among.area)


# -- discovery and consolidation

SUCCESS_STEPS = np.arange(1, 11) * 10_000


def learned(run_id: int, fifth: int | None, to_50: int | None, *, last: int = 100_000, **settings) -> MeasuredRun:
    """A run evaluated every 10,000 steps, with its fifth success at `fifth`, and at 60 % success from `to_50` steps later."""
    lineage = {name: settings.pop(name) for name in ("parent_id", "parent_step", "parent_moment") if name in settings}
    start = lineage.get("parent_step", fifth)
    steps = SUCCESS_STEPS[(last >= SUCCESS_STEPS) & (lineage.get("parent_step", 0) < SUCCESS_STEPS)]
    values = np.where(steps >= start + to_50, 0.6, 0.0) if start is not None and to_50 is not None else np.zeros(len(steps))
    phases = phases_of(fifth, fifth, steps, values, parent_step=lineage.get("parent_step"))
    found = run(run_id, total_steps=100_000, **settings)
    return MeasuredRun(replace(found, **lineage), steps, values, phases=phases)


def method_runs(first_id: int, times: list[tuple[int | None, int | None]], **settings) -> list[MeasuredRun]:
    return [learned(first_id + seed, fifth, to_50, seed=seed, **settings) for seed, (fifth, to_50) in enumerate(times)]


QUICK = [(20_000, 10_000), (10_000, 20_000), (30_000, 20_000), (20_000, 10_000), (10_000, 20_000)]
SLOW = [(20_000, 60_000), (10_000, None), (30_000, 60_000), (20_000, None), (10_000, 70_000)]
NEVER = [(None, None)] * 5


def judge(runs: list[MeasuredRun]):
    comparison = compared(runs)
    (verdict,) = verdicts(comparison)
    return comparison, verdict


def test_times_are_restricted_to_what_half_of_the_runs_of_every_method_were_observed_for() -> None:
    comparison, _ = judge(method_runs(1, QUICK) + method_runs(11, SLOW, replay="per"))
    quick, slow = ({r.method.label: r.phases for r in comparison.results}[label] for label in ("vlm (oracle)", "per"))
    assert (quick["fifth_success"].point, quick["fifth_success"].censored) == (18_000, 0)
    assert (quick["to_50"].point, quick["to_50"].horizon, quick["to_50"].n) == (16_000, 80_000, 5)
    # two of the five end after 80,000 and 90,000 steps; the shorter times of observation are 70,000 and 80,000
    assert (slow["to_50"].point, slow["to_50"].censored) == (pytest.approx((60 + 60 + 70 + 80 + 80) / 5 * 1_000), 2)
    assert (slow["to_90"].point, slow["to_90"].censored) == (80_000, 5)


def test_a_method_that_consolidates_sooner_is_ahead_even_if_it_discovers_later() -> None:
    late = [(fifth + 30_000, to_50) for fifth, to_50 in QUICK]
    early = [(10_000, 40_000)] * 3 + [(10_000, 50_000)] * 2
    comparison, verdict = judge(method_runs(1, late) + method_runs(11, early, replay="per"))
    (sentence,) = verdict.sentences
    assert sentence.startswith("vlm (oracle) is ahead of per in consolidation: 16,000 versus 44,000 steps from the fifth success")
    assert "difference −28,000 [" in sentence and "5 of 5 and 5 of 5 runs had five successes; 0 and 0 never" in sentence
    assert (verdict.measure, verdict.decided) == ("consolidation", True)
    assert comparison.improvements[0].consolidation.difference.high < 0


def test_a_method_that_consolidates_later_is_behind_and_an_interval_around_zero_is_no_clear_difference() -> None:
    _, verdict = judge(method_runs(1, SLOW) + method_runs(11, QUICK, replay="per"))
    assert verdict.sentences[0].startswith("vlm (oracle) is behind per in consolidation")
    _, verdict = judge(method_runs(1, QUICK) + method_runs(11, QUICK[::-1], replay="per"))
    assert verdict.sentences[0].startswith("No clear difference between vlm (oracle) and per in consolidation")
    assert not verdict.decided


def test_without_five_runs_that_consolidate_on_both_sides_no_claim_is_made() -> None:
    _, verdict = judge(method_runs(1, QUICK) + method_runs(11, [*QUICK[:3], *NEVER[:2]], replay="per"))
    assert verdict.sentences == (
        "Not enough seeds to tell vlm (oracle) and per apart by consolidation: 5 of 5 and 3 of 5 had five successes; "
        "at least 5 each are needed.",
    )
    comparison, verdict = judge(method_runs(1, QUICK) + method_runs(11, NEVER, replay="per"))
    assert "0 of 5 had five successes" in verdict.sentences[0]
    assert comparison.improvements[0].consolidation is None
    per = comparison.results[0].phases
    assert (per["fifth_success"].censored, per["to_50"]) == (5, None)


def test_if_no_run_has_a_fifth_success_area_decides_and_the_verdict_says_so() -> None:
    ahead = [replace(each, values=each.values + 0.3) for each in method_runs(1, NEVER)]
    _, verdict = judge(ahead + method_runs(11, NEVER, replay="per"))
    (sentence,) = verdict.sentences
    assert sentence.startswith("vlm (oracle) is ahead of per: area under the curve 0.3 versus 0 (to step 100,000)")
    assert sentence.endswith("decided by area, since no run of this task had five successful training episodes.")
    assert verdict.measure == "area"


def test_for_another_metric_than_success_area_decides_and_the_verdict_says_so() -> None:
    (verdict,) = verdicts(compared(method_runs(1, QUICK) + method_runs(11, SLOW, replay="per")), "rollout/episodic_return")
    assert verdict.sentences[0].endswith("decided by area, since consolidation is measured in eval/success_rate alone.")


def test_the_better_baseline_is_named_and_every_baseline_is_judged() -> None:
    middle = [(10_000, 40_000)] * 5
    runs = method_runs(1, QUICK) + method_runs(11, SLOW, replay="per")
    runs += method_runs(21, middle, replay="per", importance_weights=False)
    _, verdict = judge(runs)
    best, *claims = verdict.sentences
    assert best.startswith("per (no weights) is the best baseline in consolidation: 40,000 steps from the fifth success")
    assert [words.partition(" in consolidation")[0] for words in claims] == [
        "vlm (oracle) is ahead of per",
        "vlm (oracle) is ahead of per (no weights)",
    ]
    assert verdict.best_baseline == "per (no weights)"
    (verdict,) = verdicts(compared(runs), "eval/episodic_return")
    assert verdict.sentences[0].startswith("per (no weights) is the best baseline by area")


# -- branches


def branches(first_id: int, times: list[int | None], parents: list[int], **settings) -> list[MeasuredRun]:
    """One branch of each parent; parent p branched at its step 10,000 · p."""
    return [
        learned(first_id + i, None, to_50, seed=0, parent_id=parent, parent_step=10_000 * parent, **settings)
        for i, (parent, to_50) in enumerate(zip(parents, times, strict=True))
    ]


FIFTH = {"parent_moment": "fifth-success"}
PARENTS = [1, 2, 3, 4, 5]
HARDNESS = [10_000, 20_000, 10_000, 30_000, 20_000]


def test_branches_of_the_same_runs_are_paired() -> None:
    slower = [each + 10_000 for each in HARDNESS]
    comparison, verdict = judge(branches(11, HARDNESS, PARENTS, **FIFTH) + branches(21, slower, PARENTS, replay="per", **FIFTH))
    (found,) = comparison.improvements
    assert (found.pairs, found.parents) == (5, 5)
    assert found.consolidation.difference == stats.Interval(5, -10_000, -10_000, -10_000)
    assert (found.probability.n, found.probability.point, found.area.n) == (5, 1.0, 5)
    (sentence,) = verdict.sentences
    assert sentence.startswith(
        "vlm (oracle) is ahead of per in consolidation: 18,000 versus 28,000 steps from the branch to 50 %"
    )
    assert "paired, 5 pairs from 5 runs" in sentence
    assert (verdict.branched, str(verdict.task)) == (
        "fifth-success",
        "MiniGrid-DoorKey-8x8-v0, dqn, branches from the fifth success",
    )


def test_only_branches_with_a_counterpart_are_paired_and_fewer_than_five_pairs_make_no_claim() -> None:
    ours = branches(11, HARDNESS, PARENTS, **FIFTH)
    theirs = branches(21, [50_000] * 5, [2, 3, 4, 5, 6], replay="per", **FIFTH)
    comparison, verdict = judge(ours + theirs)
    assert (comparison.improvements[0].pairs, verdict.decided) == (4, False)
    assert verdict.sentences == ("Not enough pairs to tell vlm (oracle) and per apart: 4; make at least 5.",)
    apart = branches(31, [40_000] * 5, [6, 6, 6, 6, 6], replay="per", **FIFTH)
    apart = [replace(each, run=replace(each.run, seed=seed)) for seed, each in enumerate(apart)]
    comparison, verdict = judge(ours + apart)
    assert (comparison.improvements[0].pairs, comparison.improvements[0].consolidation.difference.n) == (0, 10)


def test_branches_from_different_steps_of_a_run_are_no_pair() -> None:
    ours, theirs = branches(11, HARDNESS, PARENTS, **FIFTH), branches(21, HARDNESS, PARENTS, replay="per", **FIFTH)
    theirs = [replace(each, run=replace(each.run, parent_step=each.run.parent_step + 1)) for each in theirs]
    assert compared(ours + theirs).improvements[0].pairs == 0


def test_continuation_seeds_of_one_run_are_different_branches() -> None:
    runs = [learned(i, None, 10_000, seed=i, parent_id=1, parent_step=10_000, **FIFTH) for i in range(5)]
    comparison = compared(runs)
    assert (comparison.results[0].seeds, comparison.notes) == (5, [])


def test_the_area_of_a_branch_begins_at_its_parent_step() -> None:
    early, late = branches(11, [20_000, 20_000], [1, 5], **FIFTH)
    (result,) = compared([early, late]).results
    assert result.horizon == 50_000
    assert result.area.point == pytest.approx((0.6 * 3.5 / 4 + 0.6 * 3.5 / 4) / 2)


def test_steps_of_branches_count_from_the_parent_step() -> None:
    early, late = branches(11, [20_000, 20_000], [1, 5], **FIFTH)
    (result,) = compared([early, late], at=(10_000, 20_000, 90_000), thresholds=(0.5,)).results
    assert [None if found is None else (found.point, found.n) for found in result.at.values()] == [(0.0, 2), (0.6, 2), (0.6, 1)]
    assert (result.reaching[0.5].median, result.reaching[0.5].reached) == (20_000, 2)


def test_branches_that_train_equally_long_do_not_differ_in_their_last_step() -> None:
    def branch(run_id: int, start: int, end: int) -> MeasuredRun:
        found = learned(run_id, None, 20_000, seed=0, parent_id=run_id, parent_step=start, **FIFTH)
        return replace(found, run=replace(found.run, config=found.run.config | {"total_steps": end}))

    runs = [branch(1, 10_000, 110_000), branch(2, 50_000, 150_000), branch(3, 50_000, 160_000)]
    assert not [note for note in compared(runs[:2]).notes if "total_steps" in note]
    assert [note for note in compared(runs).notes if "total_steps" in note]


def test_branches_are_not_compared_with_runs_from_step_0() -> None:
    runs = branches(11, HARDNESS, PARENTS, **FIFTH) + method_runs(21, SLOW, replay="per") + method_runs(31, QUICK)
    comparison = compared(runs)
    assert [(result.method.label, result.method.branched) for result in comparison.results] == [
        ("per", ""), ("vlm (oracle)", ""), ("vlm (oracle)", "fifth-success")
    ]  # fmt: skip
    assert len(comparison.improvements) == 1
    assert [verdict.branched for verdict in verdicts(comparison)] == ["", "fifth-success"]


# -- verdicts


def judged(low: float, high: float, *, seeds: tuple[int, int] = (5, 5), metric: str = "eval/success_rate") -> tuple[str, bool]:
    """The verdict on VLM replay against PER for this interval of the probability of improvement."""
    methods = [Method("DoorKey-8x8", "dqn", label) for label in ("vlm (oracle)", "per")]
    results = [
        MethodResult(method, tuple(range(n)), n, {}, {}, stats.Interval(n, 0.5, 0.4, 0.6), 100_000)
        for method, n in zip(methods, seeds, strict=True)
    ]
    improvement = Improvement(*methods, stats.Interval(sum(seeds), 0.7, low, high))
    (verdict,) = verdicts(Comparison(results, [improvement]), metric)
    (sentence,) = verdict.sentences
    return sentence, verdict.decided


@pytest.mark.parametrize(
    ("low", "high", "start", "decided"),
    [
        (0.51, 0.9, "vlm (oracle) is ahead of per", True),
        (0.5, 0.9, "No clear difference between vlm (oracle) and per", False),
        (0.1, 0.5, "No clear difference between vlm (oracle) and per", False),
        (0.1, 0.49, "vlm (oracle) is behind per", True),
    ],
)
def test_a_verdict_is_decided_only_if_the_interval_excludes_one_half(low: float, high: float, start: str, decided: bool) -> None:
    sentence, found = judged(low, high)
    assert sentence.startswith(start)
    assert found is decided
    assert "to step 100,000" in sentence
    assert "5 and 5 seeds" in sentence


def test_a_verdict_says_ahead_only_for_metrics_where_higher_is_better() -> None:
    assert judged(0.6, 0.9, metric="train/td_loss")[0].startswith("vlm (oracle) is higher than per")
    assert judged(0.1, 0.4, metric="eval/episodic_length")[0].startswith("vlm (oracle) is lower than per")
    assert judged(0.6, 0.9, metric="rollout/episodic_return")[0].startswith("vlm (oracle) is ahead of per")


@pytest.mark.parametrize("seeds", [(4, 5), (5, 4), (1, 9)])
def test_with_fewer_than_five_seeds_on_either_side_no_claim_is_made(seeds: tuple[int, int]) -> None:
    sentence, decided = judged(0.9, 1.0, seeds=seeds)
    assert sentence.startswith("Not enough seeds")
    assert f"{seeds[0]} and {seeds[1]}" in sentence
    assert not decided


def test_without_a_pair_to_compare_the_verdict_says_what_is_missing() -> None:
    for replays, words in ((("per", "uniform"), "add VLM-RB runs"), (("vlm",), "No baseline runs")):
        (verdict,) = verdicts(compared([measured(i, [0.1], replay=replay) for i, replay in enumerate(replays)]))
        assert (words in verdict.sentences[0], verdict.decided) == (True, False)
