"""Curricula: which question of a set rules when, in words, alone and in runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_train import _claim, small
from vlmrb.config import make_config
from vlmrb.creation import create_run
from vlmrb.curriculum import WINDOW, Curriculum, Ruling
from vlmrb.errors import ConfigError
from vlmrb.store import Store
from vlmrb.train import Trainer, resume, train


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("yes-rate", "yes-rate:0.8"),
        ("yes-rate:0.5", "yes-rate:0.5"),
        ("steps:100,2000", "steps:100,2000"),
        ("steps:1e4", "steps:10000"),
        (" success:0.2,1 ", "success:0.2,1"),
    ],
)
def test_a_curriculum_is_read_and_written_back(text: str, plain: str) -> None:
    assert str(Curriculum.parse(text)) == plain
    assert Curriculum.parse(plain) == Curriculum.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "yes-rate:1.5",
        "yes-rate:0",
        "yes-rate:0.5,0.6",
        "yes-rate:",
        "steps",
        "steps:",
        "steps:200,100",
        "steps:0",
        "steps:1.5",
        "steps:nan",
        "success:inf",
        "success:0.5,0.5",
        "success:2",
        "luck:3",
        ":",
        "steps:1,,2",
    ],
)
def test_what_is_no_curriculum_is_refused_with_the_allowed_forms(text: str) -> None:
    with pytest.raises(ConfigError, match=r"curriculum: got .*'yes-rate:R'"):
        make_config(curriculum=text)


def test_the_next_question_takes_over_once_most_answers_are_yes() -> None:
    ruling = Ruling(Curriculum.parse("yes-rate:0.8"), questions=3)
    for _ in range(WINDOW):
        ruling.hear(False)
    for number in range(80):
        ruling.hear(True)
        assert ruling.question == 0, number
    ruling.hear(True)  # 81 of the last 100
    assert ruling.question == 1
    for _ in range(WINDOW - 1):
        ruling.hear(True)
    assert ruling.question == 1  # answers about the question before do not count
    ruling.hear(True)
    assert ruling.question == 2
    for _ in range(2 * WINDOW):
        ruling.hear(True)
    assert ruling.question == 2  # the last one never retires


@given(st.lists(st.sampled_from(["yes", "no", "unknown", "hold", "release", "new set", "saved"]), max_size=400))
def test_a_question_always_rules_and_never_goes_back_by_itself(moves: list[str]) -> None:
    ruling, before = Ruling(Curriculum.parse("yes-rate:0.5"), questions=4), 0
    for move in moves:
        if move in ("yes", "no", "unknown"):
            ruling.hear({"yes": True, "no": False, "unknown": None}[move])
        elif move == "hold":
            ruling.held = 3
        elif move == "release":
            ruling.held, before = None, 0
        elif move == "new set":
            ruling.ask(5 - ruling.questions % 2)
            before = 0
        else:
            copy = Ruling(ruling.curriculum)
            copy.load_state_dict(ruling.state_dict())
            ruling = copy
        assert ruling.question is not None and before <= ruling.question < ruling.questions
        assert sum(ruling.weights([1.0] * ruling.questions)) == 1.0
        before = ruling.question


def test_steps_and_success_move_it_on() -> None:
    by_steps = Ruling(Curriculum.parse("steps:10,20"), questions=3)
    for step, expected in ((0, 0), (9, 0), (10, 1), (25, 2), (5, 2)):
        by_steps.advance(step)
        assert by_steps.question == expected
    by_success = Ruling(Curriculum.parse("success:0.2,0.6"), questions=3)
    for rate, expected in ((None, 0), (0.1, 0), (0.7, 2), (0.0, 2)):
        by_success.succeeded(rate)
        assert by_success.question == expected


CURRICULUM = {"sync_scoring": True, "log_interval": 100, "lambda_warmup": 0.0, "scorer": "oracle"}


def test_in_a_run_only_the_ruling_question_labels_clips_and_all_answers_are_stored(store: Store) -> None:
    run_id = train(small(**CURRICULUM, curriculum="steps:400,800"), store=store).run_id
    steps, ruling = store.metrics(run_id, "scoring/question")
    assert ruling[steps < 400].max() == 1 and ruling[(steps > 410) & (steps < 800)].tolist()[0] == 2 and ruling[-1] == 3
    for clip in store.clips(run_id, limit=1_000):
        assert clip.score is not None and len(clip.score.answers) > 3
        ruled = 0 if clip.end_step < 400 else 1 if clip.end_step < 800 else 2
        if min(abs(clip.end_step - bound) for bound in (400, 800)) > 40:
            assert clip.score.probability == clip.score.answers[ruled]


@pytest.mark.parametrize("strata", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_with_a_curriculum_resumes_to_the_same_curve(store: Store, strata: bool, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    settings = {**CURRICULUM, "curriculum": "yes-rate:0.01", "strata": strata}
    whole = train(small(**settings), store=store).run_id
    stopped = create_run(small(**settings), store=store)

    def stop(step: int, *_: object) -> None:
        if step >= 800 and not asked:
            asked.append(store.request_change(stopped, "stop"))

    asked: list[int] = []
    _claim(store, stopped)
    Trainer(stopped, small(**settings), store, stop).run()
    before = store.metrics(stopped, "scoring/question")[1][-1]
    resume(stopped, store=store)
    after = store.metrics(stopped, "scoring/question")[1]
    assert before >= 2 and (np.diff(after) >= 0).all()
    assert after[-1] == store.metrics(whole, "scoring/question")[1][-1] >= before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"curriculum": "yes-rate", "prompt": "games"}, "needs a set of at least 2 questions, and the prompt asks one question"),
        ({"curriculum": "steps:1,2,3", "prompt": "milestones"}, "at least 4 questions, and the prompt is a set of 3 questions"),
        (
            {"curriculum": "steps:20", "prompt": "milestones"},
            "question 2 and stays there, and the prompt is a set of 3 .*; give 2 values",
        ),
        ({"curriculum": "success:0.5", "prompt": "milestones"}, "comes to question 2 and stays there"),
    ],
)
def test_a_curriculum_that_does_not_come_to_every_question_is_refused_before_the_run_is_made(
    store: Store, settings: dict, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        create_run(small(scorer="embedded", **settings), store=store)
    assert store.runs() == []


def test_a_person_chooses_the_question_while_the_run_trains(store: Store, monkeypatch) -> None:
    def choose(step: int, *_: object) -> None:
        for at, value in ((400, 3), (800, "schedule")):
            if step >= at and at not in done:
                done[at] = store.request_change(1, "question", value)

    done: dict[int, int] = {}
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    run_id = train(small(**CURRICULUM), store=store, progress=choose).run_id
    assert [(change.name, change.status) for change in store.live_changes(run_id)] == [("question", "applied")] * 2
    steps, ruling = store.metrics(run_id, "scoring/question")
    assert set(ruling) == {3.0} and steps.min() > 400 and steps.max() <= 900


def test_a_question_that_is_not_there_is_rejected(store: Store, monkeypatch) -> None:
    def choose(step: int, *_: object) -> None:
        if step >= 200 and not done:
            done.append(store.request_change(1, "question", 4))

    done: list[int] = []
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    train(small(scorer="embedded", prompt="milestones", total_steps=400, eval_interval=400), store=store, progress=choose)
    [change] = store.live_changes(1)
    assert (change.status, change.error) == ("rejected", "question: got 4; allowed: 1 to 3")
