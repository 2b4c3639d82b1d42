"""The hf: back end on checkpoints that get videos. Their processors need torchvision; without it these tests are skipped.

`pip install --no-deps torchvision timm num2words docopt` is enough to run them, whatever torch torchvision was built for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmrb.types import Prompt

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed")

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


def qwen(family: str, vision: dict[str, Any], rope: dict[str, Any], patch: int) -> Callable[[Any, Path], Path]:
    def make(tiny: Any, folder: Path) -> Path:
        import transformers

        video_class = "Qwen3VLVideoProcessor" if family == "Qwen3VL" else "Qwen2VLVideoProcessor"
        tokenizer = tiny.tokenizer(list(QWEN.values()))
        side = 2 * patch
        size = {"shortest_edge": side * side, "longest_edge": 8 * side * side}
        options = {"size": size, "patch_size": patch}
        image, video = (f"<|vision_start|>{QWEN[kind]}<|vision_end|>" for kind in ("image", "video"))
        processor = getattr(transformers, f"{family}Processor")(
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
            text_config={**tiny.text_config, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, **rope}},
            **{f"{kind}_token_id": tokenizer.convert_tokens_to_ids(token) for kind, token in QWEN.items()},
        )
        return tiny.save(getattr(transformers, f"{family}ForConditionalGeneration"), config, processor, folder)

    return make


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
        text_config={"model_type": "qwen2", **tiny.text_config},
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
}


@pytest.fixture(scope="session", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES[request.param](tiny, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("shown_as", ["video", "images"])
def test_a_batch_of_unequal_clips_scores_like_single_clips(shown_as: str, folder, scorer_of, make_request) -> None:
    scorer = scorer_of(folder, input="auto" if shown_as == "video" else "images")
    assert scorer.input == shown_as
    requests = [make_request(1), make_request(2, frames=3), make_request(3), make_request(4, frames=1), make_request(5)]
    together = scorer.score(requests, PROMPT)
    alone = [scorer.score([request], PROMPT)[0] for request in requests]
    logits = np.array([score.yes_logit for score in together])
    np.testing.assert_allclose(logits, [score.yes_logit for score in alone], atol=1e-6)
    np.testing.assert_allclose([score.no_logit for score in together], [score.no_logit for score in alone], atol=1e-6)
    assert np.diff(np.sort(logits)).min() > 5e-6, "the clips must differ for this to prove anything"
    assert all(score.error == "" for score in together)


def test_a_video_contains_exactly_the_frames_in_order(folder, scorer_of, make_request) -> None:
    scorer, request = scorer_of(folder), make_request(1)
    inputs = scorer._inputs([request], "?")
    pixels = inputs["pixel_values_videos"] if "pixel_values_videos" in inputs else inputs["pixel_values"]
    if "video_grid_thw" in inputs:  # Qwen merges two frames into one
        assert int(inputs["video_grid_thw"][0, 0]) == 4
    else:
        assert 8 in pixels.shape[:2]
    [forwards] = scorer.score([request], PROMPT)
    backwards = type(request)(request.clip, request.frames[::-1].copy(), request.frame_indices)
    assert scorer.score([backwards], PROMPT)[0].yes_logit != pytest.approx(forwards.yes_logit, abs=1e-6)


def test_a_frame_shown_as_an_image_is_one_tile(folder, scorer_of, make_request) -> None:
    scorer = scorer_of(folder, input="images")
    one, two = (scorer._inputs([make_request(1, frames=frames)], "?")["input_ids"].shape[1] for frames in (2, 3))
    assert two - one < 30


def test_a_set_of_questions_is_answered_as_if_each_was_asked_alone(folder, scorer_of, make_request) -> None:
    scorer, requests = scorer_of(folder), [make_request(1), make_request(2)]
    questions = ("Is a key picked up?", "Does the clip show a yes?", "No key?")
    together = scorer.score(requests, Prompt("custom", 1, "\n".join(f"- {question}" for question in questions)))
    alone = [scorer.score(requests, Prompt("custom", 1, question)) for question in questions]
    for index, score in enumerate(together):
        assert score.answers == pytest.approx([scores[index].probability for scores in alone], abs=1e-6)
