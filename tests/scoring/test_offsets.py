"""A threshold per question, kept with a model: which prompts get it, and what files are taken."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.doorkey import record_clips
from vlmrb.envs.rendering import MiniGridRenderer
from vlmrb.errors import ScorerSetupError
from vlmrb.scoring.embedded import embedded_folder
from vlmrb.scoring.hf import HFScorer
from vlmrb.scoring.offsets import LARGEST_OFFSET, OFFSETS_FILE, Offsets, load_offsets
from vlmrb.scoring.worker import make_request
from vlmrb.types import Prompt

PICK_UP, CLOSE, OPEN, LEFT, GOAL = (
    "Does the agent pick up a key?",
    "Does the agent close a door?",
    "Does the agent open a door?",
    "Is a door still open at the end?",
    "Does the agent reach the goal?",
)
OFFSETS = {PICK_UP: 1.0, CLOSE: 2.0, "Does the agent close a red door?": 2.5, OPEN: 3.0, LEFT: 4.0, GOAL: 5.0}
OTHERS = ("Does the agent pick up a ball?", "Is there an open door in the last frame?")


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (PICK_UP, 1.0),
        ("Do these frames show the agent picking up a key?", 1.0),
        ("This is a short clip of an agent at work. Was the key picked up? Answer yes or no.", 1.0),
        ('Does the agent accomplish the mission "pick up the key"?', 1.0),
        ("Does the agent pick up a ball?", 0.0),
        ("Is there a moment when the agent closes the door?", 2.0),
        ("Does the agent close the red door?", 2.5),
        ("Does the agent never close a door?", -2.0),
        ("Does the agent fail to close a door?", -2.0),
        ("Is it false that the agent never closes a door?", 2.0),
        ("Is the door still open at the end of this clip?", 4.0),
        ("Is there an open door in the last frame?", 0.0),  # what it asks was trained, and has no offset
        ("Does the agent open a closed door?", 0.0),  # may be either
        ("Does the agent pick up a key and open a door?", 0.0),
        ("Is there a key?", 0.0),
        ("", 0.0),
    ],
)
def test_a_prompt_gets_the_offset_of_the_question_that_it_asks(text: str, offset: float) -> None:
    assert Offsets(OFFSETS, OTHERS).of(text) == offset


def folder_with(tmp_path: Path, content: str | None) -> Path:
    tmp_path.mkdir(exist_ok=True)
    if content is not None:
        (tmp_path / OFFSETS_FILE).write_text(content, encoding="utf-8")
    return tmp_path


def test_a_folder_of_an_earlier_version_has_none(tmp_path: Path) -> None:
    assert load_offsets(folder_with(tmp_path, None)).of(CLOSE) == 0.0


@pytest.mark.parametrize("content", ["no JSON", "[]", "{}", '{"offsets": [1]}', '{"offsets": 1}', "null"])
def test_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    with pytest.raises(ScorerSetupError, match=r"offsets\.json cannot be read .*--record`, or delete it"):
        load_offsets(folder_with(tmp_path, content))


@pytest.mark.parametrize("offset", ["1e9", "-10.5", "1e999", "NaN", "true", '"1"', "null", "[]", "1" * 400])
def test_an_offset_out_of_range_is_refused_with_the_range(tmp_path: Path, offset: str) -> None:
    with pytest.raises(ScorerSetupError, match=r"'Does it\?' is .*it must be a number from -10 to 10"):
        load_offsets(folder_with(tmp_path, f'{{"clips": 5, "offsets": {{"Does it?": {offset}}}}}'))


def test_the_largest_offset_is_taken(tmp_path: Path) -> None:
    found = load_offsets(folder_with(tmp_path, json.dumps({"clips": 5, "offsets": {CLOSE: -LARGEST_OFFSET}})))
    assert found.of(CLOSE) == -LARGEST_OFFSET


def test_a_model_with_offsets_answers_shifted_and_has_another_revision(tmp_path: Path) -> None:
    plain, shifted = (shutil.copytree(embedded_folder(), tmp_path / name) for name in ("plain", "shifted"))
    (plain / OFFSETS_FILE).unlink(missing_ok=True)
    (shifted / OFFSETS_FILE).write_text(json.dumps({"clips": 5, "offsets": {CLOSE: 1.5}}), encoding="utf-8")
    [clip] = record_clips("DoorKey-5x5", 1, lambda _: 0.5, np.random.default_rng(0))
    prompt = Prompt("custom", 1, f"- {CLOSE}\n- Does the agent never close a door?\n- {OPEN}")
    answers, revisions = [], set()
    for folder in (plain, shifted):
        scorer = HFScorer(str(folder), scorer=f"hf:{folder}", device="cpu")
        [score] = scorer.score([make_request(clip, MiniGridRenderer(), scorer.frames_per_clip)], prompt)
        answers.append([math.log(p / (1 - p)) for p in score.answers])
        assert [yes - no for yes, no in score.logits] == pytest.approx(answers[-1], abs=1e-4)
        revisions.add(scorer.revision)
    difference = np.subtract(answers[1], answers[0])
    np.testing.assert_allclose(difference, [1.5, -1.5, 0.0], atol=1e-4)
    assert len(revisions) == 2
