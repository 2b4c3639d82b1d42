"""Tiny checkpoints of real vision-language architectures: a few layers, random weights, a small tokenizer."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmrb.types import Clip, ScoringRequest

_WORDS = "Yes yes YES No no NO\nyes\nYES\nNo\nno\nNO\nDoes the clip show a key being picked up? Yes No. User: Assistant:"
_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}:{% for block in message['content'] %}"
    "{% if block['type'] == 'image' %}IMAGE{% elif block['type'] == 'video' %}VIDEO{% else %}{{ ' ' + block['text'] }}"
    "{% endif %}{% endfor %}\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


class TinyParts:
    """The parts of every tiny checkpoint."""

    text_config: dict[str, Any] = {  # noqa: RUF012 - read only
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "max_position_embeddings": 4096,
    }
    vision_config: dict[str, Any] = {  # noqa: RUF012 - read only
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
    }

    @staticmethod
    def tokenizer(special: list[str], *, words: str = _WORDS, **options: Any) -> Any:
        """Byte-level BPE over a handful of words."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast

        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
            special_tokens=["<pad>", "<s>", "</s>", *special],
        )
        bpe.train_from_iterator([words] * 20, trainer)
        return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", bos_token="<s>", eos_token="</s>", **options)

    @staticmethod
    def template(image: str = "", video: str = "") -> str:
        """A chat template that renders `image` and `video` for the blocks of a message."""
        return _TEMPLATE.replace("IMAGE", image).replace("VIDEO", video)

    @staticmethod
    def save(model_class: Any, config: Any, processor: Any, folder: Path) -> Path:
        """Save a model with fixed random weights."""
        import torch
        from transformers import logging

        logging.disable_progress_bar()
        torch.manual_seed(0)
        model_class(config).save_pretrained(folder)
        processor.save_pretrained(folder)
        return folder


@pytest.fixture(scope="session", autouse=True)
def _foreign_torchvision() -> None:
    """Make a torchvision built for another torch importable, so that video processors can be tested with it.

    There may be no build for the installed torch; `pip install --no-deps torchvision` then installs one whose compiled
    operators do not load. Processors do not use them, but the import needs their names.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d", "qnms", "qroi_align"):
            for name in (operator, f"_{operator}_backward"):
                torch.library.define(f"torchvision::{name}", "(Tensor x) -> Tensor")
        importlib.import_module("torchvision")


@pytest.fixture(scope="session")
def tiny() -> type[TinyParts]:
    return TinyParts


def save_idefics3(folder: Path) -> Path:
    """A tiny model of the architecture of SmolVLM's predecessor: loads without torchvision, accepts several images."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    tokenizer = TinyParts.tokenizer(["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"])
    images = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=TinyParts.template("<image>"))
    config = Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=True,
        vision_config=TinyParts.vision_config,
        text_config={"model_type": "llama", **TinyParts.text_config},
    )
    return TinyParts.save(Idefics3ForConditionalGeneration, config, processor, folder)


@pytest.fixture(scope="session")
def idefics3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_idefics3(tmp_path_factory.mktemp("idefics3"))


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory, tiny: type[TinyParts]) -> Path:
    """A second architecture that loads without torchvision."""
    from transformers import CLIPImageProcessorPil, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = tiny.tokenizer(["<image>"])
    size = {"height": 32, "width": 32}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size=size, crop_size=size),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tiny.template("<image>"),
    )
    config = LlavaConfig(
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_config={"model_type": "clip_vision_model", **tiny.vision_config},
        text_config={"model_type": "llama", **tiny.text_config},
    )
    return tiny.save(LlavaForConditionalGeneration, config, processor, tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="session")
def make_request() -> Callable[..., ScoringRequest]:
    """make_request(clip_id, frames=8, size=48): a 32-step clip with random frames, drawn from the clip's id."""
    return _make_request


def _make_request(clip_id: int, frames: int = 8, size: int = 48) -> ScoringRequest:
    pixels = np.random.default_rng(clip_id).integers(0, 255, (frames, size, size, 3), dtype=np.uint8)
    clip = Clip(
        clip_id=clip_id,
        env_index=0,
        episode=0,
        item_ids=np.arange(32),
        snapshots=np.zeros((32, 4), np.uint8),
        rewards=np.zeros(32, np.float32),
        events=(),
        closed_by="length",
    )
    return ScoringRequest(clip, pixels, tuple(int(index) for index in np.linspace(0, 31, frames).round()))


@pytest.fixture
def scorer_of() -> Iterator[Callable[..., Any]]:
    """scorer_of(folder, **options): an HFScorer that is closed after the test."""
    from vlmrb.scoring.hf import HFScorer

    made: list[HFScorer] = []

    def make(folder: Path | str, **options: Any) -> HFScorer:
        made.append(HFScorer(str(folder), scorer=f"hf:{folder}", **options))
        return made[-1]

    yield make
    for scorer in made:
        scorer.close()
