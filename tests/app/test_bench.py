"""The prompt bench in the studio: what its page shows, and contestants as runs and branches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.bench import bench_view, contestants_of, variants_of
from app.branch_form import asked_from, changes_of
from app.launch_form import check, command, filled_from
from app.pages.launch import form_of
from tests.recorded import record_run
from tests.test_bench import KEY, tried, tried_set
from vlmrb import jobs
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.jobs import Entry
from vlmrb.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose run 1 has twelve clips; trials 1 and 2 ask two questions about them."""
    with Store(str(tmp_path / "runs.db")) as store:
        record_run(store, 12, length=8)
        tried(store, [0.9, 0.1] * 6)
        tried(store, [0.9, 0.1, None] * 4, "Does the agent open a <b>door</b>?")
        yield store


def test_the_page_gets_every_contestants_answers_clip_by_clip(store: Store) -> None:
    view = bench_view(store, [2, 1])
    assert [each.trial_id for each in view.trials] == [2, 1]
    assert [clip.probabilities for clip in view.clips[:3]] == [(0.9, 0.9), (0.1, 0.1), (None, 0.9)]
    assert (view.ready, view.runs, view.trials[0].seconds, view.trials[1].truth) == (12, (1,), 0.25, "picked_up key")
    assert {"progress", "opened door"} <= set(view.truths)
    assert bench_view(store, [2, 1], seen=12).clips == [] and bench_view(store, [2, 1], seen=12).ready == 12


def test_a_contestant_without_answers_leaves_the_others_comparable(store: Store) -> None:
    waiting = tried(store, [], "Is a ball held?")
    view = bench_view(store, [1, waiting])
    assert [each.answered for each in view.trials] == [True, False]
    assert {clip.probabilities[1] for clip in view.clips} == {None}


def test_trials_of_other_clips_and_trials_that_are_gone_are_refused(store: Store) -> None:
    other = tried(store, [0.9] * 4, sample=4)
    with pytest.raises(ConfigError, match=f"trial {other} is of other clips than trial 1"):
        bench_view(store, [1, other])
    with pytest.raises(NotFoundError, match="no trial 77"):
        bench_view(store, [1, 77])


def test_a_trial_of_other_clips_is_repeated_on_those_of_the_bench(store: Store) -> None:
    other = tried(store, [0.9] * 4, "Is a ball held?", sample=4, frames=2)
    assert jobs.repeat_trial(store, 2, 1) == 2
    made = jobs.repeat_trial(store, other, 1)
    trial = store.trial(made)
    assert (trial.clip_ids, trial.scorer, trial.options["frames"]) == (store.trial(1).clip_ids, "embedded", 2)
    assert trial.prompt_id == store.trial(other).prompt_id
    jobs.end(store, "trial", made)


@pytest.mark.parametrize(
    "text", ["", "x", "1:2", "1:0.5.5", "-1", "1:nan", "0", "1.0", "1.", "1.x", "1.100", ".2", ",".join(["1"] * 13)]
)
def test_a_malformed_list_of_contestants_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="bench: got"):
        contestants_of({"bench": text})


def test_contestants_are_read_from_the_url_with_or_without_threshold_and_truth() -> None:
    assert contestants_of({"bench": "12:0.5:opened%20door,13,14:0,15::progress,16.2,16.11:0.4"}) == [
        Entry(12, 0.5), Entry(13), Entry(14, 0.0), Entry(15), Entry(16, question=2), Entry(16, 0.4, question=11),
    ]  # fmt: skip


def test_contestants_become_settings_of_runs_and_the_same_run_is_there_once(store: Store) -> None:
    vote = tried(store, [0.9] * 12, scorer="random:0.5")
    found = variants_of(store, [Entry(1), Entry(1, 0.5), Entry(1, 0.7), Entry(2), Entry(vote)])
    assert found.run_id == 1
    assert [each.settings for each in found.variants] == [
        {"scorer": "embedded", "threshold": "0.5", "prompt": KEY},
        {"scorer": "embedded", "threshold": "0.7", "prompt": KEY},
        {"scorer": "embedded", "threshold": "0.5", "prompt": "Does the agent open a <b>door</b>?"},
        {"scorer": "random:0.5", "threshold": "0.5"},  # reads no prompt
    ]
    games = tried(store, [0.9] * 12, "games")
    assert variants_of(store, [Entry(games)]).variants[0].settings["prompt"] == "games@1"


def test_a_question_of_a_set_is_a_contestant_whose_answers_are_there(store: Store) -> None:
    asked = tried_set(store, [(0.9, 0.1), (0.2, None)] * 6)
    view = bench_view(store, [1, asked])
    assert [[each.text for each in trial.questions] for trial in view.trials] == [[], [KEY, "Is a <b>door</b> opened?"]]
    assert [each.truth for each in view.trials[1].questions] == ["picked_up key", "opened door"]
    assert [clip.answers for clip in view.clips[:2]] == [((), (0.9, 0.1)), ((), (0.2, None))]
    waiting = tried_set(store, [], "- Is a ball held?\n- Is a box opened?")
    assert len(bench_view(store, [1, waiting]).trials[1].questions) == 2  # known before there are answers
    assert {clip.answers for clip in bench_view(store, [1, waiting]).clips} == {((), ())}

    found = variants_of(store, [Entry(asked, question=2), Entry(asked, 0.4, question=1), Entry(1, 0.4)])
    assert [each.settings["prompt"] for each in found.variants] == ["Is a <b>door</b> opened?", KEY]  # the third is the second
    assert found.variants[0].name == "Is a <b>door</b> opened? · embedded · yes from 0.5"
    with pytest.raises(ConfigError, match=f"got 3; trial {asked} asks 2; allowed: 1 to 2"):
        variants_of(store, [Entry(asked, question=3)])


def test_contestants_are_launched_as_a_matched_set_with_a_run_for_each(store: Store) -> None:
    made = form_of(store, {"bench": "1:0.4,2,1:0.8"})
    checked = check(replace(made.form, seeds="0-1"))
    assert checked.problems == {} and len(made.names) == 3
    told = {(config.seed, config.prompt, config.threshold) for config in checked.configs}
    assert told == {
        (seed, *own) for seed in (0, 1) for own in ((KEY, 0.4), ("Does the agent open a <b>door</b>?", 0.5), (KEY, 0.8))
    }
    alike = [config.model_dump(exclude={"seed", "prompt", "threshold", "scorer"}) for config in checked.configs]
    assert all(each == alike[0] for each in alike)
    assert {config.replay for config in checked.configs} == {"vlm"}
    assert len(command(made.form).splitlines()) == 3


def test_a_method_without_labels_runs_once_beside_the_contestants(store: Store) -> None:
    made = form_of(store, {"bench": "1,2"})
    checked = check(replace(made.form, methods=("vlm", "uniform"), seeds="0"))
    assert [config.replay for config in checked.configs] == ["vlm", "vlm", "uniform"]


def test_what_is_wrong_with_a_contestant_is_said_at_the_contestants(store: Store) -> None:
    form: dict[str, Any] = {"methods": ["vlm"], "seeds": "0", "settings": {"scorer": "oracle"}}
    wrong = check(filled_from(form | {"variants": [{"threshold": "1.5"}]}))
    assert set(wrong.problems) == {"variants"} and "1.5" in wrong.problems["variants"]
    both = check(filled_from(form | {"variants": [{"threshold": "0.5"}], "vary": "lambda_max", "values": "0.1"}))
    assert "contestants" in both.problems["vary"]
    many = check(filled_from(form | {"variants": [{"threshold": "0.5"}] * 21}))
    assert "at most 20" in many.problems["variants"]
    for bad in ("text", [1], [{}], [{"seed": "1"}], [{"threshold": 0.5}], [{"prompt": "x" * 9_000}]):
        with pytest.raises(ConfigError, match="variants"):
            filled_from(form | {"variants": bad})


def test_a_run_is_branched_with_each_contestant(store: Store) -> None:
    variants = [each.settings for each in variants_of(store, [Entry(1, 0.4), Entry(2)]).variants]
    asked = asked_from({"run": 1, "at": 100, "methods": ["vlm", "uniform"], "seeds": "0", "variants": variants})
    changes = changes_of(asked.form, store.run(1))
    assert changes == [{"replay": "vlm"} | variants[0], {"replay": "vlm"} | variants[1], {"replay": "uniform"}]
