"""Trials: run on stored clips, kept apart from their scores, with an accurate status."""

from __future__ import annotations

from dataclasses import replace

import psutil
import pytest

from tests.store.samples import Child, filled, score, voted
from vlmrb.errors import ConfigError, NotFoundError, RunBusyError, StoreError
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN


def new_trial(store: Store, *clip_ids: int) -> int:
    prompt = store.save_prompt("tried", "Is it?")
    return store.create_trial(scorer="hf:x", prompt_id=prompt.prompt_id, threshold=0.5, options={"frames": 8}, clip_ids=clip_ids)


def test_a_trial_keeps_its_scores_to_itself(store: Store) -> None:
    run_id = filled(store, 3)
    first = run_id * CLIPS_PER_RUN
    before = store.clips(run_id)
    trial_id = new_trial(store, first + 2, first, first)
    trial = store.trial(trial_id)
    assert (trial.status, trial.clip_ids, trial.run_ids, trial.scored) == ("created", (first, first + 2), (run_id,), 0)
    assert (trial.options, trial.model, trial.ended_at) == ({"frames": 8}, "", None)
    answers = [score(first + at, 0.25, scorer="hf:x", prompt_id=trial.prompt_id) for at in (0, 2)]
    store.add_trial_scores(trial_id, [score(first, 0.75, scorer="hf:x", prompt_id=trial.prompt_id)])
    store.add_trial_scores(trial_id, answers)  # a later answer about a clip replaces the earlier one
    assert store.trial_scores(trial_id) == answers
    assert (store.trial(trial_id).scored, store.trial(trial_id).model, store.trial(trial_id).revision) == (2, "model", "rev")
    assert store.clips(run_id) == before and len(store.scores(first)) == 1


def test_a_trial_keeps_the_answers_to_a_set_of_questions(store: Store) -> None:
    first = filled(store, 1) * CLIPS_PER_RUN
    trial_id = store.create_trial(scorer="oracle", prompt_id=None, threshold=0.5, options={}, clip_ids=[first])
    store.add_trial_scores(trial_id, [replace(score(first, 0.75), answers=(0.75, None))])
    again = replace(score(first, 1.0), answers=(0.0, 1.0), logits=((-3.0, None), (2.0, 1.0)), asked="Is it a key?")
    store.add_trial_scores(trial_id, [again])
    [found] = store.trial_scores(trial_id)
    assert (found.answers, found.logits, found.asked) == (again.answers, again.logits, again.asked)


def test_a_trial_keeps_what_each_voter_said(store: Store) -> None:
    first = filled(store, 1) * CLIPS_PER_RUN
    trial_id = store.create_trial(scorer="vote:mean:…", prompt_id=None, threshold=0.5, options={}, clip_ids=[first])
    said = voted(first, (0.25, None), (0.75, 1.0))
    store.add_trial_scores(trial_id, [said])
    assert store.trial_scores(trial_id) == [said]


def test_an_unknown_answer_is_an_answer(store: Store) -> None:
    first = filled(store, 1) * CLIPS_PER_RUN
    trial_id = new_trial(store, first)
    unknown = score(first, None, scorer="hf:x", prompt_id=store.trial(trial_id).prompt_id)
    store.add_trial_scores(trial_id, [unknown])
    store.add_trial_scores(trial_id, [])
    assert store.trial_scores(trial_id) == [unknown] and store.trial(trial_id).scored == 1


def test_a_trial_is_running_only_while_its_process_is_alive(store: Store) -> None:
    trial_id = new_trial(store, filled(store, 1) * CLIPS_PER_RUN)

    def claim(report: object) -> None:
        process = psutil.Process()
        store.claim_trial(trial_id, process.pid, process.create_time())

    Child(claim).result()
    assert store.trial(trial_id).status == "interrupted"  # it has ended without reporting
    me = psutil.Process()
    store.claim_trial(trial_id, me.pid, me.create_time())
    assert store.trials()[0].status == "running"
    for refused in (lambda: store.claim_trial(trial_id, me.pid, me.create_time()), lambda: store.delete_trial(trial_id)):
        with pytest.raises(RunBusyError, match=str(me.pid)):
            refused()
    store.end_trial(trial_id, "failed", "why")
    trial = store.trial(trial_id)
    assert (trial.status, trial.error, trial.pid) == ("failed", "why", None) and trial.ended_at >= trial.created_at


def test_trials_are_listed_newest_first_and_deleted_with_their_scores(store: Store) -> None:
    first = filled(store, 2) * CLIPS_PER_RUN
    ids = [new_trial(store, first + at) for at in (0, 1)]
    store.add_trial_scores(ids[1], [score(first + 1, 0.5)])
    assert [trial.trial_id for trial in store.trials()] == ids[::-1] and len(store.trials(limit=1)) == 1
    store.delete_trial(ids[1])
    assert [trial.trial_id for trial in store.trials()] == ids[:1]
    assert new_trial(store, first) > ids[1]  # ids are not reused
    for gone in (
        lambda: store.trial(ids[1]),
        lambda: store.trial_scores(ids[1]),
        lambda: store.delete_trial(ids[1]),
        lambda: store.claim_trial(ids[1], 1, 1.0),
        lambda: store.end_trial(ids[1], "finished"),
        lambda: store.add_trial_scores(ids[1], [score(first, 0.5)]),
    ):
        with pytest.raises(NotFoundError, match=f"no trial {ids[1]}"):
            gone()


def test_a_trial_with_no_too_many_or_missing_clips_is_refused(store: Store) -> None:
    run_id = filled(store, 1)
    with pytest.raises(ConfigError, match="got 0 clips"):
        new_trial(store)
    with pytest.raises(ConfigError, match="1 to 10000"):
        new_trial(store, *range(10_001))
    with pytest.raises(NotFoundError, match=f"no clip {run_id * CLIPS_PER_RUN + 7}"):
        new_trial(store, run_id * CLIPS_PER_RUN, run_id * CLIPS_PER_RUN + 7)
    assert store.trials() == []


def test_a_deleted_runs_clips_are_removed_from_all_trials(store: Store) -> None:
    keep, run_id = filled(store, 2), filled(store, 2)
    clips = [keep * CLIPS_PER_RUN, run_id * CLIPS_PER_RUN]
    both, only = new_trial(store, *clips), new_trial(store, clips[1])
    for trial_id in (both, only):
        store.add_trial_scores(trial_id, [score(clip_id, 0.5) for clip_id in store.trial(trial_id).clip_ids])
    store.delete_run(run_id)
    assert [trial.trial_id for trial in store.trials()] == [both]
    assert (store.trial(both).clip_ids, store.trial(both).run_ids, store.trial(both).scored) == ((clips[0],), (keep,), 1)
    assert [found.clip_id for found in store.trial_scores(both)] == clips[:1]
    with pytest.raises(StoreError):
        store.add_trial_scores(both, [score(clips[1], 0.5)])
