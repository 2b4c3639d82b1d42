"""The prompt bench: trials of the same clips side by side, in the engine and from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.recorded import record_run
from vlmrb.__main__ import main
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.rescoring import MAX_CONTESTANTS, Entry, bench_report, create_trial, run_trial, trial_report
from vlmrb.store import Store
from vlmrb.types import ClipScore

KEY = "Does the agent pick up a key?"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose run 1 has twelve clips."""
    with Store(str(tmp_path / "runs.db")) as store:
        record_run(store, 12, length=8)
        yield store


def tried(store: Store, probabilities: Sequence[float | None], prompt: str = KEY, **settings: object) -> int:
    """A finished trial of all clips, whose answers are these, in order; those that are missing have not been given."""
    trial_id = create_trial(store, **({"run_ids": [1], "scorer": "embedded", "prompt": prompt, "sample": 12} | settings))
    ids = store.trial(trial_id).clip_ids
    store.add_trial_scores(
        trial_id,
        [
            ClipScore(clip_id, value, None, None, 0.5, "embedded", "small", "", None, latency_s=0.25)
            for clip_id, value in zip(ids, probabilities, strict=False)
        ],
    )
    store.end_trial(trial_id, "finished")
    return trial_id


def tried_set(
    store: Store, answers: Sequence[tuple[float | None, ...]], prompt: str = f"- {KEY}\n- Is a <b>door</b> opened?"
) -> int:
    """A finished trial of a set of questions about all clips, of which any decides."""
    trial_id = create_trial(store, run_ids=[1], scorer="embedded", prompt=prompt, sample=12)
    scores = []
    for clip_id, each in zip(store.trial(trial_id).clip_ids, answers, strict=False):
        largest = max((answer for answer in each if answer is not None), default=None)
        scores.append(ClipScore(clip_id, largest, 1.0, 0.0, 0.5, "embedded", "small", "", None, latency_s=0.25, answers=each))
    store.add_trial_scores(trial_id, scores)
    store.end_trial(trial_id, "finished")
    return trial_id


def test_what_has_been_asked_about_the_same_clips_is_not_asked_again(store: Store) -> None:
    first = create_trial(store, run_ids=[1], scorer="embedded", prompt=KEY, sample=8)
    again = {"run_ids": (), "same_clips_as": first}
    assert create_trial(store, scorer="embedded", prompt=KEY, **again) == first
    assert create_trial(store, scorer="embedded", prompt=KEY, threshold=0.9, **again) == first  # P(yes) is the same
    others = [
        create_trial(store, scorer="embedded", prompt="Is a door opened?", **again),
        create_trial(store, scorer="embedded", prompt=KEY, frames=2, **again),
        create_trial(store, scorer="oracle", prompt=KEY, **again),
        create_trial(store, scorer="vote:embedded|oracle", prompt=KEY, **again),
    ]
    assert len({first, *others}) == 5
    assert {store.trial(trial_id).clip_ids for trial_id in others} == {store.trial(first).clip_ids}
    assert create_trial(store, scorer="vote:embedded|oracle", prompt=KEY, threshold=0.9, **again) not in others  # it counts votes
    with pytest.raises(NotFoundError, match="no trial 99"):
        create_trial(store, run_ids=(), scorer="oracle", prompt=KEY, same_clips_as=99)


def test_a_trial_is_worth_on_the_bench_what_it_is_worth_alone(store: Store) -> None:
    trial_id = create_trial(store, run_ids=[1], scorer="oracle", prompt=KEY, sample=8)
    run_trial(store, trial_id)
    alone = trial_report(store, trial_id).agreement
    (contestant,) = bench_report(store, [Entry(trial_id)]).contestants
    assert alone is not None and contestant.agreement == alone.events
    assert contestant.agreement.auc == 1.0
    assert contestant.seconds is not None and contestant.seconds > 0
    assert {(each.predicted, each.observed) for each in contestant.reliability} == {(0.0, 0.0), (1.0, 1.0)}


def test_a_threshold_changes_the_labels_and_not_the_answers(store: Store) -> None:
    answers = [at / 12 for at in range(12)]
    trial_id = tried(store, answers)
    low, high = bench_report(store, [Entry(trial_id, 0.0), Entry(trial_id, 1.0)]).contestants
    assert low.agreement is not None and high.agreement is not None
    assert (low.agreement.confusion.positive_rate, high.agreement.confusion.positive_rate) == (1.0, 0.0)
    assert low.agreement.auc == high.agreement.auc
    assert low.seconds == 0.25


def test_contestants_are_compared_pair_by_pair_on_their_known_answers(store: Store) -> None:
    one = tried(store, [0.9, 0.9, 0.1, 0.1] + [0.9] * 8)
    other = tried(store, [0.9, 0.1, 0.9, None] + [0.9] * 8, "Is a door opened?")
    report = bench_report(store, [Entry(one), Entry(other)])
    ids = [clip.clip_id for clip in report.clips]
    assert report.apart(0, 1) == report.apart(1, 0) == [ids[1], ids[2]]  # an unknown answer differs from none
    there, back = report.differences[0][1], report.differences[1][0]
    assert (there.flipped, there.n, there.to_yes, there.to_no) == (2, 11, 1, 1)
    assert (back.flipped, back.to_yes) == (2, 1)
    assert report.differences[0][0].flipped == 0


def test_each_contestant_is_judged_by_what_its_question_asks_about_or_by_the_chosen_truth(store: Store) -> None:
    key = tried(store, [0.9] * 12)
    control = tried(store, [0.9] * 12, scorer="reward")
    report = bench_report(store, [Entry(key), Entry(control), Entry(key, truth="progress")])
    assert [each.truth for each in report.contestants] == ["picked_up key", "progress", "progress"]
    with pytest.raises(ConfigError, match="got 'won the lottery'; allowed: progress, "):
        bench_report(store, [Entry(key, truth="won the lottery")])


def test_the_questions_of_a_set_compete_singly_by_their_own_answers_and_truths(store: Store) -> None:
    asked = tried_set(store, [(0.9, 0.1), (0.2, None)] * 6)
    report = bench_report(
        store, [Entry(asked), *(Entry(asked, question=number) for number in (1, 2)), Entry(asked, 0.05, question=2)]
    )
    assert [each.truth for each in report.contestants] == ["progress", "picked_up key", "opened door", "opened door"]
    assert [[score.label for score in own[:2]] for own in report.scores] == [
        [True, False],
        [True, False],
        [False, None],
        [True, None],
    ]
    assert [each.question for each in report.contestants] == [None, 1, 2, 2]
    assert len(report.apart(1, 2)) == 6 and report.differences[1][2].n == 6  # an unknown answer differs from none
    first, second = (each.agreement for each in report.contestants[1:3])
    assert (
        first is not None and second is not None and (first.confusion.positive_rate, second.confusion.positive_rate) == (0.5, 0.0)
    )
    single = tried(store, [0.9, 0.2] * 6)
    as_alone = bench_report(store, [Entry(single), Entry(single, question=1), Entry(asked, question=1)]).contestants
    assert len({each.agreement for each in as_alone}) == 1


def test_a_question_that_nobody_asked_is_refused(store: Store) -> None:
    asked, control = tried_set(store, [(0.9, 0.1)] * 12), tried(store, [0.9] * 12, scorer="reward")
    with pytest.raises(ConfigError, match=f"question: got 3; trial {asked} asks 2; allowed: 1 to 2"):
        bench_report(store, [Entry(asked, question=3)])
    with pytest.raises(
        ConfigError, match=f"question: trial {control} reads no prompt, so that it has no question 1; leave it out"
    ):
        bench_report(store, [Entry(control, question=1)])


def test_all_are_judged_on_the_clips_that_all_have_answered_so_far(store: Store) -> None:
    whole, half = tried(store, [0.9] * 12), tried(store, [0.9] * 5, "Is a door opened?")
    none = tried(store, [], "Is a ball held?")
    report = bench_report(store, [Entry(whole), Entry(half), Entry(none)])
    assert len(report.clips) == 5 and [len(own) for own in report.scores] == [5, 5, 0]
    assert report.contestants[2].agreement is None and report.contestants[2].seconds is None
    assert report.differences[0][2].n == 0
    assert bench_report(store, [Entry(none)]).clips == ()


def test_what_cannot_be_compared_is_refused_with_a_way_out(store: Store) -> None:
    one, other = tried(store, [0.9] * 12), tried(store, [0.9] * 4, sample=4)
    with pytest.raises(ConfigError, match=f"trial {other} is of other clips than trial {one}; .*--same-clips-as {one}"):
        bench_report(store, [Entry(one), Entry(other)])
    vote = tried(store, [0.9] * 12, scorer="vote:embedded|oracle")
    with pytest.raises(ConfigError, match=r"depend on it and were given at 0.5; try the prompt again with --threshold 0.7"):
        bench_report(store, [Entry(vote, 0.7)])
    assert len(bench_report(store, [Entry(vote, 0.5)]).clips) == 12
    with pytest.raises(ConfigError, match=r"got 1\.5; allowed: 0 to 1"):
        bench_report(store, [Entry(one, 1.5)])
    with pytest.raises(ConfigError, match=f"got {MAX_CONTESTANTS + 1} contestants; allowed: 1 to {MAX_CONTESTANTS}"):
        bench_report(store, [Entry(one)] * (MAX_CONTESTANTS + 1))
    with pytest.raises(ConfigError, match="got 0 trials"):
        bench_report(store, [])


def test_trials_are_made_for_the_same_clips_and_compared_from_the_command_line(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    def vlmrb(*words: object) -> str:
        assert main(["trial", *map(str, words), "--store", store.url, "--quiet"]) == 0
        return capsys.readouterr().out

    vlmrb(1, "--scorer", "oracle", "--sample", 6)
    vlmrb("--same-clips-as", 1, "--scorer", "random:0.5")
    vlmrb("--same-clips-as", 1, "--scorer", "random:0.5")
    assert [trial.trial_id for trial in store.trials()] == [2, 1]
    table = vlmrb("--compare", 1, "2@0.0")
    assert "6 clips that all of them have answered" in table and "different labels" in table
    found = json.loads(vlmrb("--compare", 1, "2@0.0", "--json"))
    assert [each["threshold"] for each in found["contestants"]] == [0.5, 0.0]
    assert found["contestants"][0]["agreement"]["auc"] == 1.0
    apart = found["clips_apart"][0]
    assert len(apart["clip_ids"]) == round(6 * found["disagreement"][0][1])
    asked = tried_set(store, [(0.9, 0.1)] * 12)
    singly = vlmrb("--compare", asked, f"{asked}.1", f"{asked}.2@0.05")
    assert "Does the agent pick up" in singly and ".2: Is a <b>door</b> opened?" in singly
    found = json.loads(vlmrb("--compare", f"{asked}.1", f"{asked}.2@0.05", "--json"))
    assert [(each["question"], each["threshold"]) for each in found["contestants"]] == [(1, 0.5), (2, 0.05)]
    assert main(["trial", "--compare", "1", "--list", "--store", store.url]) == 2
