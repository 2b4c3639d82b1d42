"""The embedded model before training: a small Qwen2-VL, its processor's settings and its tokenizer.

Qwen2-VL keeps a video's resolution, and its patches span several frames. Here they span all frames that the model sees of a clip,
so that a single token shows what changes in one place. In grid worlds, a patch is one cell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlmrb.errors import ConfigError
from vlmrb.scoring.embedded import QUESTIONS_FILE

PAD, UNKNOWN, BEGIN, END, IMAGE, VIDEO, ANSWER = ("<pad>", "<unk>", "<s>", "</s>", "<|image_pad|>", "<|video_pad|>", "<answer>")
SPECIAL_TOKENS = (PAD, UNKNOWN, BEGIN, END, IMAGE, VIDEO, ANSWER)
"""In the order of their ids. The model answers after ANSWER."""

TEMPLATE = (
    "<s>{% for message in messages %}{% for block in message['content'] %}{% if block['type'] == 'video' %}<|video_pad|>"
    "{% elif block['type'] == 'text' %} {{ block['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<answer>{% endif %}"
)

_MOST_PATCHES = 64 * 64  # per frame; larger frames are shrunk


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of the model.

    Attributes:
        frames: how many of a clip the model sees; a patch spans them all. Shorter clips repeat their last frame.
        patch: side of a patch in pixels.
        vision_width, vision_layers, vision_heads: of the vision tower.
        text_width, text_layers, text_heads: of the text model.
    """

    frames: int = 24
    patch: int = 32
    vision_width: int = 64
    vision_layers: int = 3
    vision_heads: int = 2
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4


def build_tokenizer(words: Sequence[str]) -> Any:
    """A lower-case word-level tokenizer: the special tokens, then `words`; any other word is UNKNOWN."""
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
        additional_special_tokens=[IMAGE, VIDEO, ANSWER],
        padding_side="left",
        model_max_length=8192,
    )


def build_model(vocabulary_size: int, shape: ModelShape) -> Any:
    """The model on the CPU, its weights drawn from torch's global generator."""
    from transformers import GenerationConfig, Qwen2VLConfig, Qwen2VLForConditionalGeneration

    ids = {token: SPECIAL_TOKENS.index(token) for token in SPECIAL_TOKENS}
    head = shape.text_width // shape.text_heads
    config = Qwen2VLConfig(
        image_token_id=ids[IMAGE],
        video_token_id=ids[VIDEO],
        vision_start_token_id=ids[BEGIN],
        vision_end_token_id=ids[END],
        tie_word_embeddings=True,
        vision_config={
            "depth": shape.vision_layers,
            "embed_dim": shape.vision_width,
            "hidden_size": shape.text_width,
            "num_heads": shape.vision_heads,
            "mlp_ratio": 4,
            "patch_size": shape.patch,
            "spatial_merge_size": 1,
            "temporal_patch_size": shape.frames,
        },
        text_config={
            "hidden_size": shape.text_width,
            "intermediate_size": 3 * shape.text_width,
            "num_hidden_layers": shape.text_layers,
            "num_attention_heads": shape.text_heads,
            "num_key_value_heads": shape.text_heads,
            "vocab_size": vocabulary_size,
            "max_position_embeddings": 8192,
            # time hardly varies, so most rotary frequencies encode rows and columns
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [head // 2 - 2 * (head // 6), head // 6, head // 6],
            },
            "bos_token_id": ids[BEGIN],
            "eos_token_id": ids[END],
            "pad_token_id": ids[PAD],
        },
    )
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=ids[BEGIN], eos_token_id=ids[END], pad_token_id=ids[PAD], max_new_tokens=1, do_sample=False
    )
    return model


def patch_embedding(to_pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Turn weights over C coordinates of a patch into the equivalent weights over its pixels.

    Args:
        to_pixels: float [side · side · 3, C]; pixels in [−1, 1] times these give the coordinates.
        weights: float32 [C, F, D], for each coordinate and each frame of a clip.

    Returns:
        float32 [D, 3, F, side, side].
    """
    components, frames, width = weights.shape
    side = round((len(to_pixels) / 3) ** 0.5)
    kernel: np.ndarray = to_pixels @ weights.reshape(components, -1)
    return kernel.reshape(side, side, 3, frames, width).transpose(4, 2, 3, 0, 1).astype(np.float32)


def patch_weights(to_pixels: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The inverse of `patch_embedding`: weights over pixels [D, 3, F, side, side] as float32 [C, F, D], as near as they come."""
    width, _, frames, side, _ = kernel.shape
    rows = kernel.transpose(3, 4, 1, 2, 0).reshape(3 * side * side, frames * width)
    found = np.linalg.lstsq(to_pixels.astype(np.float64), rows.astype(np.float64), rcond=None)[0]
    return found.reshape(-1, frames, width).astype(np.float32)


def stretch_frames(kernel: np.ndarray, frames: int) -> np.ndarray:
    """A patch embedding for more frames of a clip: each old frame's weights go to the two new ones nearest in time.

    What does not move is embedded as before.

    Args:
        kernel: float [D, 3, F, side, side].
        frames: of the result, F or more.
    """
    old = kernel.shape[2]
    if old == frames:
        return kernel
    at = np.arange(old) * (frames - 1) / max(1, old - 1)
    shares = np.clip(1 - np.abs(at[:, None] - np.arange(frames)), 0, None)  # [F, frames], rows add up to 1
    stretched: np.ndarray = np.einsum("dcfhw,fg->dcghw", kernel, shares)
    return stretched


@dataclass(frozen=True, slots=True)
class EarlierModel:
    """A model to train further: its weights by name, its words by spelling, and its patch embedding.

    Attributes:
        weights: tensors by name, without the patch embedding.
        words: ids by word.
        kernel: the patch embedding, float32 [D, 3, F, side, side].
    """

    weights: dict[str, Any]
    words: dict[str, int]
    kernel: np.ndarray

    def give_to(self, model: Any, tokenizer: Any, frames: int) -> np.ndarray:
        """Copy the weights into a model from `build_model`; new words keep theirs. Returns the embedding for `frames`."""
        own = model.state_dict()
        known = [(index, self.words[word]) for word, index in tokenizer.get_vocab().items() if word in self.words]
        mine, theirs = (list(ids) for ids in zip(*known, strict=True))
        for name, weights in self.weights.items():
            if _is_by_word(name):
                own[name][mine] = weights[theirs]
            else:
                own[name].copy_(weights)
        return stretch_frames(self.kernel, frames)


def load_earlier(folder: Path, shape: ModelShape) -> EarlierModel:
    """Read a model that a training of this shape can go on from.

    Raises:
        ConfigError: the folder holds none, or one of other sizes.
    """
    from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

    if not (folder / QUESTIONS_FILE).is_file():
        raise ConfigError(f"pretrain: --start {folder} holds no embedded model; give a folder that pretrain wrote")
    try:
        weights = Qwen2VLForConditionalGeneration.from_pretrained(folder, local_files_only=True, dtype="float32").state_dict()
        words = AutoTokenizer.from_pretrained(folder, local_files_only=True).get_vocab()
    except (OSError, ValueError) as error:
        raise ConfigError(f"pretrain: --start {folder} cannot be read ({error}); give a folder that pretrain wrote") from None
    [patches] = [name for name in weights if name.endswith("patch_embed.proj.weight")]
    kernel = weights.pop(patches).numpy()
    sizes = {name: tuple(each.shape)[_is_by_word(name) :] for name, each in weights.items()}
    expected = build_model(len(words), shape).state_dict()
    wanted = {name: tuple(each.shape)[_is_by_word(name) :] for name, each in expected.items() if name != patches}
    if sizes != wanted or kernel.shape[2] > shape.frames or kernel.shape[3] != shape.patch:
        raise ConfigError(
            f"pretrain: --start {folder} is a model of another shape; it has to be one of this suite, of at most {shape.frames} "
            "frames. Start without it"
        )
    return EarlierModel(weights, words, kernel)


def _is_by_word(name: str) -> bool:
    """Whether a tensor has a row for each word of the vocabulary."""
    return "embed_tokens" in name or "lm_head" in name


def processor_settings(shape: ModelShape) -> dict[str, Any]:
    """The contents of `processor_config.json`: pictures keep their size; their pixels are scaled to [−1, 1]."""
    common = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "merge_size": 1,
        "patch_size": shape.patch,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": shape.patch**2, "longest_edge": _MOST_PATCHES * shape.patch**2},
        "temporal_patch_size": shape.frames,
    }
    return {
        "processor_class": "Qwen2VLProcessor",
        "image_processor": {**common, "image_processor_type": "Qwen2VLImageProcessor"},
        "video_processor": {
            **common,
            "video_processor_type": "Qwen2VLVideoProcessor",
            "cap_pixels_per_frame": False,
            "do_sample_frames": False,
        },
    }


def save_folder(
    folder: Path, model: Any, tokenizer: Any, shape: ModelShape, questions: Sequence[str], pictures: str = "minigrid"
) -> None:
    """Write the standard folder: configuration, safetensors, tokenizer, processor, generation settings, plain questions.

    `pictures` is the kind of pictures that the model knows, as in a run's `render_spec`.
    """
    from transformers.utils.logging import disable_progress_bar

    folder.mkdir(parents=True, exist_ok=True)
    disable_progress_bar()  # one file of a few megabytes
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _write_json(folder / "processor_config.json", processor_settings(shape))
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    _write_json(folder / QUESTIONS_FILE, {"pictures": pictures, "questions": list(questions)})


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
