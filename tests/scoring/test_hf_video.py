"""The hf: back end on checkpoints whose processors need torchvision: most get videos. Without it these tests are skipped.

`pip install --no-deps torchvision timm num2words docopt` is enough to run them, whatever torch torchvision was built for.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmrb.errors import ScorerSetupError
from vlmrb.types import Prompt

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed"),
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # MiniCPM-V's processor sums tensors with numpy
]

PROMPT = Prompt("custom", 1, "Does <image> <video> <|video_pad|> the clip show a key being picked up?")
QWEN = {"image": "<|image_pad|>", "video": "<|video_pad|>", "vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"}


def smolvlm(tiny: Any, folder: Path) -> Path:
    pytest.importorskip("num2words")
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessor, SmolVLMProcessor
    from transformers import SmolVLMVideoProcessor as VideoProcessor

    tokenizer = tiny.tokenizer(["<image>", "<video>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"])
    size = {"longest_edge": 32}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(size={"longest_edge": 64}, max_image_size=size),
        tokenizer,
        VideoProcessor(size=size, max_image_size=size, num_frames=8, fps=1),
        image_seq_len=4,
        chat_template=tiny.template("<image>"),
    )
    config = SmolVLMConfig(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=True,
        vision_config=tiny.vision_config,
        text_config={"model_type": "llama", **tiny.text_config},
    )
    return tiny.save(SmolVLMForConditionalGeneration, config, processor, folder)


def qwen(
    family: str, vision: dict[str, Any], rope: dict[str, Any], patch: int, *, processor: str = "", **text: Any
) -> Callable[[Any, Path], Path]:
    def make(tiny: Any, folder: Path) -> Path:
        import transformers

        processors = processor or family
        video_class = "Qwen3VLVideoProcessor" if processors == "Qwen3VL" else "Qwen2VLVideoProcessor"
        tokenizer = tiny.tokenizer(list(QWEN.values()))
        side = 2 * patch
        size = {"shortest_edge": side * side, "longest_edge": 8 * side * side}
        options = {"size": size, "patch_size": patch}
        image, video = (f"<|vision_start|>{QWEN[kind]}<|vision_end|>" for kind in ("image", "video"))
        whole = getattr(transformers, f"{processors}Processor")(
            transformers.Qwen2VLImageProcessor(**options),
            tokenizer,
            getattr(transformers, video_class)(**options),
            chat_template=tiny.template(image, video),
        )
        config = getattr(transformers, f"{family}Config")(
            vision_config={
                "depth": 2,
                "hidden_size": 32,
                "num_heads": 4,
                "patch_size": patch,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                **vision,
            },
            text_config={**tiny.text_config, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, **rope}, **text},
            **{f"{kind}_token_id": tokenizer.convert_tokens_to_ids(token) for kind, token in QWEN.items()},
        )
        return tiny.save(getattr(transformers, f"{family}ForConditionalGeneration"), config, whole, folder)

    return make


HYBRID = {  # a text model of Qwen3.5's kind: linear attention in between
    "layer_types": ["linear_attention", "full_attention"],
    "head_dim": 32,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
HYBRID_ROPE = {"mrope_section": [1, 1, 2], "mrope_interleaved": True, "partial_rotary_factor": 0.25}


def minicpm(tiny: Any, folder: Path) -> Path:
    from transformers import (
        MiniCPMV4_6Config,
        MiniCPMV4_6ForConditionalGeneration,
        MiniCPMV4_6ImageProcessor,
        MiniCPMV4_6Processor,
        MiniCPMV4_6VideoProcessor,
    )

    names = {
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "image_start_token": "<image>",
        "image_end_token": "</image>",
        "slice_start_token": "<slice>",
        "slice_end_token": "</slice>",
        "image_id_start_token": "<image_id>",
        "image_id_end_token": "</image_id>",
    }
    tokenizer = tiny.tokenizer(list(names.values()), extra_special_tokens=names)
    options = {"scale_resolution": 32, "patch_size": 14}  # cuts the tests' frames into slices unless told not to
    processor = MiniCPMV4_6Processor(
        MiniCPMV4_6ImageProcessor(**options),
        MiniCPMV4_6VideoProcessor(**options, stack_frames=4),
        tokenizer,
        chat_template=tiny.template("<|image_pad|>", "<|video_pad|>"),
    )
    rope = {"rope_type": "default", "rope_theta": 1e4, **HYBRID_ROPE}
    config = MiniCPMV4_6Config(
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        insert_layer_id=0,
        vision_config={**tiny.vision_config, "image_size": 56, "patch_size": 14},
        text_config={"model_type": "qwen3_5_text", **tiny.text_config, **HYBRID, "rope_parameters": rope},
    )
    return tiny.save(MiniCPMV4_6ForConditionalGeneration, config, processor, folder)


def gemma4(tiny: Any, folder: Path) -> Path:
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4Config,
        Gemma4ForConditionalGeneration,
        Gemma4ImageProcessor,
        Gemma4Processor,
        Gemma4VideoProcessor,
    )

    names = {
        "image_token": "<|image|>",
        "boi_token": "<|image>",
        "eoi_token": "<image|>",
        "audio_token": "<|audio|>",
        "boa_token": "<|audio>",
        "eoa_token": "<audio|>",
    }
    tokenizer = tiny.tokenizer([*names.values(), "<|video|>"], extra_special_tokens=names)
    options = {"patch_size": 8, "max_soft_tokens": 70, "pooling_kernel_size": 2}
    processor = Gemma4Processor(
        Gemma4AudioFeatureExtractor(),
        Gemma4ImageProcessor(**options),
        tokenizer,
        Gemma4VideoProcessor(**options),
        chat_template=tiny.template("<|image|>", "<|video|>"),
    )
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    config = Gemma4Config(
        **{name: number for name, number in ids.items() if name != "eoa_token_id"},
        eoa_token_index=ids["eoa_token_id"],
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
        vision_config={
            **{name: tiny.vision_config[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers")},
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 8,
            "patch_size": 8,
            "pooling_kernel_size": 2,
            "position_embedding_size": 64,
        },
        text_config={  # as in E2B, the last layers reuse the keys and values of earlier ones
            **tiny.text_config,
            "num_hidden_layers": 4,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "num_kv_shared_layers": 2,
            "use_double_wide_mlp": True,
            "sliding_window": 64,
            "head_dim": 8,
            "global_head_dim": 16,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 512,
        },
    )
    return tiny.save(Gemma4ForConditionalGeneration, config, processor, folder)


def lfm2_vl(tiny: Any, folder: Path) -> Path:
    from transformers import Lfm2VlConfig, Lfm2VlForConditionalGeneration, Lfm2VlImageProcessor, Lfm2VlProcessor

    tokenizer = tiny.tokenizer(["<image>", "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>"])
    processor = Lfm2VlProcessor(
        Lfm2VlImageProcessor(encoder_patch_size=8, tile_size=32, min_image_tokens=1, max_image_tokens=4, max_tiles=4),
        tokenizer,
        chat_template=tiny.template("<image>"),
    )
    vision = {name: value for name, value in tiny.vision_config.items() if name != "image_size"}
    config = Lfm2VlConfig(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32,
        vision_config={"model_type": "siglip2_vision_model", "num_patches": 16, **vision},
        text_config={"model_type": "lfm2", **tiny.text_config, "layer_types": ["conv", "full_attention"]},
    )
    return tiny.save(Lfm2VlForConditionalGeneration, config, processor, folder)


def internvl(tiny: Any, folder: Path) -> Path:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
    )

    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = tiny.tokenizer(list(names.values()), extra_special_tokens=names)
    size = {"height": 32, "width": 32}
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size=size, crop_to_patches=True, min_patches=1, max_patches=4),
        tokenizer,
        InternVLVideoProcessor(size=size),
        image_seq_length=4,
        chat_template=tiny.template("<IMG_CONTEXT>", "<video>"),
    )
    vision = {**tiny.vision_config, "image_size": [32, 32], "patch_size": [8, 8]}
    config = InternVLConfig(
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        downsample_ratio=0.5,
        vision_config=vision,
        text_config={"model_type": "qwen3", **tiny.text_config, "head_dim": 8},
    )
    return tiny.save(InternVLForConditionalGeneration, config, processor, folder)


def llava_onevision(tiny: Any, folder: Path) -> Path:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    tokenizer = tiny.tokenizer(["<image>", "<video>"])
    size, grid = {"height": 32, "width": 32}, [[32, 32], [32, 64], [64, 32], [64, 64]]
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=grid),
        tokenizer,
        LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=tiny.template("<image>", "<video>"),
    )
    config = LlavaOnevisionConfig(
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        vision_config={"model_type": "siglip_vision_model", "vision_use_head": False, **tiny.vision_config},
        text_config={"model_type": "qwen2", **tiny.text_config},
    )
    return tiny.save(LlavaOnevisionForConditionalGeneration, config, processor, folder)


def perception_lm(tiny: Any, folder: Path) -> Path:
    pytest.importorskip("timm")
    from transformers import (
        PerceptionLMConfig,
        PerceptionLMForConditionalGeneration,
        PerceptionLMImageProcessor,
        PerceptionLMProcessor,
        PerceptionLMVideoProcessor,
        TimmWrapperConfig,
    )

    names = {"image_token": "<|image|>", "video_token": "<|video|>"}
    tokenizer = tiny.tokenizer(list(names.values()), extra_special_tokens=names)
    processor = PerceptionLMProcessor(
        PerceptionLMVideoProcessor(size={"height": 28, "width": 28}),
        PerceptionLMImageProcessor(tile_size=28, max_num_tiles=4, vision_input_type="thumb+tile"),
        tokenizer,
        patch_size=7,
        pooling_ratio=2,
        chat_template=tiny.template("<|image|>", "<|video|>"),
    )
    tower = {
        "embed_dim": 32,
        "img_size": [28, 28],
        "patch_size": 7,
        "depth": 2,
        "num_heads": 4,
        "global_pool": "",
        "use_post_transformer_norm": False,
        "init_values": 0.1,
        "ref_feat_shape": [4, 4],
    }
    config = PerceptionLMConfig(
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        projector_pooling_ratio=2,
        vision_config=TimmWrapperConfig(architecture="vit_pe_core_large_patch14_336", model_args=tower),
        text_config={"model_type": "llama", **tiny.text_config},
    )
    return tiny.save(PerceptionLMForConditionalGeneration, config, processor, folder)


FAMILIES = {
    "Perception-LM": perception_lm,
    "SmolVLM2": smolvlm,
    "LLaVA-OneVision": llava_onevision,
    "InternVL": internvl,
    "Qwen2-VL": qwen("Qwen2VL", {"embed_dim": 32, "mlp_ratio": 2}, {"mrope_section": [1, 1, 2]}, 14),
    "Qwen2.5-VL": qwen(
        "Qwen2_5_VL",
        {"out_hidden_size": 32, "intermediate_size": 64, "fullatt_block_indexes": [1], "window_size": 56, "tokens_per_second": 2},
        {"mrope_section": [1, 1, 2]},
        14,
    ),
    "Qwen3-VL": qwen(
        "Qwen3VL",
        {"out_hidden_size": 32, "intermediate_size": 64, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
        {"mrope_section": [1, 1, 2], "mrope_interleaved": True},
        16,
    ),
    "Qwen3.5": qwen(
        "Qwen3_5",
        {"out_hidden_size": 32, "intermediate_size": 64, "num_position_embeddings": 64},
        HYBRID_ROPE,
        16,
        processor="Qwen3VL",
        **HYBRID,
    ),
    "MiniCPM-V 4.6": minicpm,
    "Gemma 4": gemma4,
    "LFM2-VL": lfm2_vl,
}


IMAGES_ONLY = {"LFM2-VL"}
WAYS = [(family, way) for family in FAMILIES for way in ("video", "images") if way == "images" or family not in IMAGES_ONLY]
QUESTIONS = ("Is a key picked up?", "Does the clip show a yes?", "No key?")


@pytest.fixture(scope="session")
def folder_of(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """folder_of(family): its tiny checkpoint."""
    return functools.cache(lambda family: FAMILIES[family](tiny, tmp_path_factory.mktemp("checkpoint")))


@pytest.fixture(scope="session")
def scorer_for(folder_of: Callable[[str], Path]) -> Callable[..., Any]:
    """scorer_for(family, way): a scorer that shows clips this way; the same one for all tests."""
    from vlmrb.scoring.hf import HFScorer

    return functools.cache(lambda family, way: HFScorer(str(folder_of(family)), scorer=f"hf:{family}", input=way))


def pictures_of(inputs: Any) -> Any:
    return inputs["pixel_values_videos"] if "pixel_values_videos" in inputs else inputs["pixel_values"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_accepts_videos_gets_them_and_others_get_images(family: str, scorer_for) -> None:
    assert scorer_for(family, "auto").input == ("images" if family in IMAGES_ONLY else "video")


@pytest.mark.parametrize(("family", "way"), WAYS)
def test_a_batch_of_unequal_clips_scores_like_single_clips(family: str, way: str, scorer_for, make_request) -> None:
    scorer = scorer_for(family, way)
    requests = [make_request(1), make_request(2, frames=3), make_request(3), make_request(4, frames=1), make_request(5)]
    together = scorer.score(requests, PROMPT)
    alone = [scorer.score([request], PROMPT)[0] for request in requests]
    logits = np.array([score.yes_logit for score in together])
    np.testing.assert_allclose(logits, [score.yes_logit for score in alone], atol=1e-6)
    np.testing.assert_allclose([score.no_logit for score in together], [score.no_logit for score in alone], atol=1e-6)
    assert np.diff(np.sort(logits)).min() > 5e-6, "the clips must differ for this to prove anything"
    assert all(score.error == "" for score in together)


@pytest.mark.parametrize(("family", "way"), WAYS)
def test_probability_is_the_mass_of_yes_in_the_models_next_token_distribution(
    family: str, way: str, scorer_for, folder_of, make_request
) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    scorer, requests = scorer_for(family, way), [make_request(1), make_request(2)]
    model = AutoModelForImageTextToText.from_pretrained(folder_of(family)).eval()  # as the library loads it
    tokenizer = AutoTokenizer.from_pretrained(folder_of(family))
    spelled = [tokenizer.decode([number]).strip().lower() for number in range(model.config.get_text_config().vocab_size)]
    for request, score in zip(requests, scorer.score(requests, PROMPT), strict=True):
        with torch.inference_mode():
            mass = model(**scorer._inputs([request], scorer._neutral(PROMPT.text))).logits[0, -1].double().softmax(-1).numpy()
        yes, no = (mass[[word == answer for word in spelled]] for answer in ("yes", "no"))
        assert len(yes) >= 4, "Yes, yes, and both with a leading space"
        assert len(no) >= 4
        assert score.probability == pytest.approx(yes.sum() / (yes.sum() + no.sum()), abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_comes_close_to_float32(family: str, scorer_for, folder_of, scorer_of, make_request) -> None:
    exact, rough = scorer_for(family, "auto"), scorer_of(folder_of(family), dtype="bfloat16")
    requests = [make_request(1), make_request(2, frames=3)]
    for first, second in zip(exact.score(requests, PROMPT), rough.score(requests, PROMPT), strict=True):
        assert second.probability == pytest.approx(first.probability, abs=0.02)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in IMAGES_ONLY])
def test_a_video_contains_exactly_the_frames_in_order(family: str, scorer_for, make_request) -> None:
    scorer, request = scorer_for(family, "video"), make_request(1)
    inputs = scorer._inputs([request], "?")
    if "video_grid_thw" in inputs:  # Qwen merges two frames into one
        assert int(inputs["video_grid_thw"][0, 0]) == 4
    elif "target_sizes_videos" in inputs:  # MiniCPM-V packs them
        assert len(inputs["target_sizes_videos"]) == 8
    else:
        assert 8 in pictures_of(inputs).shape[:2]
    [forwards] = scorer.score([request], PROMPT)
    backwards = type(request)(request.clip, request.frames[::-1].copy(), request.frame_indices)
    assert scorer.score([backwards], PROMPT)[0].yes_logit != pytest.approx(forwards.yes_logit, abs=1e-6)


@pytest.mark.parametrize(("family", "way"), WAYS)
def test_a_frame_is_one_tile(family: str, way: str, scorer_for, make_request) -> None:
    scorer = scorer_for(family, way)
    two, four = (scorer._inputs([make_request(1, frames=frames)], "?")["input_ids"].shape[1] for frames in (2, 4))
    most = {"Gemma 4": 90, "MiniCPM-V 4.6": 8}.get(family, 30)  # Gemma's frames all take 70, MiniCPM-V's here one
    assert four - two <= 2 * most


@pytest.mark.parametrize("family", FAMILIES)
def test_a_set_of_questions_is_answered_as_if_each_was_asked_alone(family: str, scorer_for, make_request) -> None:
    scorer, requests = scorer_for(family, "auto"), [make_request(1), make_request(2)]
    asked = Prompt("custom", 1, "\n".join(f"- {question}" for question in QUESTIONS))
    _, together = (
        scorer.score(requests, asked),
        scorer.score(requests, asked),
    )  # the first batch decides how the next ones are read
    alone = [scorer.score(requests, Prompt("custom", 1, question)) for question in QUESTIONS]
    for index, score in enumerate(together):
        assert score.answers == pytest.approx([scores[index].probability for scores in alone], abs=1e-6)


# -- time

STEPS = (0, 4, 9, 13, 18, 22, 27, 31)  # of the frames of a 32-step clip, which takes 4 seconds


def prompt_of(scorer: Any, request: Any) -> str:
    return str(scorer._tokenizer.decode(scorer._inputs([request], "?")["input_ids"][0]))


@pytest.mark.parametrize("family", ["Qwen3-VL", "Qwen3.5"])
def test_qwens_time_marks_are_the_true_times_of_the_frames(family: str, scorer_for, make_request) -> None:
    scorer, request = scorer_for(family, "video"), make_request(1)
    assert request.frame_indices == STEPS
    marks = [float(mark) for mark in re.findall(r"<([\d.]+) seconds>", prompt_of(scorer, request))]
    pairs = np.array(STEPS).reshape(-1, 2) / 8.0  # it merges two frames, whose mark is the time between them
    np.testing.assert_allclose(marks, pairs.mean(1), atol=0.0501)
    [alone] = re.findall(r"<([\d.]+) seconds>", prompt_of(scorer, at_steps(request, [31])))
    assert float(alone) == pytest.approx(31 / 8, abs=0.0501)
    early, late = (scorer.score([at_steps(request, range(start, start + 8))], PROMPT)[0] for start in (0, 24))
    assert early.yes_logit != late.yes_logit, "when something is seen matters to the model"


@pytest.mark.parametrize("family", ["SmolVLM2", "Gemma 4"])
def test_time_marks_in_minutes_and_seconds_are_the_true_times_of_the_frames(family: str, scorer_for, make_request) -> None:
    scorer, request = scorer_for(family, "video"), make_request(1)
    asked = prompt_of(scorer, request)
    marks = [int(minutes) * 60 + int(seconds) for minutes, seconds in re.findall(r"\b(\d\d):(\d\d)(?= ?[:<])", asked)]
    assert marks == [step // 8 for step in STEPS]
    if family == "SmolVLM2":
        assert "eight frames from a 0:00:04 [H:MM:SS] video" in asked


def test_qwen2_5_vl_is_told_the_seconds_between_frames(scorer_for, make_request) -> None:
    scorer = scorer_for("Qwen2.5-VL", "video")
    seconds = [float(scorer._inputs([make_request(1, frames=frames)], "?")["second_per_grid_ts"][0]) for frames in (8, 4)]
    assert seconds == [1.0, 2.0], "of two frames: eight, or four, in 4 seconds"


def at_steps(request: Any, steps: Any) -> Any:
    """The clip's frames as if they were those of other steps."""
    steps = tuple(steps)
    return type(request)(request.clip, request.frames[: len(steps)], steps)


# -- thinking

THOUGHT = "<think>\n{% if enable_thinking is defined and not enable_thinking %}\n</think>\n\n{% endif %}"  # on unless told not to
OFF = "{% if enable_thinking %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}"  # Qwen3.5: off unless told to
CHANNEL = "<|channel>thought\n"  # Gemma 4


@pytest.mark.parametrize(
    ("family", "ending", "accepted"),
    [
        ("Qwen3.5", OFF, True),
        ("Qwen3.5", THOUGHT, True),
        ("MiniCPM-V 4.6", THOUGHT, True),
        ("Gemma 4", "{% if enable_thinking %}" + CHANNEL + "{% endif %}", True),
        ("Gemma 4", CHANNEL + "<channel|>", True),
        ("Gemma 4", CHANNEL, False),
        *((family, "<think>\n", False) for family in FAMILIES),  # as in Qwen3-VL's 'Thinking' checkpoints, which have no switch
    ],
)
def test_thinking_is_switched_off_or_the_model_refused(
    family: str, ending: str, accepted: bool, folder_of, scorer_of, tmp_path: Path, make_request
) -> None:
    folder = shutil.copytree(folder_of(family), tmp_path / "thinks")
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("Assistant:", f"Assistant:{ending}"))
    if not accepted:
        with pytest.raises(ScorerSetupError, match=r"makes the model think before it answers.*at once"):
            scorer_of(folder)
        return
    scorer = scorer_of(folder)
    [score] = scorer.score([make_request(1)], PROMPT)
    assert score.error == ""
    asked = prompt_of(scorer, make_request(1))
    assert asked.count("<think>") == asked.count("</think>")
    assert asked.count("<|channel>") == asked.count("<channel|>")
