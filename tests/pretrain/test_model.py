"""The model before training: a standard folder, and questions packed after one clip that are read as if each stood alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmrb.__main__ import main
from vlmrb.envs.rendering import MiniGridRenderer
from vlmrb.errors import ScorerSetupError
from vlmrb.pretrain.batches import pack
from vlmrb.pretrain.grids.catalogue import CATALOGUE
from vlmrb.pretrain.grids.eye import GridEye
from vlmrb.pretrain.grids.source import lay_out
from vlmrb.pretrain.grids.tiles import TilePictures
from vlmrb.pretrain.grids.worlds import Scene, SceneMaker
from vlmrb.pretrain.learner import Learner
from vlmrb.pretrain.model import UNKNOWN, ModelShape, build_model, build_tokenizer, save_folder, stretch_frames
from vlmrb.pretrain.questions import Matter, Question
from vlmrb.pretrain.sampling import frame_indices
from vlmrb.scoring.embedded import prompt_notice
from vlmrb.scoring.hf import HFScorer
from vlmrb.store import Store
from vlmrb.types import Prompt, ScoringRequest

SHAPE = ModelShape(frames=6, vision_width=32, vision_layers=1, text_width=32, text_layers=2, text_heads=2)
PICK = "Does the agent pick up a key?"
OPEN = "this is a short clip of an agent at work. is the door opened by the player? answer yes or no."


@pytest.fixture(scope="module")
def learner() -> Learner:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(CATALOGUE.vocabulary())
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    eye = GridEye(SHAPE.frames, SHAPE.vision_width, TilePictures())
    return Learner(build_model(len(tokenizer), SHAPE), SHAPE, yes, no, eye, CATALOGUE.rates).eval()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    maker = SceneMaker(vary=False)
    long = maker.balanced((0, 2), 3, SHAPE.frames)
    return [*long, *maker.balanced((0, 3), 1, 2)]


@pytest.fixture(scope="module")
def packed(learner, scenes) -> tuple[list[list[Question]], np.ndarray]:
    """Questions and the P(yes) that they get during training."""
    texts = ([PICK, OPEN], [OPEN], [OPEN, PICK, PICK], [PICK])
    asked = [[Question(text, True, Matter("progress")) for text in row] for row in texts]
    batch = pack(lay_out(scenes, SHAPE.frames), asked, CATALOGUE, build_tokenizer(CATALOGUE.vocabulary()))
    device = torch.device("cpu")
    with torch.inference_mode():
        logits = learner.answer_logits(learner.look(batch, device)[1], batch, device)
    no, yes = learner._answer_ids
    return asked, (logits[:, yes] - logits[:, no]).sigmoid().numpy()


@pytest.fixture(scope="module")
def folder(learner, packed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")  # after `packed`, because a finished model cannot be trained
    save_folder(made, learner.finish(), build_tokenizer(CATALOGUE.vocabulary()), SHAPE, CATALOGUE.plain_questions())
    return made


def test_the_folder_is_a_standard_one_of_safetensors_alone(folder) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "generation_config.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]


def test_the_full_size_fits_into_fifteen_megabytes_in_half_precision() -> None:
    model = build_model(300, ModelShape())
    assert 1e6 < sum(weight.numel() for weight in model.parameters()) < 15e6 / 2


def test_it_loads_without_torchvision(folder) -> None:
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from vlmrb.scoring.hf import HFScorer\n"
        f"print(HFScorer({str(folder)!r}, scorer='hf:x').input)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert outcome.stdout.strip() == "video", outcome.stderr


def test_packed_questions_get_the_answers_that_the_back_end_gives_each_of_them_alone(folder, packed, scenes) -> None:
    asked, expected = packed
    scorer = HFScorer(str(folder), scorer="hf:x", device="cpu")
    renderer = MiniGridRenderer()
    given = []
    for scene, questions in zip(scenes, asked, strict=True):
        indices = frame_indices(len(scene.clip), len(scene.tiles))
        request = ScoringRequest(scene.clip, renderer.render(scene.clip.snapshots[indices]), tuple(indices))
        given += [scorer.score([request], Prompt("custom", 1, question.text))[0].probability for question in questions]
    assert given == pytest.approx(expected, abs=2e-5)


def test_tiles_of_every_world_have_coordinates_that_give_their_pixels_back(scenes) -> None:
    pictures, renderer = TilePictures(), MiniGridRenderer()
    keys = np.unique(np.concatenate([scene.tiles.ravel() for scene in scenes]))
    codes = pictures.codes[keys]
    assert not np.isnan(codes).any()
    pixels = renderer.tiles(keys).astype(np.float32) / 127.5 - 1.0  # [K, 32, 32, 3]
    weights = np.random.default_rng(0).normal(size=(pictures.components, 2, 5)).astype(np.float32)
    by_pixels = np.einsum("kyxc,dcfyx->kfd", pixels, pictures.kernel(weights))
    assert np.allclose(by_pixels, np.einsum("kc,cfd->kfd", codes, weights), atol=1e-3)
    assert np.allclose(pictures.weights(pictures.kernel(weights)), weights, atol=1e-3)


def test_more_frames_take_over_the_weights_of_fewer_so_that_still_clips_look_the_same() -> None:
    kernel = np.random.default_rng(0).normal(size=(2, 3, 24, 1, 1))
    stretched = stretch_frames(kernel, 32)
    assert stretched.shape == (2, 3, 32, 1, 1)
    np.testing.assert_allclose(stretched.sum(2), kernel.sum(2))
    np.testing.assert_allclose(stretched[:, :, [0, -1]], kernel[:, :, [0, -1]])
    assert stretch_frames(kernel, 24) is kernel


def test_words_outside_the_vocabulary_become_one_token_and_case_does_not_matter() -> None:
    tokenizer = build_tokenizer(("agent", "does", "key", "the", "?"))
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("Does the KEY vanish?")) == ["does", "the", "key", UNKNOWN, "?"]


def test_a_prompt_with_unknown_words_gets_a_notice_with_the_nearest_question(folder) -> None:
    notice = prompt_notice(f"hf:{folder}", Prompt("custom", 1, "Does the wizard pick up a key?"))
    assert "'wizard'" in notice
    assert PICK in notice
    assert prompt_notice(f"hf:{folder}", Prompt("custom", 1, PICK)) == ""
    assert prompt_notice("oracle", Prompt("custom", 1, "Does the wizard pick up a key?")) == ""
    assert prompt_notice("hf:no/such-model", Prompt("custom", 1, "Does the wizard pick up a key?")) == ""


def test_a_notice_names_the_questions_of_a_set_that_have_unknown_words(folder) -> None:
    notice = prompt_notice(
        f"hf:{folder}", Prompt("custom", 1, f"- {PICK}\n- Does the wizard pick up a key?\n- {PICK} Abracadabra!")
    )
    assert "this word of question 2 and ignores it: 'wizard'" in notice
    assert "this word of question 3 and ignores it: 'abracadabra'" in notice
    assert "question 1" not in notice
    assert prompt_notice(f"hf:{folder}", Prompt("custom", 1, f"- {PICK}\n- {PICK}")) == ""


def test_a_run_whose_prompt_has_unknown_words_says_so_and_still_scores(folder, tmp_path, capsys) -> None:
    store = str(tmp_path / "runs.db")
    options = ["--env", "DoorKey-5x5", "--sync-scoring", "--total-steps", "64", "--learning-starts", "60", "--batch-size", "8"]
    options += ["--eval-episodes", "1", "--hidden-size", "8", "--scorer-device", "cpu"]
    prompt = "Does the wizard pick up a key?"
    assert main(["train", "--store", store, "--quiet", "--scorer", f"hf:{folder}", "--prompt", prompt, *options]) == 0
    with Store(store, create=False) as opened:
        run = opened.run(1)
        assert "'wizard'" in run.counters.prompt_notice
        assert run.error == ""
        scores = [clip.score for clip in opened.clips(1)]
    assert scores
    assert all(score is not None and score.probability is not None for score in scores)
    capsys.readouterr()
    assert main(["score", "1", "--store", store, "--quiet", "--scorer", f"hf:{folder}", "--prompt", prompt]) == 0
    assert "does not know this word of the prompt" in capsys.readouterr().err


def test_the_embedded_scorer_is_the_shipped_folder_or_a_clear_error(folder, monkeypatch) -> None:
    from vlmrb.scoring import ScorerOptions, backends, check_scorer, make_scorer

    monkeypatch.setattr(backends, "embedded_folder", lambda name="": folder)
    check_scorer("embedded")
    scorer = make_scorer("embedded", ScorerOptions(device="cpu"))
    assert isinstance(scorer, HFScorer)
    assert scorer.model == str(folder)
    monkeypatch.setattr(backends, "embedded_folder", lambda name="": None)
    with pytest.raises(ScorerSetupError, match="is not installed"):
        check_scorer("embedded")
    with pytest.raises(ScorerSetupError, match="is unknown"):
        check_scorer("embedded:other")
