"""The model before training: a standard folder, and questions packed behind one clip that read as if each stood alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmrb.__main__ import main
from vlmrb.errors import ScorerSetupError
from vlmrb.pretrain.batches import PackedBatch, pack
from vlmrb.pretrain.learner import Learner
from vlmrb.pretrain.model import UNKNOWN, ModelShape, build_model, build_processor, build_tokenizer, save_folder
from vlmrb.pretrain.questions import Matter, Question, plain_questions, vocabulary
from vlmrb.pretrain.worlds import Scene, SceneMaker
from vlmrb.scoring.embedded import prompt_notice
from vlmrb.scoring.hf import HFScorer
from vlmrb.scoring.loading import load_model
from vlmrb.store import Store
from vlmrb.types import Prompt, ScoringRequest

SHAPE = ModelShape(vision_width=32, vision_layers=1, text_width=32, text_layers=2, text_heads=2)
PICK = "Does the agent pick up a key?"
OPEN = "this is a short clip of an agent at work. is the door opened by the player? answer yes or no."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    processor = build_processor(vocabulary(), SHAPE)
    made = tmp_path_factory.mktemp("model")
    save_folder(made, build_model(len(processor.tokenizer), SHAPE), processor, plain_questions())
    return made


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    maker = SceneMaker(vary=False)
    long = maker.balanced((0, 2), 3, 5)
    return [*long, *maker.balanced((0, 3), 1, 2)]


def test_the_folder_is_a_standard_one_of_safetensors_alone(folder) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "generation_config.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]


def test_the_full_size_fits_into_fifteen_megabytes() -> None:
    model = build_model(300, ModelShape())
    assert 1e6 < sum(weight.numel() for weight in model.parameters()) < 15e6 / 4


def test_it_loads_without_torchvision(folder) -> None:
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from vlmrb.scoring.hf import HFScorer\n"
        f"print(HFScorer({str(folder)!r}, scorer='hf:x').input)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert outcome.stdout.strip() == "images", outcome.stderr


def test_packed_questions_get_the_answers_that_the_back_end_gives_to_each_alone(folder, scenes) -> None:
    loaded = load_model(str(folder), device="cpu")
    tokenizer = loaded.processor.tokenizer
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    learner = Learner(loaded.model, SHAPE, yes, no).eval()
    asked = [
        [Question(text, True, Matter("progress")) for text in texts]
        for texts in ([PICK, OPEN], [OPEN], [OPEN, PICK, PICK], [PICK])
    ]
    batch = pack(scenes, asked, 5, tokenizer)
    packed = _yes_probabilities(learner, batch, yes, no)

    scorer = HFScorer(str(folder), scorer="hf:x", device="cpu")
    for row, (scene, questions) in enumerate(zip(scenes, asked, strict=True)):
        # the frames have the model's size already, so its processor leaves them as they are
        request = ScoringRequest(scene.clip, scene.frames, tuple(range(len(scene.frames))))
        for number, question in enumerate(questions):
            [score] = scorer.score([request], Prompt("custom", 1, question.text))
            assert packed[row][number] == pytest.approx(score.probability, abs=2e-5)


def _yes_probabilities(learner: Learner, batch: PackedBatch, yes: int, no: int) -> np.ndarray:
    device = torch.device("cpu")
    with torch.inference_mode():
        present = torch.from_numpy(batch.present)
        frames = torch.from_numpy(batch.frames)[present]
        pixels = frames.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        patches = learner.model.model.vision_model(pixel_values=pixels).last_hidden_state
        hidden, prefix = learner._read(patches, present, batch, device)
        states = torch.take_along_dim(hidden[-1][:, prefix:], torch.from_numpy(batch.answer_at)[..., None], dim=1)
        logits = learner.model.lm_head(states)[..., [yes, no]]
    return logits.softmax(-1)[..., 0].numpy()


def test_some_heads_begin_by_looking_at_the_same_place_in_the_frame_before() -> None:
    shape = ModelShape()
    torch.manual_seed(0)
    text = build_model(300, shape).model.text_model
    text.config._attn_implementation = "eager"
    inputs = torch.randn(1, 4 * shape.tokens_per_frame, shape.text_width) * 0.02
    looked = text(inputs_embeds=inputs, output_attentions=True).attentions[0][0, 0]  # [T, T]
    for at in range(shape.tokens_per_frame, len(looked)):
        assert looked[at].argmax() == at - shape.tokens_per_frame
        assert looked[at].max() > 0.5


def test_words_outside_the_vocabulary_become_one_token_and_case_does_not_matter() -> None:
    tokenizer = build_tokenizer(("agent", "does", "key", "the", "?"))
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("Does the KEY vanish?")) == ["does", "the", "key", UNKNOWN, "?"]


def test_a_prompt_with_unknown_words_gets_a_notice_with_the_nearest_question(folder) -> None:
    notice = prompt_notice(f"hf:{folder}", "Does the wizard pick up a key?")
    assert "'wizard'" in notice
    assert PICK in notice
    assert prompt_notice(f"hf:{folder}", PICK) == ""
    assert prompt_notice("oracle", "Does the wizard pick up a key?") == ""
    assert prompt_notice("hf:no/such-model", "Does the wizard pick up a key?") == ""


def test_a_run_whose_prompt_has_unknown_words_says_so_and_still_scores(folder, tmp_path, capsys) -> None:
    store = str(tmp_path / "runs.db")
    options = ["--env", "DoorKey-5x5", "--sync-scoring", "--total-steps", "64", "--learning-starts", "60", "--batch-size", "8"]
    options += ["--eval-episodes", "1", "--hidden-size", "8", "--scorer-device", "cpu"]
    prompt = "Does the wizard pick up a key?"
    assert main(["train", "--store", store, "--quiet", "--scorer", f"hf:{folder}", "--prompt", prompt, *options]) == 0
    with Store(store, create=False) as opened:
        run = opened.run(1)
        assert "'wizard'" in str(run.counters["prompt_notice"])
        assert run.error == ""
        scores = [clip.score for clip in opened.clips(1)]
    assert scores
    assert all(score is not None and score.probability is not None for score in scores)
    capsys.readouterr()
    assert main(["score", "1", "--store", store, "--quiet", "--scorer", f"hf:{folder}", "--prompt", prompt]) == 0
    assert "does not know this word of the prompt" in capsys.readouterr().err


def test_the_embedded_scorer_is_the_shipped_folder_or_a_clear_error(folder, monkeypatch) -> None:
    from vlmrb.scoring import ScorerOptions, backends, check_scorer, make_scorer

    monkeypatch.setattr(backends, "embedded_folder", lambda: folder)
    check_scorer("embedded")
    scorer = make_scorer("embedded", ScorerOptions(device="cpu"))
    assert isinstance(scorer, HFScorer)
    assert scorer.model == str(folder)
    monkeypatch.setattr(backends, "embedded_folder", lambda: None)
    with pytest.raises(ScorerSetupError, match="does not ship"):
        check_scorer("embedded")
    with pytest.raises(ScorerSetupError, match="there is no"):
        check_scorer("embedded:other")
