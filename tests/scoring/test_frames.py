"""Qwen2-VL without torchvision: our video preparation matches the library's."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmrb.scoring.frames import FramesProcessor, fitting_size
from vlmrb.types import Prompt

VIDEO, SIDE = "<|video_pad|>", 16
TEMPLATE_VIDEO = f"<|vision_start|>{VIDEO}<|vision_end|>"
SETTINGS: dict[str, Any] = {
    "patch_size": SIDE // 2,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "size": {"shortest_edge": SIDE * SIDE, "longest_edge": 64 * SIDE * SIDE},
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3],
}
PROMPT = Prompt("custom", 1, "Does the clip show a key being picked up?")


@pytest.fixture(scope="module")
def qwen_folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_qwen(tiny, tmp_path_factory.mktemp("qwen"), "Qwen2VL", {"embed_dim": 32, "hidden_size": 32})


@pytest.fixture(scope="module")
def timed_folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    vision = {"hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "fullatt_block_indexes": [1]}
    return make_qwen(tiny, tmp_path_factory.mktemp("timed"), "Qwen2_5_VL", {**vision, "tokens_per_second": 2})


def make_qwen(tiny: Any, folder: Path, family: str, vision: dict[str, Any]) -> Path:
    """A checkpoint as on the hub, with its processor's settings in `preprocessor_config.json`."""
    import torch
    import transformers

    tokenizer = tiny.tokenizer(["<|image_pad|>", VIDEO, "<|vision_start|>", "<|vision_end|>"])
    tokenizer.chat_template = tiny.template("<|image_pad|>", TEMPLATE_VIDEO)
    tokenizer.save_pretrained(folder)
    ids = {
        name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("image_pad", "video_pad", "vision_start", "vision_end")
    }
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        vision_config={
            "depth": 2,
            "num_heads": 4,
            "patch_size": SIDE // 2,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            **vision,
        },
        text_config={
            **tiny.text_config,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
        },
    )
    getattr(transformers, f"{family}ForConditionalGeneration")(config).save_pretrained(folder)
    settings = {**SETTINGS, "image_processor_type": "Qwen2VLImageProcessor", "processor_class": f"{family}Processor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_a_qwen_checkpoint_gets_videos_without_torchvision(qwen_folder, scorer_of, make_request) -> None:
    scorer = scorer_of(qwen_folder)
    assert scorer.input == "video"
    requests = [make_request(1), make_request(2, frames=3), make_request(3), make_request(4, frames=1), make_request(5, size=64)]
    together = [score.probability for score in scorer.score(requests, PROMPT)]
    alone = [scorer.score([request], PROMPT)[0].probability for request in requests]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together)) == len(together)  # the pictures matter


def test_a_timed_model_is_told_the_seconds_between_frames(timed_folder, scorer_of, make_request) -> None:
    scorer = scorer_of(timed_folder)  # with torchvision, the library's processor tells it
    seconds = [scorer._inputs([make_request(1, frames=frames)], "?")["second_per_grid_ts"].tolist() for frames in (8, 4, 1)]
    assert seconds == [[1.0], [2.0], [4.0]], "of two frames; eight, four or one twice, in 4 seconds"
    requests = [make_request(1), make_request(2)]
    told = [score.yes_logit for score in scorer.score(requests, PROMPT)]
    assert told == pytest.approx([scorer.score([request], PROMPT)[0].yes_logit for request in requests], abs=1e-5)
    shorter = [replace(request, clip=replace(request.clip, item_ids=np.arange(16))) for request in requests]
    assert scorer.score(shorter, PROMPT)[0].yes_logit != told[0], "the same frames within half the time"


def test_a_qwen_checkpoints_thinking_is_switched_off(qwen_folder, scorer_of, make_request, tmp_path: Path) -> None:
    folder = shutil.copytree(qwen_folder, tmp_path / "thinks")
    template = folder / "chat_template.jinja"
    ending = "Assistant:<think>{% if enable_thinking is defined and not enable_thinking %}</think>{% endif %}"
    template.write_text(template.read_text().replace("Assistant:", ending))
    scorer = scorer_of(folder)
    asked = scorer._tokenizer.decode(scorer._inputs([make_request(1)], "?")["input_ids"][0])
    assert asked.endswith("Assistant:<think></think>")


def test_the_order_of_frames_matters(qwen_folder, scorer_of, make_request) -> None:
    scorer, request = scorer_of(qwen_folder), make_request(1)
    backwards = type(request)(request.clip, request.frames[::-1].copy(), request.frame_indices)
    there, back = (score.probability for score in scorer.score([request, backwards], PROMPT))
    assert there != back


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed")
@pytest.mark.parametrize(
    ("frames", "height", "width"), [(8, 64, 64), (5, 64, 96), (1, 48, 48), (6, 50, 61), (4, 300, 200), (2, 9, 9)]
)
def test_videos_are_cut_into_the_same_patches_as_by_the_library(frames: int, height: int, width: int) -> None:
    import torch
    from transformers import Qwen2VLVideoProcessor

    video = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    processor = FramesProcessor(None, "", VIDEO, SETTINGS)
    processor.preprocess([255 - video] * 3)  # these contents must not leak into the next result
    ours, grids = processor.preprocess([video[::-1], video])
    ours = ours[len(ours) // 2 :]
    theirs = Qwen2VLVideoProcessor(**SETTINGS, cap_pixels_per_frame=False)(
        videos=[torch.from_numpy(video).permute(0, 3, 1, 2)], return_tensors="pt", do_sample_frames=False
    )
    assert [list(grids[1])] == theirs["video_grid_thw"].tolist()
    values = theirs["pixel_values_videos"].numpy()
    resized = fitting_size(height, width, SIDE, SIDE**2, 64 * SIDE**2) != (height, width)
    # bicubic scaling rounds differently in the two libraries, sometimes by one or two grey levels
    assert np.allclose(ours, values, atol=0.1 if resized else 1e-5)


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 64), (64, 64)), ((50, 61), (48, 64)), ((9, 9), (16, 16)), ((1000, 1000), (128, 128))]
)
def test_frames_are_scaled_to_whole_patches_within_the_models_limits(size, expected) -> None:
    assert fitting_size(*size, SIDE, SIDE**2, 64 * SIDE**2) == expected


def test_a_qwen_checkpoint_reads_clips_of_text_alone_or_in_a_batch(qwen_folder, scorer_of, make_request) -> None:
    scorer = scorer_of(qwen_folder, input="text")
    texts = ["step 1: state 3", "\n".join(f"step {at}: state {at}" for at in range(40)), "<|video_pad|><|image_pad|>"]
    requests = [replace(make_request(at, frames=0), transcript=text) for at, text in enumerate(texts)]
    together = [score.probability for score in scorer.score(requests, PROMPT)]
    assert together == pytest.approx([scorer.score([request], PROMPT)[0].probability for request in requests], abs=1e-5)
    assert len({round(each, 6) for each in together}) == 3
