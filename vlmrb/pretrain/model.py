"""The embedded model before it has learnt anything: an Idefics3 of about a million parameters, its processor and tokenizer.

Idefics3 is the architecture that SmolVLM continues, and the one that loads without torchvision. A frame is 64 patches, which
become 16 tokens between two marks, so that what lies at one place in two frames always is a fixed number of tokens apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmrb.pretrain.worlds import SIDE
from vlmrb.scoring.embedded import QUESTIONS_FILE

PAD, UNKNOWN, BEGIN, END, IMAGE, MARK, GLOBAL, END_OF_UTTERANCE, ANSWER = (
    "<pad>",
    "<unk>",
    "<s>",
    "</s>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    "<answer>",
)
SPECIAL_TOKENS = (PAD, UNKNOWN, BEGIN, END, IMAGE, MARK, GLOBAL, END_OF_UTTERANCE, ANSWER)
"""In the order of their ids. The model answers after ANSWER."""

TEMPLATE = (
    "<s>{% for message in messages %}{% for block in message['content'] %}{% if block['type'] == 'image' %}<image>"
    "{% else %} {{ block['text'] }}{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}<answer>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of the model.

    Attributes:
        patch: pixels of a patch's side.
        shuffle: patches of a token's side.
        vision_width, vision_layers, vision_heads: of the vision tower.
        text_width, text_layers, text_heads: of the text model.
    """

    patch: int = 16
    shuffle: int = 2
    vision_width: int = 128
    vision_layers: int = 2
    vision_heads: int = 2
    text_width: int = 128
    text_layers: int = 4
    text_heads: int = 4

    @property
    def patches(self) -> int:
        """Patches along a frame's side."""
        return SIDE // self.patch

    @property
    def tokens(self) -> int:
        """Tokens that a frame becomes, without its marks."""
        return (self.patches // self.shuffle) ** 2

    @property
    def tokens_per_frame(self) -> int:
        """Tokens from one place in a frame to the same place in the next."""
        return self.tokens + 3


def build_tokenizer(words: Sequence[str]) -> Any:
    """A word-level tokenizer in lower case: the special tokens, then `words`; any other word is UNKNOWN."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "isolated")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        additional_special_tokens=[IMAGE, MARK, GLOBAL, END_OF_UTTERANCE, ANSWER],
        padding_side="left",
        model_max_length=2048,
    )


def build_processor(words: Sequence[str], shape: ModelShape) -> Any:
    """Tokenizer, image processor (Pillow's bilinear scaling to SIDE × SIDE, one picture a frame) and chat template."""
    from transformers import Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    images = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE},
        max_image_size={"longest_edge": SIDE},
        resample=2,
        do_image_splitting=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return Idefics3Processor(images, build_tokenizer(words), image_seq_len=shape.tokens, chat_template=TEMPLATE)


def build_model(vocabulary_size: int, shape: ModelShape) -> Any:
    """The model with fresh weights, drawn from torch's global generator; on the CPU."""
    from transformers import GenerationConfig, Idefics3Config, Idefics3ForConditionalGeneration

    ids = {token: SPECIAL_TOKENS.index(token) for token in SPECIAL_TOKENS}
    config = Idefics3Config(
        image_token_id=ids[IMAGE],
        scale_factor=shape.shuffle,
        tie_word_embeddings=True,
        vision_config={
            "hidden_size": shape.vision_width,
            "intermediate_size": 4 * shape.vision_width,
            "num_hidden_layers": shape.vision_layers,
            "num_attention_heads": shape.vision_heads,
            "image_size": SIDE,
            "patch_size": shape.patch,
            "initializer_range": 0.02,
        },
        text_config={
            "model_type": "llama",
            "hidden_size": shape.text_width,
            "intermediate_size": 3 * shape.text_width,
            "num_hidden_layers": shape.text_layers,
            "num_attention_heads": shape.text_heads,
            "num_key_value_heads": shape.text_heads,
            "attention_bias": True,
            "vocab_size": vocabulary_size,
            "max_position_embeddings": 2048,
            "bos_token_id": ids[BEGIN],
            "eos_token_id": ids[END],
            "pad_token_id": ids[PAD],
        },
    )
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=ids[BEGIN], eos_token_id=ids[END], pad_token_id=ids[PAD], max_new_tokens=1, do_sample=False
    )
    _look_back(model, shape)
    return model


def _look_back(model: Any, shape: ModelShape, strength: float = 6.0) -> None:
    """Let one head of each of the first layers begin by looking at the same place in the frame before.

    Rotary positions turn a query by its position: a bias that is the key's bias turned by as many tokens as a frame has
    makes their product largest exactly that far back. Training may change it like any other weight.
    """
    import torch

    text = model.model.text_model
    width = shape.text_width // shape.text_heads
    with torch.no_grad():
        cos, sin = text.rotary_emb(torch.zeros(1, 1, width), torch.tensor([[shape.tokens_per_frame]]))
        key = torch.zeros(width)
        key[: width // 2] = strength
        turned = key.clone()
        rotated = torch.cat([-turned[width // 2 :], turned[: width // 2]])
        # the query stands tokens_per_frame further on, and is turned by that much more: turn it back beforehand
        query = turned * cos[0, 0] - rotated * sin[0, 0]
        for layer in text.layers[: max(1, shape.text_layers - 1)]:
            layer.self_attn.k_proj.bias[:width] = key
            layer.self_attn.q_proj.bias[:width] = query


def save_folder(folder: Path, model: Any, processor: Any, questions: Sequence[str]) -> None:
    """Write the standard folder: configuration, safetensors, tokenizer, processor, generation settings, plain questions."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / QUESTIONS_FILE).write_text(json.dumps(list(questions), indent=1), encoding="utf-8")
