"""The shipped embedded models: they score by default, and answer the questions they were trained on."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.doorkey import record_clips
from vlmrb.__main__ import main
from vlmrb.analysis.agreement import auc
from vlmrb.envs.rendering import MiniGridRenderer
from vlmrb.events import PROGRESS_KINDS, progress_by_kind, shows_progress
from vlmrb.pretrain.evaluation import ask
from vlmrb.pretrain.learning import Learner
from vlmrb.pretrain.questions import preset_texts
from vlmrb.pretrain.suites import SUITES
from vlmrb.scoring import ScorerOptions, load_presets, make_scorer, resolve_prompt
from vlmrb.scoring.embedded import embedded_folder, fit_to_pictures, picture_notice, pictures_of, prompt_notice
from vlmrb.scoring.loading import folder_fingerprint
from vlmrb.scoring.worker import make_request
from vlmrb.store import Store
from vlmrb.types import Mosaic, Prompt

SHORT = ["--total-steps", "1200", "--learning-starts", "2000", "--eval-episodes", "1", "--sync-scoring", "--quiet", "--json"]


@pytest.mark.parametrize("name", ["", "robots"])
def test_it_is_small_and_its_weights_are_safetensors(name) -> None:
    folder = embedded_folder(name)
    assert folder is not None
    files = [path for path in folder.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 16e6
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jinja", ".md"}


def test_it_is_the_default_scorer_of_a_run(tmp_path, capsys) -> None:
    store = str(tmp_path / "store.db")
    assert main(["train", "--env", "DoorKey-5x5", "--store", store, *SHORT]) == 0
    outcome = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert outcome["clips_scored"] == outcome["clips"] > 10
    with Store(store, create=False) as opened:
        scores = [clip.score for clip in opened.clips(1, limit=100)]
    assert {score.scorer for score in scores} == {"embedded"}
    assert all(score.revision.startswith("sha256:") and 0 < score.probability < 1 for score in scores)
    assert max(len(score.frame_indices) for score in scores) == SUITES["grids"].shape.frames


def test_frames_need_not_be_drawn(monkeypatch) -> None:
    """What is made of squares gives the same answers: of clips of any length, alone or in a batch, and with little memory."""
    renderer, rng = MiniGridRenderer(), np.random.default_rng(3)
    clips = [clip for side in (5, 6) for clip in record_clips(f"DoorKey-{side}x{side}", 6, lambda _: 0.5, rng)]
    clips.append(
        replace(clips[0], snapshots=clips[0].snapshots[:1], item_ids=clips[0].item_ids[:1], rewards=clips[0].rewards[:1])
    )
    drawn, mosaics = ([make_request(clip, renderer, 32, mosaics=each) for clip in clips] for each in (False, True))
    assert len({len(request.frames) for request in drawn}) > 2
    for one, other in zip(drawn, mosaics, strict=True):
        assert isinstance(other.frames, Mosaic) and other.frames.shape == one.frames.shape
        np.testing.assert_array_equal(np.asarray(other.frames), one.frames)
        np.testing.assert_array_equal(np.asarray(other.frames[[-1]]), one.frames[[-1]])
    scorer = make_scorer("embedded", ScorerOptions(device="cpu"))
    assert scorer.reads_mosaics
    prompt = Prompt("custom", 1, "- Does the agent open a door?\n- Does the agent pick up a key?")
    expected = np.array([score.logits for score in scorer.score(drawn, prompt)])
    assert np.array([score.logits for score in scorer.score(mosaics, prompt)]) == pytest.approx(expected, abs=2e-3)
    monkeypatch.setattr("vlmrb.scoring.patch_memory.MOST", 40)  # too few for all at once, and soon full
    assert np.array([score.logits for score in scorer.score(mosaics, prompt)]) == pytest.approx(expected, abs=2e-3)
    alone = np.array([scorer.score([request], prompt)[0].logits for request in mosaics])
    assert alone == pytest.approx(expected, abs=2e-3)


def test_it_recognizes_progress_in_environments_it_has_never_seen(monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.pretrain.grids.exam._LEARNERS", (Learner("DoorKey-5x5", 1_000),))
    exam = SUITES["grids"].make_exam()
    items = exam.held_out(100, seed=7)
    scorer = make_scorer("embedded", ScorerOptions(device="cpu"))
    truths = [bool(exam.catalogue.answer(exam.questions[0].matter, item.truth)) for item in items]
    for question, answers in ask(scorer, exam, items, preset_texts()).items():
        score = auc(answers, truths)
        assert score is not None
        assert score > 0.93, question


def test_each_of_the_milestones_is_told_from_the_others() -> None:
    rng = np.random.default_rng(3)
    clips = record_clips("DoorKey-8x8", 60, lambda number: (0.2, 0.5, 0.8)[number % 3], rng)
    renderer, scorer = MiniGridRenderer(), make_scorer("embedded", ScorerOptions(device="cpu"))
    requests = [make_request(clip, renderer, scorer.frames_per_clip) for clip in clips]
    answers = np.array([score.answers for score in scorer.score(requests, resolve_prompt("milestones"))])
    truths = np.array([progress_by_kind(clip.events) for clip in clips])
    assert answers.shape == (60, 3)
    for number, kind in enumerate(("picked_up key", "opened door", "goal_reached")):
        score = auc(answers[:, number].tolist(), truths[:, PROGRESS_KINDS.index(kind)].tolist())
        assert score is not None
        assert score > 0.93, kind


@pytest.mark.slow
def test_robot_clips_are_scored_by_the_robot_model_and_correctly(tmp_path, capsys) -> None:
    store = str(tmp_path / "store.db")
    robot = [
        "--env",
        "scene-singletask-task1-v0",
        "--algo",
        "sac",
        "--n-envs",
        "2",
        "--play-steps",
        "1000",
        "--total-steps",
        "1000",
    ]
    assert main(["train", *SHORT[:-1], *robot, "--store", store]) == 0
    assert "warning" not in capsys.readouterr().err
    with Store(store, create=False) as opened:
        assert opened.run(1).config["scorer"] == "embedded:robots"
        clips = opened.clips(1, limit=100)
    scores = [clip.score for clip in clips]
    assert {score.scorer for score in scores} == {"embedded:robots"}
    assert max(len(score.frame_indices) for score in scores) == SUITES["robots"].shape.frames
    score = auc([score.probability for score in scores], [shows_progress(clip.events) for clip in clips])
    assert score is not None
    assert score > 0.85


@pytest.mark.slow
def test_stored_robot_clips_are_rescored_by_the_robot_model(tmp_path, capsys) -> None:
    store = str(tmp_path / "store.db")
    robot = ["--env", "scene-singletask-task1-v0", "--algo", "sac", "--n-envs", "1", "--replay", "vlm", "--scorer", "oracle"]
    assert main(["train", *robot, "--store", store, *SHORT[:-1], "--total-steps", "96"]) == 0
    capsys.readouterr()
    assert main(["score", "1", "--store", store, "--limit", "2", "--quiet"]) == 0
    assert "embedded:robots" in capsys.readouterr().out
    assert main(["trial", "1", "--store", store, "--sample", "2", "--scorer", "embedded", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trial"]["scorer"] == "embedded:robots"


@pytest.mark.slow
def test_pictures_it_has_never_seen_cause_a_warning(tmp_path, capsys) -> None:
    store = str(tmp_path / "store.db")
    assert main(["train", "--env", "CartPole-v1", "--store", store, *SHORT[:-1], "--total-steps", "200"]) == 0
    assert "was trained only on pictures of MiniGrid" in capsys.readouterr().err
    assert main(["score", "1", "--store", store, "--limit", "2", "--quiet"]) == 0
    assert "was trained only on pictures of MiniGrid" in capsys.readouterr().err


@pytest.mark.parametrize(
    "task", ["scene-singletask-task4-v0", "cube-double-play-singletask-v0", "puzzle-4x5-singletask-task2-v0"]
)
def test_a_robot_is_recognized_by_its_environments_name(task) -> None:
    spec = {"kind": pictures_of(task)}
    assert fit_to_pictures("embedded", spec) == "embedded:robots"
    assert fit_to_pictures("oracle", spec) == "oracle"
    assert "does not know" not in prompt_notice(
        fit_to_pictures("embedded", spec), Prompt("custom", 1, "Does the robot lift a cube?")
    )
    grid = fit_to_pictures("embedded", {"kind": pictures_of("DoorKey-5x5")})
    assert "'cube'" in prompt_notice(grid, Prompt("custom", 1, "Does the robot lift a cube?"))


def test_each_model_has_a_warning_for_the_other_ones_pictures() -> None:
    assert picture_notice("embedded", {"kind": "minigrid"}) == picture_notice("embedded:robots", {"kind": "ogbench"}) == ""
    assert "only on pictures of OGBench's robot" in picture_notice("embedded:robots", {"kind": "minigrid"})
    assert "only on pictures of MiniGrid" in picture_notice("embedded", {"kind": "frames"})
    assert "only on pictures of OGBench's robot" in picture_notice(f"hf:{embedded_folder('robots')}", {"kind": "frames"})
    assert embedded_folder("other") is None


@pytest.mark.parametrize(
    "question",
    [
        "Does the clip end with no important event?", "Is it the case that NOTHING important happens?", "Doesn’t the agent move?",
        "Does the agent pick up neither a key nor a ball?", "Is there no moment of progress? Answer yes or no.",
        "Does the agent fail to pick up a key?", "Is it false that the agent picks up a key?",
    ],
)  # fmt: skip
def test_a_negation_causes_a_warning_that_names_the_plain_question(question: str) -> None:
    assert "and read its no" in prompt_notice("embedded", Prompt("custom", 1, question))


@pytest.mark.parametrize("question", ["Is there any frame in which it moves?", "Does one frame show a key?"])
def test_a_single_frame_that_is_not_the_first_or_the_last_causes_a_warning(question: str) -> None:
    assert "knows a single 'frame' only as the first or the last one" in prompt_notice("embedded", Prompt("custom", 1, question))
    for plain in (
        "Is there a key in the last frame?",
        "Is there an open door in the First frame?",
        "Do these frames show a key?",
        "Is there a frame where the agent reaches the goal?",
    ):
        assert "'frame'" not in prompt_notice("embedded", Prompt("custom", 1, plain))


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Does the agent open a door and reach the goal?", "and"),
        ("Look at the frames. Does the agent pick up a key OR a ball? Answer yes or no.", "OR"),
        ("- Does it pick up a key?\n- Does it pick up and keep a key, or drop it?", "or"),
    ],
)
def test_a_question_about_several_things_causes_a_warning_that_names_sets(question: str, word: str) -> None:
    notice = prompt_notice("embedded", Prompt("custom", 1, question))
    assert f"may misread {word!r} in {'question 2' if question.startswith('-') else 'the prompt'}. Ask a set" in notice
    for plain in (
        "Does the agent pick up and keep a key?",
        "These frames show keys and doors. Does the agent pick up a key?",
        "all of\n- Does the agent pick up a key?\n- Does the agent reach the goal?",
        "Does the agent pick up a key and still hold it at the end?",
    ):
        assert "Ask a set" not in prompt_notice("embedded", Prompt("custom", 1, plain))


def test_yes_or_no_is_no_negation_and_the_presets_have_none() -> None:
    for text in ("Does the agent open a door? Answer yes or no.", "Does the agent open a door? Yes, no?"):
        assert prompt_notice("embedded", Prompt("custom", 1, text)) == ""
    for name in load_presets():
        notice = prompt_notice("embedded", resolve_prompt(name))
        assert "read its no" not in notice and "'frame'" not in notice and "Ask a set" not in notice


@pytest.mark.parametrize(
    "question", ["Does the agent close the red door?", "- Does the agent open a door?\n- Is a door close to it?"]
)
def test_a_question_that_the_model_answers_less_well_gets_a_notice_with_the_figures(question: str, tmp_path: Path) -> None:
    folder = shutil.copytree(embedded_folder(), tmp_path / "model")
    scorer, prompt = f"hf:{folder}", Prompt("custom", 1, question)
    measured, plain = folder / "measured.json", {"Does the agent open a door?": {"precision": 0.95, "recall": 0.95}}
    weak = {"Does the agent close a door?": {"precision": 0.64, "recall": 0.91}}
    for content, expected in (
        (weak | plain, "64% of its yes are right and it finds 91%"),
        (plain, ""),
        ({"Does the agent close a door?": {"precision": None, "recall": 0.5}}, ""),
        ({"Does the agent close a door?": 0.5}, ""),
        ([], ""),
    ):
        before = folder_fingerprint(folder)
        measured.write_text(json.dumps(content), encoding="utf-8")
        notice = prompt_notice(scorer, prompt)
        assert expected in notice and bool(notice) == bool(expected)
        assert folder_fingerprint(folder) == before  # what is known about a model does not change it
    measured.write_text("no JSON", encoding="utf-8")
    assert prompt_notice(scorer, prompt) == ""


def test_what_the_shipped_models_are_weak_at_is_known_and_no_preset_asks_it() -> None:
    for name in ("", "robots"):
        measured = json.loads((embedded_folder(name) / "measured.json").read_text(encoding="utf-8"))
        assert len(measured) >= 10 and "Does this clip show meaningful progress?" in measured
    for name in ("games", "manipulation", "progress", "milestones"):
        assert "not at its best" not in prompt_notice("embedded", resolve_prompt(name))


@pytest.mark.timeout(60)  # a pipe would be waited for
@pytest.mark.parametrize("name", ["questions.json", "tokenizer.json"])
def test_a_notice_waits_for_no_pipe(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(embedded_folder(), tmp_path / "model")
    assert "does not know" in prompt_notice(f"hf:{folder}", Prompt("custom", 1, "Is the zebra striped?"))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert prompt_notice(f"hf:{folder}", Prompt("custom", 1, "Is the zebra striped?")) == ""
