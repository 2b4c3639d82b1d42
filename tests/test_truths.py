"""What an answer is judged by: events of clips, and the truth that fits a question's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmrb.events import PROGRESS_KINDS
from vlmrb.scoring.prompts import load_presets
from vlmrb.store import Store
from vlmrb.truths import PROGRESS, choices, truth_for, truths_of
from vlmrb.types import Event

OTHERS = ["dropped key", "closed door", "entered room"]


@pytest.mark.parametrize(
    ("question", "truth"),
    [
        ("Does the agent open a door?", "opened door"),
        ("Do these frames show the agent picking up a key?", "picked_up key"),
        ("Is there a moment when the door is opened?", "opened door"),
        ("Has the agent reached the goal?", "goal_reached"),
        ("Does the agent drop a key?", "dropped key"),
        ("Is a key dropped here?", "dropped key"),
        ("Does the robot close the window?", "closed window"),
        ("Is the cube lifted off the table?", "lifted cube"),
        ("Does the robot place the cube in the drawer?", "placed_in_drawer cube"),
        ("Does the cube reach its target?", "reached_target cube"),
        ("Look closely: a door may open. Does the agent pick up a key?", "picked_up key"),
        ("Does the agent pick up a key or open a door?", PROGRESS),  # two fit
        ("Does anything happen?", PROGRESS),
        ("Does the agent not open the door?", PROGRESS),
        ("Doesn't the agent open the door?", PROGRESS),
        ("Does the agent fail to reach the goal?", PROGRESS),
        ("Is there a monkey near the doormat?", PROGRESS),
        ("", PROGRESS),
    ],
)
def test_the_truth_that_fits_is_found_by_a_questions_words(question: str, truth: str) -> None:
    assert truth_for(question, [PROGRESS, *PROGRESS_KINDS, *OTHERS]) == truth


def test_presets_are_judged_by_progress_and_milestones_each_by_its_own() -> None:
    presets = load_presets()
    for name in ("games", "manipulation", "progress"):
        assert [truth_for(question) for question in presets[name][-1].questions] == [PROGRESS]
    assert [truth_for(question) for question in presets["milestones"][-1].questions] == [
        "picked_up key",
        "opened door",
        "goal_reached",
    ]


def test_a_clip_shows_its_events_their_kinds_and_progress() -> None:
    assert truths_of([(3, Event("unlocked", "door", "red"))]) == {"unlocked door", "opened door", PROGRESS}
    assert truths_of([(3, Event("dropped", "key"))]) == {"dropped key"}
    assert truths_of([(3, Event("success"))]) == {"success", "goal_reached", PROGRESS}
    assert truths_of([(3, Event("goal_reached", "goal", "green"))]) == {"goal_reached", PROGRESS}
    assert truths_of([]) == set()
    assert choices([truths_of([(3, Event("dropped", "key"))]), frozenset()]) == [PROGRESS, *PROGRESS_KINDS, "dropped key"]


def test_a_trial_judges_each_question_by_what_it_asks_about(tmp_path: Path) -> None:
    from tests.test_train import small
    from vlmrb.rescoring import create_trial, run_trial, trial_report
    from vlmrb.train import train

    with Store(str(tmp_path / "store.db")) as store:
        run_id = train(small(scorer="oracle", total_steps=3_200), store=store).run_id
        asked = {"run_ids": [run_id], "scorer": "embedded", "sample": 120}
        one = create_trial(store, prompt="Does the agent pick up a key?", **asked)
        three = create_trial(store, prompt="milestones", **asked)
        for trial in (one, three):
            run_trial(store, trial)
        single, of_set = trial_report(store, one).agreement, trial_report(store, three).agreement
        assert single is not None and of_set is not None
        assert (single.truth, single.questions) == ("picked_up key", ())
        keys = sum("picked_up key" in truths_of(row.clip.events) for row in trial_report(store, one).rows)
        assert single.events.confusion.true_positives + single.events.confusion.false_negatives == keys > 0
        assert of_set.truth == PROGRESS
        assert [each.truth for each in of_set.questions] == ["picked_up key", "opened door", "goal_reached"]
        chosen = trial_report(store, one, "opened door").agreement
        assert chosen is not None and chosen.truth == "opened door"
        with pytest.raises(Exception, match=r"truth: got 'magic'; allowed: progress, picked_up key, "):
            trial_report(store, one, "magic")
