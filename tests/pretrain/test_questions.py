"""Questions about scenes: true answers, no bias, and phrasings that training never sees."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vlmrb.pretrain.grids.catalogue import CATALOGUE, answer
from vlmrb.pretrain.grids.truth import GridTruth
from vlmrb.pretrain.grids.worlds import SceneMaker
from vlmrb.pretrain.questions import Catalogue, Matter, preset_texts
from vlmrb.pretrain.robots.catalogue import CATALOGUE as ROBOT_CATALOGUE
from vlmrb.scoring import load_presets
from vlmrb.scoring.embedded import nearest_question, split_words, unknown_words
from vlmrb.types import Event


def truth(
    *events: Event,
    stayed: bool = False,
    first: tuple[str, ...] = (),
    last: tuple[str, ...] = (),
    faced: tuple[str, ...] = (),
    kept: tuple[str, ...] = (),
) -> GridTruth:
    nothing, nowhere = np.zeros((1, 1), np.uint8), np.zeros((1, 1, 1), bool)
    return GridTruth(
        events=events,
        stayed=stayed,
        first=frozenset(first),
        last=frozenset(last),
        faced=frozenset(faced),
        kept=frozenset(kept),
        before=nothing,
        after=nothing,
        agents=nowhere,
        happened=nowhere,
    )


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
        (Matter("shows last", "open door"), True),
        (Matter("shows last", "open door", "red"), False),
        (Matter("shows last", "locked door", "grey"), False),
        (Matter("faced", "key"), True),
        (Matter("faced", "object", "red"), True),
        (Matter("faced", "door", "red"), False),
        (Matter("faced", "door"), True),
        (Matter("kept", "key", "red"), True),
        (Matter("kept", "ball"), False),
        (Matter("left open", "door"), True),
        (Matter("left open", "door", "blue"), False),
    ],
)
def test_answers_follow_the_events_and_the_frames(matter, expected) -> None:
    seen = {"first": ("empty", "red key"), "last": ("empty", "locked blue door", "open grey door")}
    scene = truth(RED_KEY, **seen, faced=("red key", "blue door"), kept=("red key",))
    assert answer(matter, scene) is expected


def test_what_frames_cannot_tell_is_not_asked() -> None:
    mission = truth(Event("success"))
    box = truth(Event("opened", "box", "red"))
    assert answer(Matter("progress"), mission) is None
    assert answer(Matter("progress"), truth(Event("success"), Event("goal_reached", "goal", "green"))) is True
    assert answer(Matter("picked_up", "box"), box) is None
    assert answer(Matter("picked_up", "key"), box) is False


def test_no_kind_of_question_favours_yes_or_no() -> None:
    scenes = SceneMaker().balanced((0, 1), 40, 2)
    asked = CATALOGUE.ask_balanced([scene.truth for scene in scenes], 6, np.random.default_rng(0))
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
        assert true_of_matter[family, True] == true_of_matter[family, False]


@pytest.fixture(params=[CATALOGUE, ROBOT_CATALOGUE], ids=["grids", "robots"])
def catalogue(request) -> Catalogue:
    return request.param


def test_the_opposite_question_has_the_opposite_answer(catalogue) -> None:
    rng = np.random.default_rng(0)
    for matter in catalogue.matters:
        assert catalogue.phrase(matter, True, rng, opposite=False).answer is True
        assert catalogue.phrase(matter, True, rng, opposite=True).answer is False


def test_a_matter_has_a_plain_wording_for_each_verb_and_the_first_is_shown_to_users(catalogue) -> None:
    shown = catalogue.plain_questions()
    for matter in catalogue.matters:
        wordings = catalogue.plain_wordings(matter)
        assert len(set(wordings)) == len(wordings)
        assert not wordings or wordings[0] in shown
    doors = CATALOGUE.plain_wordings(Matter("closed", "door", "red"))
    assert doors == ("Does the agent close a red door?", "Does the agent shut a red door?")
    rooms = CATALOGUE.plain_wordings(Matter("entered"))
    assert len(rooms) == 12 and {"Does the agent enter another room?", "Does the agent walk into a new room?"} <= set(rooms)


def test_held_out_phrasings_use_known_words_and_are_never_trained_on(catalogue) -> None:
    words, rng = set(catalogue.vocabulary()), np.random.default_rng(0)
    names = [family.name for family in catalogue.families]
    trained = {core for name in names for opposite in (False, True) for core in catalogue.cores(name, "train", opposite)}
    for name in names:
        held_out = set(catalogue.cores(name, "held_out", False))
        assert held_out
        assert not held_out & trained
    for matter in catalogue.matters:
        for opposite in (False, True):
            text = catalogue.phrase(matter, True, rng, "held_out", opposite=opposite).text
            assert set(split_words(text)) <= words, text


def test_the_shipped_prompts_are_asked_word_for_word(catalogue) -> None:
    rng, texts = np.random.default_rng(0), set()
    for _ in range(400):
        texts.add(catalogue.phrase(Matter("progress"), True, rng, presets=preset_texts()).text)
    shipped = {versions[-1].text for versions in load_presets().values() if len(versions[-1].questions) == 1}
    assert set(preset_texts()) == shipped
    assert shipped <= texts


def test_each_question_of_the_preset_milestones_is_one_that_training_asks() -> None:
    asked = set()
    for family in ("picked_up", "opened", "goal_reached"):
        for core in CATALOGUE.cores(family, "train", opposite=False):
            for thing in ("a key", "the door", "the goal"):
                asked.add(core.format(s="the agent", c="this clip", f="these frames", t=thing, n="").capitalize())
    assert set(load_presets()["milestones"][-1].questions) <= asked


def test_every_sentence_is_filled_in_and_every_plain_question_is_known(catalogue) -> None:
    rng, words = np.random.default_rng(0), frozenset(catalogue.vocabulary())
    for matter in catalogue.matters:
        for _ in range(20):
            text = catalogue.phrase(matter, False, rng).text
            assert not set("{}") & set(text), text
            assert "  " not in text
    for text in catalogue.plain_questions():
        assert unknown_words(text, words) == ()


def test_plain_questions_are_plain() -> None:
    assert "Does the agent pick up a key?" in CATALOGUE.plain_questions()
    assert "Does the robot open a drawer?" in ROBOT_CATALOGUE.plain_questions()
    assert "Does the robot put a cube into the drawer?" in ROBOT_CATALOGUE.plain_questions()


def test_unknown_words_are_named_and_the_nearest_question_shares_the_words_that_matter() -> None:
    words, plain = frozenset(CATALOGUE.vocabulary()), CATALOGUE.plain_questions()
    assert unknown_words("Has the wizard fetched a key?", words) == ("wizard", "fetched")
    assert nearest_question("Has the wizard fetched a key?", plain) == "Does the agent pick up a key?"
    assert nearest_question("unlocking of some yellow door", plain) in {
        "Does the agent unlock a yellow door?",
        "Does the agent open a yellow door?",
        "Does the agent close a yellow door?",
    }
