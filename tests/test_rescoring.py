"""Score stored clips again, and run trials on samples of them: real stores, real scoring processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.recorded import record_frames, record_run
from tests.store.samples import Child
from vlmrb import rescoring
from vlmrb.config import make_config
from vlmrb.errors import ConfigError, NotFoundError, RunBusyError, ScorerSetupError, StoreCorruptError, VlmrbError
from vlmrb.rescoring import ScoringProgress, choose_clips, create_trial, fit_to_runs, report, run_trial, score_clips, trial_report
from vlmrb.scoring import ScorerOptions, resolve_prompt
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, ClipScore, Vote

GAMES = resolve_prompt("games")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "runs.db")) as opened:
        yield opened


def current_scores(store: Store, run_id: int) -> list[ClipScore | None]:
    return [clip.score for clip in choose_clips(store, run_id)]


# -- scoring


def test_each_clip_is_scored_once_in_order_even_across_runs_that_render_differently(store: Store) -> None:
    runs = [record_run(store, 70, length=4), record_run(store, 3, visuals="swapped")]
    clips = [clip for run_id in reversed(runs) for clip in choose_clips(store, run_id)]
    handed: list[ClipScore] = []
    told: list[ScoringProgress] = []
    scores = score_clips(store, clips, "oracle", GAMES, ScorerOptions(), on_scores=handed.extend, progress=told.append)
    assert [score.clip_id for score in scores] == [clip.clip_id for clip in clips]
    assert [score.label for score in scores] == [clip.progress for clip in clips]
    assert sorted(score.clip_id for score in handed) == sorted(clip.clip_id for clip in clips)
    assert (told[-1].done, told[-1].total) == (73, 73)
    assert told[-1].positive_rate == sum(clip.progress for clip in clips) / 73
    assert all(score is None for run_id in runs for score in current_scores(store, run_id))


def test_a_scorer_that_cannot_be_created_is_reported(store: Store) -> None:
    clips = choose_clips(store, record_run(store, 2, length=4))
    with pytest.raises(ScorerSetupError, match="/no/such/folder"):
        score_clips(store, clips, "hf:/no/such/folder", GAMES, ScorerOptions(), on_scores=lambda _: None)


def test_a_damaged_clip_stops_the_scoring(tmp_path: Path, store: Store) -> None:
    import sqlite3

    clips = choose_clips(store, record_run(store, 2, length=4))
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("UPDATE clip_data SET data = x'00' WHERE clip_id = 10000001")
    connection.close()
    with pytest.raises(StoreCorruptError, match="10000001"):
        score_clips(store, clips, "oracle", GAMES, ScorerOptions(), on_scores=lambda _: None)


def test_without_clips_no_scorer_is_started(store: Store) -> None:
    assert score_clips(store, [], "hf:/no/such/folder", GAMES, ScorerOptions(), on_scores=lambda _: None) == []


def test_chosen_clips_are_spread_over_the_run(store: Store) -> None:
    run_id = record_run(store, 9, length=4)
    numbers = [clip.clip_id - run_id * CLIPS_PER_RUN for clip in choose_clips(store, run_id, 3)]
    assert numbers == [0, 4, 8]
    assert len(choose_clips(store, run_id, 20)) == 9
    with pytest.raises(NotFoundError, match="no stored clips"):
        choose_clips(store, record_frames(store, []))
    with pytest.raises(NotFoundError, match="no run 99"):
        choose_clips(store, 99)


def test_a_report_compares_with_events_people_and_previous_labels(store: Store) -> None:
    run_id = record_run(store, 12, length=4, labels=[True, False] * 6)
    first = run_id * CLIPS_PER_RUN
    store.label_clip(first, agrees=False)  # was yes: a person says no
    store.label_clip(first + 1, agrees=True)  # was no: a person says no
    clips = choose_clips(store, run_id)
    scores = [
        ClipScore(clip.clip_id, float(clip.progress), None, None, 0.5, "oracle", "oracle", "", None) for clip in clips[:-1]
    ] + [ClipScore(clips[-1].clip_id, None, None, None, 0.5, "oracle", "oracle", "", None, error="no answer")]
    found = report(clips, scores, None)
    progress = [clip.progress for clip in clips[:-1]]
    assert any(progress) and not all(progress)
    assert (found.clips, found.events.auc, found.events.confusion.precision, found.first_error) == (12, 1, 1, "no answer")
    assert found.events.confusion.unknown == 1
    before = [number % 2 == 0 for number in range(11)]
    assert found.flips.flipped == sum(old != new for old, new in zip(before, progress, strict=True))
    assert found.people is not None and found.people.truth_rate == 0
    assert found.people.confusion.false_positives == sum(progress[:2])


# -- trials


def test_a_report_says_whose_votes_are_missing(store: Store) -> None:
    clips = choose_clips(store, record_run(store, 3, length=4))
    voters = (
        [Vote("a", (0.9,)), Vote("b", (None,), 0.0, "it is down")],
        [Vote("a", (0.9,)), Vote("b", (0.8,))],
        [Vote("a", (0.1,))],
    )
    scores = [
        ClipScore(clip.clip_id, 0.9, None, None, 0.5, "cascade:a|b", "", "", None, votes=tuple(votes))
        for clip, votes in zip(clips, voters, strict=True)
    ]
    assert report(clips, scores, None).missing_votes == "b gave no answer about 1 of 2 clips (it is down)"
    assert report(clips[1:], scores[1:], None).missing_votes == ""


def test_a_trial_by_vote_keeps_every_vote_and_pins_what_its_members_are_asked(store: Store) -> None:
    run_id = record_run(store, 4, length=4)
    trial_id = create_trial(
        store, run_ids=[run_id], scorer="vote:mean:oracle|embedded@prompt=games@frames=2", prompt="progress", device="cpu"
    )
    run_trial(store, trial_id)
    found = trial_report(store, trial_id)
    assert found.trial.scorer == "vote:mean:oracle|embedded@frames=2@prompt=games@1"
    assert found.prompt is None and found.trial.status == "finished"  # nobody reads the trial's own prompt
    for row in found.rows:
        said = [vote.answers[0] for vote in row.score.votes]
        assert len(said) == 2 and row.score.probability == pytest.approx(sum(said) / 2)


def test_a_trial_shows_what_a_prompt_would_change_and_changes_nothing(store: Store) -> None:
    runs = [record_run(store, 8, length=4, labels=[True] * 8), record_run(store, 4, length=4)]
    before = [current_scores(store, run_id) for run_id in runs]
    trial_id = create_trial(store, run_ids=runs, scorer="oracle", prompt="Is a key picked up?", sample=10)
    assert (store.trial(trial_id).status, trial_report(store, trial_id).agreement) == ("created", None)
    told: list[ScoringProgress] = []
    run_trial(store, trial_id, told.append)
    found = trial_report(store, trial_id)
    assert (found.trial.status, found.trial.scored, told[-1].done) == ("finished", 10, 10)
    assert [row.clip.clip_id for row in found.rows] == list(found.trial.clip_ids)
    assert found.agreement is not None and found.agreement.events.auc == 1
    for row in found.rows:
        assert row.score.label == row.clip.progress
        assert row.flipped == (None if row.clip.run_id == runs[1] else not row.clip.progress)
    assert found.agreement.flips.to_no == sum(row.flipped is True for row in found.rows)
    assert [current_scores(store, run_id) for run_id in runs] == before


def test_a_trial_with_a_model_stores_the_question(store: Store) -> None:
    trial_id = create_trial(store, run_ids=[record_run(store, 1)], scorer="hf:some/model", prompt="Is a key picked up?", frames=4)
    found = trial_report(store, trial_id)
    assert found.prompt is not None and found.prompt.text == "Is a key picked up?"
    assert (found.trial.options["frames"], found.trial.threshold) == (4, 0.5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scorer": "telepathy"}, "telepathy"),
        ({"prompt": ""}, "prompt: is empty"),
        ({"prompt": "gamez"}, "no preset"),
        ({"sample": 0}, "sample: got 0"),
        ({"sample": 10_001}, "sample: got 10001"),
        ({"threshold": 1.5}, "threshold: got"),
        ({"frames": 0}, "scorer_frames: got"),
        ({"dtype": "int4"}, "scorer_dtype: got"),
        ({"run_ids": []}, "runs: none given"),
        ({"run_ids": [1, 99]}, "no run 99"),
        ({"run_ids": [2]}, "no clips are stored for run 2"),
    ],
)
def test_an_invalid_trial_is_refused_and_writes_nothing(store: Store, changed: dict[str, object], said: str) -> None:
    settings = {"run_ids": [record_run(store, 1, length=4)], "scorer": "hf:some/model", "prompt": "games"}
    record_frames(store, [])
    with pytest.raises(VlmrbError, match=said):
        create_trial(store, **(settings | changed))
    assert (store.trials(), store.prompts()) == ([], [])


def test_a_failed_trial_says_why_and_can_be_retried(store: Store) -> None:
    trial_id = create_trial(store, run_ids=[record_run(store, 1, length=4)], scorer="hf:/no/such/folder", prompt="games")
    for _ in range(2):
        with pytest.raises(ScorerSetupError):
            run_trial(store, trial_id)
        trial = store.trial(trial_id)
        assert (trial.status, "/no/such/folder" in trial.error) == ("failed", True)


def test_a_killed_trial_reads_as_interrupted_and_resumes_with_the_unscored_clips(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = record_run(store, 150, length=4)
    trial_id = create_trial(store, run_ids=[run_id], scorer="oracle", prompt="games", sample=150)
    monkeypatch.setattr(rescoring.scoring, "_STORE_EVERY_S", 0.0)
    monkeypatch.setattr("vlmrb.scoring.worker._PROCESSES", multiprocessing.get_context("spawn"))  # for a child of our own

    def die(progress: ScoringProgress) -> None:
        if progress.done:
            os.kill(os.getpid(), signal.SIGKILL)

    child = Child(lambda _: run_trial(store, trial_id, die))
    child.lines()
    assert child.status == -signal.SIGKILL
    trial = store.trial(trial_id)
    assert trial.status == "interrupted"
    assert 0 < trial.scored < 150
    told: list[ScoringProgress] = []
    run_trial(store, trial_id, told.append)
    assert told[-1].total == 150 - trial.scored
    found = trial_report(store, trial_id)
    assert (found.trial.status, len(found.rows)) == ("finished", 150)


def test_control_c_leaves_a_trial_interrupted(store: Store) -> None:
    trial_id = create_trial(store, run_ids=[record_run(store, 1, length=4)], scorer="oracle", prompt="games")

    def press(_: ScoringProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(store, trial_id, press)
    assert store.trial(trial_id).status == "interrupted"


def test_a_trial_is_run_by_one_process_at_a_time(store: Store) -> None:
    trial_id = create_trial(store, run_ids=[record_run(store, 1, length=4)], scorer="oracle", prompt="games")
    store.claim_trial(trial_id, os.getpid(), psutil.Process().create_time())
    with pytest.raises(RunBusyError):
        run_trial(store, trial_id)


def test_a_trial_survives_the_deletion_of_one_of_its_runs(store: Store) -> None:
    runs = [record_run(store, 3, length=4), record_run(store, 3, length=4)]
    trial_id = create_trial(store, run_ids=runs, scorer="oracle", prompt="games")
    run_trial(store, trial_id)
    store.delete_run(runs[0])
    assert {row.clip.run_id for row in trial_report(store, trial_id).rows} == {runs[1]}
    with pytest.raises(NotFoundError):
        trial_report(store, trial_id + 1)


def test_a_sample_is_the_same_for_the_same_seed(store: Store) -> None:
    run_id = record_run(store, 40, length=4)
    made = [create_trial(store, run_ids=[run_id], scorer="oracle", prompt="games", sample=5, seed=seed) for seed in (1, 1, 2)]
    samples = [store.trial(trial_id).clip_ids for trial_id in made]
    assert samples[0] == samples[1] != samples[2]
    with pytest.raises(ConfigError, match="seed"):
        create_trial(store, run_ids=[run_id], scorer="oracle", prompt="games", seed=-1)


def test_a_trial_across_grid_worlds_and_robots_is_refused_because_embedded_is_two_models(tmp_path) -> None:
    with Store(str(tmp_path / "runs.db")) as store:
        kinds = ("minigrid", "ogbench")
        runs = [store.create_run(make_config().model_dump(), render_spec={"kind": kind}, success_rule="") for kind in kinds]
        with pytest.raises(ConfigError, match="a trial for each kind"):
            create_trial(store, run_ids=runs, scorer="embedded", prompt="games")
        assert fit_to_runs("embedded", store, runs[1:]) == "embedded:robots"
        assert fit_to_runs("oracle", store, runs) == "oracle"
