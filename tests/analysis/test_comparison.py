"""Grouping runs into methods and summarising them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmrb.analysis import stats
from vlmrb.analysis.comparison import Comparison, Improvement, MeasuredRun, Method, MethodResult, compare, method_of, verdicts
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
