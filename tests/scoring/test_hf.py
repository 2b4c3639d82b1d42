"""The hf: back end on tiny checkpoints of real architectures."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.waiting import wait_until
from vlmrb.errors import ScorerError, ScorerSetupError
from vlmrb.scoring import ScoringWorker, hf, loading, one_look
from vlmrb.types import Prompt

PROMPT = Prompt("custom", 3, "Does the clip show a key being picked up? Answer with Yes or No.", prompt_id=17)


QUESTIONS = ("Is a key picked up?", "Does the clip show a yes?", "No key?")
SET = Prompt("custom", 1, "".join(f"- {question}\n" for question in QUESTIONS))


@pytest.fixture(params=["idefics3_folder", "llava_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def variant(idefics3_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny Idefics3 to damage."""
    return shutil.copytree(idefics3_folder, tmp_path / "variant")


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_probability_is_the_mass_of_yes_in_the_models_next_token_distribution(folder, scorer_of, make_request) -> None:
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    scorer, request = scorer_of(folder), make_request(1, frames=3)
    [score] = scorer.score([request], PROMPT)

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    text = f"<s>User:{'<image>' * 3} {PROMPT.text}Assistant:"
    options = {"do_image_splitting": False} if "idefics3" in str(folder) else {}
    inputs = processor(
        text=[text],
        images=[[Image.fromarray(frame) for frame in request.frames]],
        add_special_tokens=False,
        return_tensors="pt",
        **options,
    )
    inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        mass = model(**inputs).logits[0, -1].double().softmax(-1)
    variants = {
        word: [
            processor.tokenizer.convert_tokens_to_ids(space + case)
            for case in (word, word.lower(), word.upper())
            for space in ("", "Ġ")
            if space + case in processor.tokenizer.get_vocab()
        ]
        for word in ("Yes", "No")
    }
    yes, no = (float(mass[variants[word]].sum()) for word in ("Yes", "No"))
    assert len(variants["Yes"]) >= 4
    assert len(variants["No"]) >= 4
    assert score.probability == pytest.approx(yes / (yes + no), abs=1e-6)
    assert score.yes_logit - score.no_logit == pytest.approx(np.log(yes / no), abs=1e-5)


def test_a_batch_of_unequal_clips_scores_like_single_clips(folder, scorer_of, make_request) -> None:
    scorer = scorer_of(folder)
    requests = [make_request(1), make_request(2, frames=3), make_request(3), make_request(4, frames=1), make_request(5, size=64)]
    together = scorer.score(requests, PROMPT)
    alone = [scorer.score([request], PROMPT)[0] for request in requests]
    logits = np.array([score.yes_logit for score in together])
    np.testing.assert_allclose(logits, [score.yes_logit for score in alone], atol=1e-6)
    np.testing.assert_allclose([score.no_logit for score in together], [score.no_logit for score in alone], atol=1e-6)
    assert np.diff(np.sort(logits)).min() > 1e-4, "the clips must differ for this to prove anything"
    assert [score.clip_id for score in together] == [1, 2, 3, 4, 5]


def test_a_batch_is_one_forward_pass_that_computes_only_the_last_logits(folder, scorer_of, make_request) -> None:
    scorer = scorer_of(folder)
    shapes = []
    scorer._network.register_forward_hook(lambda module, args, output: shapes.append(tuple(output.logits.shape)))
    scorer.score([make_request(index) for index in range(4)], PROMPT)
    assert shapes == [(4, 1, 512)]


def test_each_question_of_a_set_is_answered_as_if_asked_alone_and_the_frames_are_seen_once(
    folder, scorer_of, make_request
) -> None:
    scorer, requests = scorer_of(folder), [make_request(1), make_request(2, frames=3)]
    alone = [scorer.score(requests, Prompt("custom", 1, question)) for question in QUESTIONS]
    looks = []
    for name, module in scorer._network.named_modules():
        if name.endswith(("vision_model", "vision_tower")):
            module.register_forward_hook(lambda *args: looks.append(1))
    together = scorer.score(requests, SET)
    assert len(looks) == 1
    for index, score in enumerate(together):
        answers = [scores[index].probability for scores in alone]
        assert len(set(answers)) == 3, "the questions must differ for this to prove anything"
        assert score.answers == pytest.approx(answers, abs=1e-6)
        deciding = alone[int(np.argmax(answers))][index]
        assert score.probability == max(score.answers)
        assert (score.yes_logit, score.no_logit) == pytest.approx((deciding.yes_logit, deciding.no_logit), abs=1e-6)
    assert scorer.score(requests, Prompt("custom", 1, QUESTIONS[0])) == alone[0], "the next clips are seen anew"
    assert scorer.score([make_request(3)], SET)[0].answers != together[0].answers


def tokens_read(scorer) -> list[int]:
    """How many tokens each later pass through the text model reads, as it happens."""
    lengths: list[int] = []
    text_model = next(
        module for name, module in scorer._network.named_modules() if name.endswith(("text_model", "language_model"))
    )
    text_model.register_forward_hook(
        lambda module, args, given, output: lengths.append(output.last_hidden_state.shape[1]), with_kwargs=True
    )
    return lengths


def test_what_comes_before_the_questions_of_a_set_is_read_once(folder, scorer_of, make_request) -> None:
    scorer, requests = scorer_of(folder), [make_request(1), make_request(2)]
    alone = [scorer.score(requests, Prompt("custom", 1, question)) for question in QUESTIONS]
    lengths = tokens_read(scorer)
    first, again = scorer.score(requests, SET), scorer.score(requests, SET)
    assert len(lengths) == 9, "the first batch is read both ways, to compare them"
    assert lengths[6] == lengths[3] and max(lengths[7:]) < 0.5 * lengths[6]
    for index in range(2):
        assert first[index].answers == again[index].answers, "whether or not it is the first batch"
        assert first[index].answers == pytest.approx([scores[index].probability for scores in alone], abs=1e-6)


def test_a_model_that_answers_otherwise_after_a_shared_beginning_reads_each_question_from_its_start(
    folder, scorer_of, make_request, monkeypatch
) -> None:
    scorer, request = scorer_of(folder), make_request(1)
    alone = [scorer.score([request], Prompt("custom", 1, question))[0].probability for question in QUESTIONS]
    right = one_look._shared_tokens
    monkeypatch.setattr(one_look, "_shared_tokens", lambda prompts: right(prompts) + 1)
    for _ in range(2):
        [score] = scorer.score([request], SET)
        assert score.answers == pytest.approx(alone, abs=1e-6)
    assert not scorer._shared.works


def test_a_model_without_a_method_for_its_visual_features_answers_the_same(
    idefics3_folder, scorer_of, make_request, monkeypatch
) -> None:
    scorer, request = scorer_of(idefics3_folder), make_request(1)
    [expected] = scorer.score([request], SET)
    monkeypatch.setattr(one_look, "_SEE", ())
    assert scorer.score([request], SET)[0].answers == pytest.approx(expected.answers, abs=1e-6)


@pytest.mark.parametrize("name", ["idefics3_folder", "llava_folder"])
def test_a_model_whose_answer_does_not_depend_on_what_it_is_shown_is_refused(name: str, request, tmp_path, scorer_of) -> None:
    from safetensors.torch import load_file, save_file

    blind = shutil.copytree(request.getfixturevalue(name), tmp_path / "blind")
    weights = load_file(blind / "model.safetensors")
    between = [key for key in weights if "connector" in key or "projector" in key]  # from the vision tower to the text model
    assert between
    for key in between:
        weights[key].zero_()
    save_file(weights, blind / "model.safetensors", {"format": "pt"})
    with pytest.raises(ScorerSetupError, match="logits are the same whatever it is shown"):
        scorer_of(blind)


def test_a_score_records_how_it_was_made(idefics3_folder, scorer_of, make_request) -> None:
    scorer = scorer_of(idefics3_folder, threshold=0.9)
    [score] = scorer.score([make_request(9)], PROMPT)
    assert (score.clip_id, score.prompt_id, score.threshold, score.error) == (9, 17, 0.9, "")
    assert (score.scorer, score.model) == (f"hf:{idefics3_folder}", str(idefics3_folder))
    assert score.revision.startswith("sha256:")
    assert score.frame_indices == (0, 4, 9, 13, 18, 22, 27, 31)
    assert score.label is False
    assert scorer.input == "images"
    assert scorer.score([], PROMPT) == []


def test_auto_means_float32_on_a_cpu_and_bfloat16_comes_close(folder, scorer_of, make_request) -> None:
    import torch

    exact, rough = scorer_of(folder, device="cpu"), scorer_of(folder, device="cpu", dtype="bfloat16")
    assert (exact.dtype, rough.dtype, exact.device.type) == (torch.float32, torch.bfloat16, "cpu")
    assert {parameter.dtype for parameter in rough._network.parameters()} == {torch.bfloat16}
    requests = [make_request(index) for index in range(3)]
    for first, second in zip(exact.score(requests, PROMPT), rough.score(requests, PROMPT), strict=True):
        assert second.probability == pytest.approx(first.probability, abs=0.02)


def test_auto_picks_bfloat16_on_a_gpu_that_supports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for has_bfloat16, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has_bfloat16: has)
        assert loading._pick_dtype("auto", torch.device("cuda")) == expected


def test_control_tokens_in_a_prompt_are_plain_text(idefics3_folder, scorer_of, make_request) -> None:
    scorer, request = scorer_of(idefics3_folder), make_request(1)
    [score] = scorer.score([request], Prompt("custom", 1, "Is <image> </s> <fake_token_around_image> a <s> key?"))
    assert score.error == ""
    ids = scorer._inputs([request], scorer._neutral("Is <image> </s> a key?"))["input_ids"][0].tolist()
    assert ids.count(scorer._processor.image_token_id) == 8 * 4, "only the frames' own placeholders"
    assert scorer._processor.tokenizer.eos_token_id not in ids


def test_non_finite_logits_make_only_their_clip_unknown(idefics3_folder, scorer_of, make_request) -> None:
    scorer = scorer_of(idefics3_folder)
    requests = [make_request(index) for index in range(3)]
    before = scorer.score(requests, PROMPT)

    def spoil(module: Any, args: Any, output: Any) -> Any:
        output.logits[1] = float("nan")
        return output

    scorer._network.register_forward_hook(spoil)
    after = scorer.score(requests, PROMPT)
    assert (after[1].probability, after[1].label, after[1].yes_logit) == (None, None, None)
    assert "not finite" in after[1].error
    assert [after[0], after[2]] == [before[0], before[2]]


def test_logits_that_are_not_finite_anywhere_make_their_clip_unknown(idefics3_folder, scorer_of, make_request) -> None:
    scorer = scorer_of(idefics3_folder)
    other = next(number for number in range(3, 400) if number not in scorer._tokens.yes + scorer._tokens.no)

    def spoil(module: Any, args: Any, output: Any) -> Any:
        output.logits[0, ..., other] = float("inf")
        output.logits[1, ..., other] = float("-inf")
        return output

    scorer._network.register_forward_hook(spoil)
    spoilt, masked = scorer.score([make_request(index) for index in range(2)], PROMPT)
    assert (spoilt.probability, masked.error) == (None, "")
    assert "not finite" in spoilt.error


@pytest.mark.parametrize("opening", ["<think>", "<|channel>"])
def test_a_local_model_that_thinks_before_it_answers_is_unknown(opening, tiny, variant: Path, scorer_of, make_request) -> None:
    special = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", opening, "</think>", "<channel|>"]
    tiny.tokenizer(special).save_pretrained(variant)
    scorer = scorer_of(variant)
    [opens] = scorer._thinking_tokens
    assert scorer._processor.tokenizer.decode([opens]) == opening
    assert scorer.score([make_request(1)], PROMPT)[0].error == ""

    def think(module: Any, args: Any, output: Any) -> Any:
        output.logits[..., opens] = 50.0
        return output

    scorer._network.register_forward_hook(think)
    [score] = scorer.score([make_request(1)], PROMPT)
    assert (score.probability, score.label) == (None, None)
    assert "thinks before it answers" in score.error


@pytest.mark.parametrize(
    ("ending", "refused"),
    [
        ("Assistant: <think>\n", True),
        ("<|im_end|>◁think▷", True),
        ("<think>\n\n</think>\n\n", False),
        ("<|channel>thought\n", True),
        ("<|channel>thought\n<channel|>", False),
        ("<think>\nFirst, I look", True),
    ],
)
def test_a_chat_template_that_opens_a_chain_of_thought_is_refused(ending: str, refused: bool, tiny, variant, scorer_of) -> None:
    template = tiny.template("<image>").replace("Assistant:", ending)
    (variant / "chat_template.jinja").write_text(template)
    if refused:
        with pytest.raises(ScorerSetupError, match=r"makes the model think before it answers.*at once"):
            scorer_of(variant)
    else:
        scorer_of(variant)


def test_a_question_with_non_finite_logits_leaves_the_others_answered(idefics3_folder, scorer_of, make_request) -> None:
    scorer, request = scorer_of(idefics3_folder), make_request(1)
    [before] = scorer.score([request], SET)
    asked = []

    def spoil(module: Any, args: Any, output: Any) -> Any:
        asked.append(1)
        if len(asked) in (2, 4, 5, 6):
            output.logits[:] = float("nan")
        return output

    scorer._network.register_forward_hook(spoil)
    [second_lost], [all_lost] = scorer.score([request], SET), scorer.score([request], SET)
    assert second_lost.answers == (before.answers[0], None, before.answers[2])
    assert second_lost.probability == max(before.answers[0], before.answers[2])
    assert second_lost.error.startswith("question 2 has no usable answer: the model's logits")
    assert (all_lost.answers, all_lost.probability, all_lost.labels) == ((None,) * 3, None, (None,) * 3)
    assert all_lost.error.startswith("the model's logits")


def test_a_clip_without_frames_is_unknown(idefics3_folder, scorer_of, make_request) -> None:
    empty, full = scorer_of(idefics3_folder).score([make_request(1, frames=0), make_request(2)], PROMPT)
    assert (empty.probability, empty.error) == (None, "the clip has no frames")
    assert full.probability is not None


class TestOutOfMemory:
    """A device with memory for two clips at a time, or for none."""

    @staticmethod
    def limit(scorer: Any, clips: int) -> list[int]:
        import torch

        tried: list[int] = []

        def refuse(module: Any, args: Any, kwargs: Any) -> None:
            tried.append(len(kwargs["input_ids"]))
            if tried[-1] > clips:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        scorer._network.register_forward_pre_hook(refuse, with_kwargs=True)
        return tried

    def test_the_batch_is_halved_until_it_fits_and_stays_that_size(self, idefics3_folder, scorer_of, make_request) -> None:
        scorer, requests = scorer_of(idefics3_folder), [make_request(index) for index in range(7)]
        expected = [score.yes_logit for score in scorer.score(requests, PROMPT)]
        tried = self.limit(scorer, 1)
        found = scorer.score(requests, PROMPT)
        assert tried == [7, 3, 1, 1, 1, 1, 1, 1, 1]
        np.testing.assert_allclose([score.yes_logit for score in found], expected, atol=1e-6)
        scorer.score(requests[:3], PROMPT)
        assert tried[9:] == [1, 1, 1]

    def test_a_single_clip_that_does_not_fit_says_what_to_do(self, idefics3_folder, scorer_of, make_request) -> None:
        scorer = scorer_of(idefics3_folder)
        self.limit(scorer, 0)
        with pytest.raises(ScorerError, match=r"one clip of 8 frames does not fit.*fewer frames.*smaller model"):
            scorer.score([make_request(1), make_request(2)], PROMPT)


def test_another_failure_of_the_model_is_a_scorer_error(idefics3_folder, scorer_of, make_request) -> None:
    scorer = scorer_of(idefics3_folder)

    def break_down(module: Any, args: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    scorer._network.register_forward_pre_hook(break_down)
    with pytest.raises(ScorerError, match="failed on 1 clips: RuntimeError: CUDA error"):
        scorer.score([make_request(1)], PROMPT)


def test_a_closed_scorer_says_so(idefics3_folder, scorer_of, make_request) -> None:
    scorer = scorer_of(idefics3_folder)
    scorer.close()
    with pytest.raises(ScorerError, match="has been closed"):
        scorer.score([make_request(1)], PROMPT)


# -- revision


def test_fingerprint_depends_on_the_files_and_not_on_their_location(idefics3_folder, variant, monkeypatch) -> None:
    fingerprint = loading.folder_fingerprint(idefics3_folder)
    assert loading.folder_fingerprint(variant) == fingerprint
    weights = bytearray((variant / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (variant / "model.safetensors").write_bytes(weights)
    assert loading.folder_fingerprint(variant) != fingerprint


def test_fingerprint_of_large_weights_samples_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loading, "_HASHED_WHOLE", 1000)
    monkeypatch.setattr(loading, "_SAMPLE_BYTES", 10)
    weights = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)
    (tmp_path / "model.safetensors").write_bytes(weights.tobytes())
    before = loading.folder_fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((weights ^ 1).tobytes())
    assert loading.folder_fingerprint(tmp_path) != before
    weights[40] ^= 1  # between the first sample and the second
    (tmp_path / "model.safetensors").write_bytes(weights.tobytes())
    assert loading.folder_fingerprint(tmp_path) == before


def test_revision_of_a_hub_model_is_the_commit_of_its_snapshot(idefics3_folder, scorer_of, tmp_path, monkeypatch) -> None:
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--somebody--tiny"
    shutil.copytree(idefics3_folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert scorer_of("somebody/tiny").revision == commit


# -- models that cannot be loaded


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "needs a model"),
        ("   ", "needs a model"),
        ("/no/such/folder", "there is no folder /no/such/folder; check the path"),
        ("./nowhere", "there is no folder nowhere"),
        ("models/of/mine", "there is no folder models/of/mine"),
        ("somebody/absent", "no such folder here, the hub cannot be reached, and the model is not in the local cache"),
        ("a--b/c..d", "no such model on the hub; check the spelling"),
        ("x" * 5000, "not a usable path|the hub cannot be reached|check the spelling"),
        ("nul\0byte", "not a usable path|there is no folder"),
    ],
)
def test_a_missing_model_is_refused_in_plain_words(name: str, message: str, scorer_of) -> None:
    with pytest.raises(ScorerSetupError, match=message):
        scorer_of(name)


def test_a_file_or_a_folder_without_a_model_is_refused(tmp_path, scorer_of) -> None:
    with pytest.raises(ScorerSetupError, match=r"has no config\.json"):
        scorer_of(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ScorerSetupError, match="is a file; give the folder"):
        scorer_of(tmp_path / "model.safetensors")


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no complete safetensors weights"),
    "pickled weights only": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        "no complete safetensors weights",
    ),
    "truncated weights": (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 100), "cannot be loaded"),
    "configuration is not JSON": (lambda f: (f / "config.json").write_text("{nope"), "cannot be loaded.*valid JSON"),
    "configuration is empty": (lambda f: (f / "config.json").write_text("{}"), "not a vision-language model"),
    "unknown architecture": (lambda f: edit_json(f / "config.json", model_type="zzz"), "not a vision-language model"),
    "text-only model": (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "not a vision-language model"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "cannot be loaded"),
    "no processor": (lambda f: (f / "processor_config.json").unlink(), "cannot be loaded"),
    "no chat template": (lambda f: (f / "chat_template.jinja").unlink(), "has no chat template"),
    "damaged chat template": (lambda f: (f / "chat_template.jinja").write_text("{% for %}"), "does not accept images"),
    "chat template for text": (
        lambda f: (f / "chat_template.jinja").write_text("{{ messages[0].content[-1].text }}"),
        "does not accept images; use another checkpoint",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_in_plain_words(damage: str, variant: Path, scorer_of) -> None:
    inflict, message = DAMAGES[damage]
    inflict(variant)
    with pytest.raises(ScorerSetupError, match=f"(?s)hf:.*{message}"):
        scorer_of(variant)


@pytest.mark.timeout(60)  # a pipe would be waited for
@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.safetensors", "additional_chat_templates/x.jinja"])
def test_a_pipe_in_a_model_folder_is_refused_instead_of_read(name: str, variant: Path, scorer_of) -> None:
    (variant / name).unlink(missing_ok=True)
    (variant / name).parent.mkdir(exist_ok=True)
    os.mkfifo(variant / name)
    with pytest.raises(ScorerSetupError, match=rf"{name} is not a regular file but a pipe, socket or device; remove it"):
        scorer_of(variant)


def test_a_file_that_is_too_large_to_read_whole_is_refused(variant: Path, scorer_of) -> None:
    os.truncate(variant / "tokenizer.json", 2**40)  # takes no space
    with pytest.raises(ScorerSetupError, match=r"tokenizer.json has 1.02e\+03 GiB, and up to 1 is read"):
        scorer_of(variant)


@pytest.mark.timeout(60)
def test_what_does_not_end_in_time_is_told_and_not_waited_for() -> None:
    over = threading.Event()
    with pytest.raises(ScorerSetupError, match=r"the template of m has not ended after 0\.1 s; correct it"):
        loading.within(0.1, over.wait, "the template of m")
    over.set()
    assert loading.within(60, lambda: 7, "…") == 7
    with pytest.raises(ZeroDivisionError):
        loading.within(60, lambda: 1 // 0, "…")


def impatient(folder: str) -> Any:
    """In the scoring process: a scorer that gives its chat template half a second."""
    hf.TEMPLATE_S = 0.5
    return hf.HFScorer(folder, scorer=f"hf:{folder}")


@pytest.mark.slow
def test_a_chat_template_that_never_ends_is_told_in_words_and_its_process_ends(variant: Path) -> None:
    loop = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
    (variant / "chat_template.jinja").write_text(loop)
    before = set(multiprocessing.active_children())
    with pytest.raises(ScorerSetupError, match=r"its chat template has not ended after 0\.5 s"):
        ScoringWorker(partial(impatient, str(variant)), dict, PROMPT)
    wait_until(lambda: set(multiprocessing.active_children()) <= before, "the scoring process to end")


def test_weights_that_lack_a_layer_are_refused_rather_than_randomly_initialized(variant: Path, scorer_of) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(variant / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "text_model.layers.1.mlp.up_proj" not in name}
    save_file(kept, variant / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ScorerSetupError, match=r"lacks 1 of the model's \d+ tensors .*up_proj"):
        scorer_of(variant)


def test_a_checkpoints_own_code_is_not_run_by_default(variant: Path, scorer_of) -> None:
    trace = variant / "ran"
    (variant / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForImageTextToText": "evil.Model"}
    edit_json(variant / "config.json", model_type="zzz", auto_map=auto_map)
    with pytest.raises(ScorerSetupError, match=r"runs its publisher's Python code.*trust_remote_code=True"):
        scorer_of(variant)
    assert not trace.exists()


def test_a_tokenizer_without_a_single_token_yes_is_refused(tiny, variant: Path, scorer_of) -> None:
    special = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"]
    tiny.tokenizer(special, words="No no NO User: Assistant:").save_pretrained(variant)
    with pytest.raises(ScorerSetupError, match="no single token for 'yes'"):
        scorer_of(variant)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
@pytest.mark.parametrize(
    "family", ["Gemma4", "InternVL", "Lfm2Vl", "MiniCPMV4_6", "PerceptionLM", "Qwen3VL", "SmolVLM"]
)  # Qwen3.5 has Qwen3-VL's
def test_a_missing_package_names_the_extra(family: str, variant: Path, scorer_of) -> None:
    kind = "image" if family == "Lfm2Vl" else "video"  # the part that needs it
    part = {f"{kind}_processor": {f"{kind}_processor_type": f"{family}{kind.capitalize()}Processor"}}
    if family == "Gemma4":
        part["feature_extractor"] = {"feature_extractor_type": "Gemma4AudioFeatureExtractor"}
    edit_json(variant / "processor_config.json", processor_class=f"{family}Processor", **part)
    with pytest.raises(ScorerSetupError, match=r"needs the package torchvision: pip install 'vlmrb\[hub\]'"):
        scorer_of(variant)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "abacus"}, "scorer_device: 'abacus' cannot be used here"),
        ({"device": "cuda:99"}, "scorer_device: 'cuda:99' cannot be used here"),
        ({"dtype": "int8"}, "dtype 'int8' is unknown; use auto, float32, bfloat16, float16"),
        ({"input": "audio"}, "input 'audio' is unknown; use auto, images, video or text"),
        ({"input": "video"}, "does not accept video; use input='auto'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, str], message: str, idefics3_folder, scorer_of) -> None:
    with pytest.raises(ScorerSetupError, match=message):
        scorer_of(idefics3_folder, **options)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("You are trying to access a gated repo.\nMake sure to have access to it"), "access is gated: accept its terms"),
        (OSError("x/y is not a local folder and is not a valid model identifier listed on"), "no such model on the hub"),
        (OSError("We couldn't connect to the hub to load the files"), "the local cache does not contain the complete model"),
        (ImportError("TimmWrapperModel requires the timm library"), "needs the package timm"),
        (KeyError("surprise"), "checkpoint cannot be loaded"),
    ],
)
def test_hub_errors_are_explained_in_plain_words(error: Exception, message: str) -> None:
    assert message in str(loading._explain("owner/model", None, error))


def test_a_token_that_the_hub_echoes_is_masked(monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_aVerySecretToken")
    for error in (OSError("no hf_aVerySecretToken here"), OSError("x" * 190 + " hf_aVerySecretToken")):
        explained = str(loading._explain("somebody/model", None, error))
        assert "aVery" not in explained and "***" in explained


def test_a_broken_ssl_cert_file_is_named_when_a_hub_model_is_asked_for(monkeypatch, tmp_path: Path, scorer_of) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ScorerSetupError, match=r"SSL_CERT_FILE names '.*none\.pem'.*unset it"):
        scorer_of("no-such-owner/no-such-model")


def test_importing_the_back_ends_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, vlmrb.scoring.hf, vlmrb.scoring.openai; "
        "sys.exit(' '.join({'torch', 'transformers', 'PIL'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
