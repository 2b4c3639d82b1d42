"""Questions about scenes: true answers, no lean, and phrasings that training never sees."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vlmrb.pretrain import questions
from vlmrb.pretrain.phrases import FAMILIES
from vlmrb.pretrain.questions import Matter, all_matters, answer, ask_balanced, phrase, plain_questions, preset_texts, vocabulary
from vlmrb.pretrain.truth import Truth
from vlmrb.pretrain.worlds import SceneMaker
from vlmrb.scoring import load_presets
from vlmrb.scoring.embedded import nearest_question, split_words, unknown_words
from vlmrb.types import Event


def truth(*events: Event, stayed: bool = False, first: tuple[str, ...] = (), last: tuple[str, ...] = ()) -> Truth:
    nothing, nowhere = np.zeros((1, 1), np.uint8), np.zeros((1, 1, 1), bool)
    numbered = tuple(enumerate(events))
    return Truth(numbered, stayed, nothing, nothing, nowhere, nowhere, frozenset(first), frozenset(last))


RED_KEY = Event("picked_up", "key", "red")


@pytest.mark.parametrize(
    ("matter", "expected"),
    [
        (Matter("picked_up", "key"), True),
        (Matter("picked_up", "key", "red"), True),
        (Matter("picked_up", "key", "blue"), False),
        (Matter("picked_up", "ball"), False),
        (Matter("picked_up", "object"), True),
        (Matter("picked_up", "object", "blue"), False),
        (Matter("dropped", "key"), False),
        (Matter("progress"), True),
        (Matter("stayed"), False),
        (Matter("shows first", "key", "red"), True),
        (Matter("shows last", "key"), False),
        (Matter("shows last", "locked door"), True),
        (Matter("shows last", "open door"), False),
        (Matter("shows last", "locked door", "grey"), False),
    ],
)
def test_answers_follow_the_events_and_the_frames(matter, expected) -> None:
    scene = truth(RED_KEY, first=("empty", "red key"), last=("empty", "locked blue door"))
    assert answer(matter, scene) is expected


def test_what_frames_cannot_tell_is_not_asked() -> None:
    mission = truth(Event("success"))
    box = truth(Event("opened", "box", "red"))
    assert answer(Matter("progress"), mission) is None
    assert answer(Matter("progress"), truth(Event("success"), Event("goal_reached", "goal", "green"))) is True
    assert answer(Matter("picked_up", "box"), box) is None
    assert answer(Matter("picked_up", "key"), box) is False


def test_no_kind_of_question_leans_to_yes_or_no() -> None:
    scenes = SceneMaker().balanced((0, 1), 40, 2)
    asked = ask_balanced([scene.truth for scene in scenes], 6, np.random.default_rng(0))
    assert all(len(questions) <= 6 for questions in asked)
    assert sum(map(len, asked)) > 5 * len(scenes)
    true_of_matter: Counter[tuple[str, bool]] = Counter()
    for scene, questions_of_clip in zip(scenes, asked, strict=True):
        for question in questions_of_clip:
            is_so = answer(question.matter, scene.truth)
            assert is_so is not None
            true_of_matter[question.matter.family, is_so] += 1
    families = {family for family, _ in true_of_matter}
    assert len(families) >= 9
    for family in families:
        # a pair of which one clip had room for no more questions is not asked, so the two may differ by a little
        assert abs(true_of_matter[family, True] - true_of_matter[family, False]) <= 2


def test_the_opposite_question_has_the_opposite_answer() -> None:
    rng = np.random.default_rng(0)
    for matter in all_matters():
        assert phrase(matter, True, rng, opposite=False).answer is True
        assert phrase(matter, True, rng, opposite=True).answer is False


def test_held_out_phrasings_use_known_words_and_are_never_trained_on() -> None:
    words, rng = set(vocabulary()), np.random.default_rng(0)
    trained = {
        core for family in FAMILIES for opposite in (False, True) for core in questions._cores(family.name, "train", opposite)
    }
    for family in FAMILIES:
        held_out = set(questions._cores(family.name, "held_out", False))
        assert held_out
        assert not held_out & trained
    for matter in all_matters():
        for opposite in (False, True):
            text = phrase(matter, True, rng, "held_out", opposite=opposite).text
            assert set(split_words(text)) <= words, text


def test_the_shipped_prompts_are_asked_word_for_word() -> None:
    rng, texts = np.random.default_rng(0), set()
    for _ in range(400):
        texts.add(phrase(Matter("progress"), True, rng, presets=preset_texts()).text)
    assert {presets[-1].text for presets in load_presets().values()} <= texts
    assert set(preset_texts()) == {presets[-1].text for presets in load_presets().values()}


def test_every_sentence_is_filled_in_and_every_plain_question_is_known() -> None:
    rng, words = np.random.default_rng(0), frozenset(vocabulary())
    for matter in all_matters():
        for _ in range(20):
            text = phrase(matter, False, rng).text
            assert not set("{}") & set(text), text
            assert "  " not in text
    for text in plain_questions():
        assert unknown_words(text, words) == ()
    assert "Does the agent pick up a key?" in plain_questions()


def test_unknown_words_are_named_and_the_nearest_question_shares_the_words_that_matter() -> None:
    words = frozenset(vocabulary())
    assert unknown_words("Has the wizard fetched a key?", words) == ("wizard", "fetched")
    assert nearest_question("Has the wizard fetched a key?", plain_questions()) == "Does the agent pick up a key?"
    assert nearest_question("unlocking of some yellow door", plain_questions()) in {
        "Does the agent unlock a yellow door?",
        "Does the agent open a yellow door?",
        "Does the agent close a yellow door?",
    }
