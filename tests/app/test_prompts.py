"""The prompts page: trials of stored clips, saved versions, and the page's data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.pages.clips import cards_of
from app.pages.prompts import TrialView, read_library, view_of
from tests.recorded import record_run
from tests.waiting import wait_until
from vlmrb import jobs
from vlmrb.__main__ import main
from vlmrb.errors import ConfigError, NotFoundError, RunBusyError, ScorerSetupError
from vlmrb.prompt_library import save_prompt
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, RunCounters

QUESTION = "Does the agent pick up a key?"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose run 1 has eight clips, the first four labelled."""
    with Store(str(tmp_path / "runs.db")) as store:
        record_run(store, 8, labels=(True, False, True, False))
        yield store


def finished(store: Store, trial_id: int) -> TrialView:
    """Wait until a trial and its job have finished; returns what the page then shows."""

    def log() -> str:
        return f"trial {trial_id} to finish; its log ends with:\n{jobs.log_tail(store, trial_id, 'trial')}"

    wait_until(lambda: view_of(store, trial_id).status == "finished" and not busy(store), log)
    return view_of(store, trial_id)


def busy(store: Store) -> bool:
    """Whether a job is running or starting."""
    return bool(store.jobs(status="running") or store.jobs(status="starting"))


def test_a_trial_runs_in_the_background_and_does_not_change_the_clips_labels(store: Store) -> None:
    trial_id = jobs.launch_trial(store, run_ids=[1], scorer="oracle", prompt=QUESTION, sample=8)
    view = finished(store, trial_id)
    assert (view.scored, view.total, len(view.clips)) == (8, 8, 8)
    assert {clip.probability == 1.0 for clip in view.clips if "progress" in clip.truths} == {True}
    before = {clip.clip_id: clip.before for clip in view.clips}
    assert [before[CLIPS_PER_RUN + number] for number in range(5)] == [True, False, True, False, None]
    assert [store.clip(CLIPS_PER_RUN + number).score is not None for number in range(5)] == [True, True, True, True, False]


def test_a_set_of_questions_is_tried_and_its_rule_is_said_in_words(store: Store) -> None:
    text = "- Does the agent pick up a key?\n- Does the agent reach the goal?"
    view = finished(store, jobs.launch_trial(store, run_ids=[1], scorer="embedded", prompt=text, sample=2))
    assert (view.prompt.questions, view.notices) == (("Does the agent pick up a key?", "Does the agent reach the goal?"), [])
    assert view.rule == "a clip is yes if at least one of its 2 answers is yes (rule 'any')"
    for score in store.trial_scores(view.trial_id):
        assert len(score.answers) == 2
        assert score.probability == max(score.answers)


def test_a_set_that_is_too_large_is_refused_when_it_is_saved_tried_or_applied(store: Store) -> None:
    text = "- Is it?\n" * 17
    with pytest.raises(ConfigError, match="17 questions; allowed: up to 16"):
        save_prompt(store, "mine", text)
    with pytest.raises(ConfigError, match="17 questions; allowed: up to 16"):
        jobs.launch_trial(store, run_ids=[1], scorer="embedded", prompt=text, sample=2)
    store.claim_run(1, psutil.Process().pid, psutil.Process().create_time())
    with pytest.raises(ConfigError, match="17 questions; allowed: up to 16"):
        jobs.request_prompt(store, 1, text)


def test_clips_are_sent_only_if_there_are_new_ones(store: Store) -> None:
    trial_id = jobs.launch_trial(store, run_ids=[1], scorer="oracle", prompt=QUESTION, sample=8)
    finished(store, trial_id)
    assert view_of(store, trial_id, seen=8).clips == []
    assert len(view_of(store, trial_id, seen=7).clips) == 8


def test_events_of_a_trial_read_as_on_the_clips_page(store: Store) -> None:
    trial_id = jobs.launch_trial(store, run_ids=[1], scorer="oracle", prompt=QUESTION, sample=8)
    shown = {clip.clip_id: clip.events for clip in finished(store, trial_id).clips}
    assert any("picked up" in event for events in shown.values() for event in events)
    assert shown == {card.clip_id: card.events for card in cards_of(store, list(shown))}


def test_a_trial_that_cannot_start_writes_nothing(store: Store) -> None:
    for settings, error in (
        ({"scorer": "nonsense"}, ScorerSetupError),
        ({"sample": 0}, ConfigError),
        ({"run_ids": [9]}, NotFoundError),
    ):
        with pytest.raises(error):
            jobs.launch_trial(store, **({"run_ids": [1], "scorer": "oracle", "prompt": QUESTION} | settings))
    assert store.trials() == []
    assert store.jobs() == []


def test_a_failed_trial_says_why_and_can_be_resumed(store: Store, tmp_path: Path) -> None:
    trial_id = jobs.launch_trial(store, run_ids=[1], scorer=f"hf:{tmp_path / 'nowhere'}", prompt=QUESTION)
    wait_until(lambda: view_of(store, trial_id).status == "failed" and not busy(store), "the trial to fail")
    assert "nowhere" in view_of(store, trial_id).error
    jobs.resume_trial(store, trial_id)
    with pytest.raises(RunBusyError):
        jobs.resume_trial(store, trial_id)
    jobs.stop_trial(store, trial_id)
    wait_until(lambda: not busy(store), "the trial's job to end")


def test_a_finished_trial_cannot_be_stopped(store: Store) -> None:
    trial_id = jobs.launch_trial(store, run_ids=[1], scorer="oracle", prompt=QUESTION, sample=2)
    finished(store, trial_id)
    with pytest.raises(RunBusyError, match="is neither running nor queued"):
        jobs.stop_trial(store, trial_id)


def test_a_saved_prompt_is_a_new_version_only_when_its_text_is_new(store: Store) -> None:
    assert save_prompt(store, " keys ", QUESTION).version == 1
    assert save_prompt(store, "keys", QUESTION).version == 1
    assert save_prompt(store, "keys", "Does the agent drop a key?").version == 2
    assert [f"{p.name}@{p.version}" for p in read_library(store).prompts if p.name == "keys"] == ["keys@1", "keys@2"]


@pytest.mark.parametrize("name", ["", "  ", "games", "custom", "a@b"])
def test_invalid_names_and_names_of_presets_are_refused(store: Store, name: str) -> None:
    with pytest.raises(ConfigError, match="name: "):
        save_prompt(store, name, QUESTION)


def test_a_saved_prompt_can_be_tried_by_its_name(store: Store, tmp_path: Path) -> None:
    saved = save_prompt(store, "keys", QUESTION)
    trial_id = jobs.launch_trial(store, run_ids=[1], scorer=f"hf:{tmp_path}", prompt="keys@1", sample=2)
    assert store.trial(trial_id).prompt_id == saved.prompt_id
    with pytest.raises(ConfigError, match="keys@7"):
        jobs.launch_trial(store, run_ids=[1], scorer="oracle", prompt="keys@7", sample=2)
    wait_until(lambda: not busy(store), "the trial's job to end")


def test_an_empty_text_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="empty"):
        save_prompt(store, "keys", "   ")


def test_the_library_knows_which_runs_take_a_prompt(store: Store) -> None:
    me = psutil.Process()
    store.claim_run(1, me.pid, me.create_time())
    store.heartbeat(1, 100, counters=RunCounters(clips=8))
    (run,) = read_library(store).runs
    assert (run.run_id, run.clips, run.takes_prompt) == (1, 8, "")
    store.release_run(1, "stopped", counters=RunCounters(clips=8))
    (run,) = read_library(store).runs
    assert "stopped" in run.takes_prompt


def test_a_saved_prompt_can_be_applied_to_a_live_run_by_its_name(store: Store) -> None:
    me = psutil.Process()
    store.claim_run(1, me.pid, me.create_time())
    saved = save_prompt(store, "keys", QUESTION)
    jobs.request_prompt(store, 1, "keys@1")
    assert [(row.name, row.value) for row in store.live_changes(1)] == [("prompt", saved.prompt_id)]
    store.release_run(1, "stopped")
    with pytest.raises(RunBusyError, match="no process listens"):
        jobs.request_prompt(store, 1, "keys@1")


def test_a_prompt_is_saved_and_a_clip_judged_from_the_command_line(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompts", "--save", "keys", QUESTION, "--store", store.url]) == 0
    assert "saved as keys@1" in capsys.readouterr().out
    assert main(["prompts", "--save", "games", QUESTION, "--store", store.url]) == 2
    clip_id = str(CLIPS_PER_RUN)
    assert main(["label", clip_id, "disagree", "--note", "no key", "--store", store.url]) == 0
    assert "labelled yes; you disagree" in capsys.readouterr().out
    assert [(each.agrees, each.note) for each in store.human_labels(CLIPS_PER_RUN)] == [(False, "no key")]
    assert main(["label", str(CLIPS_PER_RUN + 7), "agree", "--store", store.url]) == 2
    assert "no label yet" in capsys.readouterr().err


def test_an_unknown_trial_is_reported(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no trial 5"):
        view_of(store, 5)
