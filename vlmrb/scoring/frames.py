"""Videos for Qwen2-VL and Qwen2.5-VL without torchvision.

`transformers` prepares videos only with torchvision, which not every installation has. For these two families it takes little:
frames are scaled to whole patches (usually they already fit), normalized and cut up. A test compares the result with the
library's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmrb.types import Mosaic

if TYPE_CHECKING:
    from vlmrb.scoring.patch_memory import PatchMemory

LONG_PATCH = 8
"""Frames of a patch from which on squares are remembered: in other models, embedding patches is next to none of the work."""

MODEL_TYPES = ("qwen2_vl", "qwen2_5_vl")
"""`model_type`s of `transformers` configurations that this module supports."""

_PROCESSOR_FILE, _VIDEO_FILE, _IMAGE_FILE = "processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json"


class FramesProcessor:
    """Processes chats with videos like a `transformers` processor, for one checkpoint.

    Attributes:
        tokenizer: the checkpoint's tokenizer.
        chat_template: the checkpoint's chat template.
        video_processor: itself: it prepares videos but no images.
        video_token: placeholder of a visual token in the text.
        memory: what embeds frames that come as a `Mosaic`; None to draw them.

    With `timed`, the model wants to know how much time passes between frames, as Qwen2.5-VL does.
    """

    def __init__(
        self, tokenizer: Any, chat_template: str, video_token: str, settings: dict[str, Any], *, timed: bool = False
    ) -> None:
        self.tokenizer, self.chat_template, self.video_token = tokenizer, chat_template, video_token
        self.video_processor, self._timed = self, timed
        self._patch, self._merge = int(settings.get("patch_size", 14)), int(settings.get("merge_size", 2))
        self._frames = int(settings.get("temporal_patch_size", 2))
        size = settings.get("size") or {}
        self._fewest = int(settings.get("min_pixels") or size.get("shortest_edge") or 128 * 28 * 28)
        self._most = int(settings.get("max_pixels") or size.get("longest_edge") or 768 * 28 * 28)
        mean, std = (np.asarray(settings.get(name) or default, np.float32) for name, default in _CLIP.items())
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._space = np.empty(0, np.float32)
        self.memory: PatchMemory | None = None

    def remember_squares(self, model: Any) -> None:
        """Let this model's patch embedding remember squares, so that mosaics need not be drawn."""
        from vlmrb.scoring.patch_memory import PatchMemory

        eye = model.model.visual
        self.memory = eye.patch_embed = PatchMemory(eye.patch_embed, self._scale, self._shift)

    def apply_chat_template(
        self,
        chats: list[Any],
        *,
        tokenize: bool = False,
        return_dict: bool = True,
        return_tensors: str = "pt",
        processor_kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Text of a chat, or with `tokenize` the model inputs for a batch of chats with one video each.

        Args:
            chats: the chats; without `tokenize`, one.
            tokenize: make the model inputs.
            return_dict: always so.
            return_tensors: always so.
            processor_kwargs: with 'video_metadata' for each chat, of which a timed processor reads 'fps', 'frames_indices'
                and 'total_num_frames'. The rest is known.
            options: for the chat template.

        Returns:
            the text, or a `BatchFeature` with input_ids, attention_mask and mm_token_type_ids int64 [B, T],
            pixel_values_videos float32 [patches, values] (valid until the next call; see `preprocess`), video_grid_thw int64
            [B, 3], and of a timed processor second_per_grid_ts float32 [B].
        """
        if not tokenize:
            return self._text(chats, options)
        import torch
        from transformers import BatchFeature

        patches, grids = self.preprocess([_video_of(chat) for chat in chats])
        rows: dict[tuple[str, int], int] = {}  # clips about which the same is asked have the same text, written once
        row_of = [rows.setdefault(key, len(rows)) for key in map(self._key, chats, grids)]
        different = [chats[row_of.index(row)] for row in range(len(rows))]
        texts = [
            self._text(chat, options).replace(self.video_token, self.video_token * tokens)
            for chat, (_, tokens) in zip(different, rows, strict=True)
        ]
        tokens = self.tokenizer(texts, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt")
        input_ids, attention_mask = (tokens[name][row_of] for name in ("input_ids", "attention_mask"))
        video_id = self.tokenizer.convert_tokens_to_ids(self.video_token)
        metadata = (processor_kwargs or {}).get("video_metadata") or []
        times = {"second_per_grid_ts": torch.tensor([self._seconds(video) for video in metadata])} if self._timed else {}
        return BatchFeature(
            {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "mm_token_type_ids": 2 * (input_ids == video_id).long(),
                "pixel_values_videos": torch.as_tensor(patches),
                "video_grid_thw": torch.tensor(grids),
                **times,
            }
        )

    def _seconds(self, video: dict[str, Any]) -> float:
        """Seconds that a patch of several frames stands for."""
        return float(self._frames * video["total_num_frames"] / (len(video["frames_indices"]) * video["fps"]))

    def _key(self, chat: Any, grid: tuple[int, int, int]) -> tuple[str, int]:
        """What the text of a chat depends on: all of it but the pictures, and the number of visual tokens."""
        said = [(message["role"], [block.get("text", block["type"]) for block in message["content"]]) for message in chat]
        return repr(said), math.prod(grid) // self._merge**2

    def preprocess(self, videos: Sequence[np.ndarray | Mosaic]) -> tuple[Any, list[tuple[int, int, int]]]:
        """Cut videos into patches.

        Args:
            videos: RGB uint8 [F, H, W, 3] each, or mosaics; the last frame is repeated until the frames fill a patch.

        Returns:
            float32 [patches of all videos, 3·frames·patch·patch], valid until the next call, and the grid (T, h, w) of
            each video. Where `memory` takes the videos, a tensor [patches, D] of what it makes of them.
        """
        if self.memory is not None and self.memory.takes(videos) and all(self._is_fit(video.shape) for video in videos):
            return self._embedded(self.memory, videos)  # type: ignore[arg-type]
        filled = [self._fill(self._fit(np.asarray(video))) for video in videos]
        grids = [
            (len(frames) // self._frames, frames.shape[1] // self._patch, frames.shape[2] // self._patch) for frames in filled
        ]
        values = self._room((sum(map(math.prod, grids)), 3, self._frames * self._patch**2))
        start = 0
        for frames, grid in zip(filled, grids, strict=True):
            stretch = values[start : start + math.prod(grid)]
            # reorder while still bytes: a quarter of the size of floats
            np.multiply(self._cut(frames, grid).reshape(stretch.shape), self._scale[:, None], out=stretch, casting="unsafe")
            start += len(stretch)
        values += self._shift[:, None]
        return values.reshape(len(values), -1), grids

    def _embedded(self, memory: PatchMemory, videos: Sequence[Mosaic]) -> tuple[Any, list[tuple[int, int, int]]]:
        grids = [(-(-len(video) // self._frames), *video.index.shape[1:]) for video in videos]
        return memory.embed(videos, self._merge), grids

    def _is_fit(self, shape: tuple[int, ...]) -> bool:
        """Whether frames of this shape need no scaling."""
        height, width = shape[1:3]
        return (height, width) == fitting_size(height, width, self._patch * self._merge, self._fewest, self._most)

    def _room(self, shape: tuple[int, ...]) -> np.ndarray:
        """Reused memory: a batch takes a hundred megabytes, and allocating them takes as long as filling them."""
        size = math.prod(shape)
        if len(self._space) < size:
            self._space = np.empty(size, np.float32)
        return self._space[:size].reshape(shape)

    def filled(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of frames [F, H, W, 3] once they fill whole patches."""
        return (shape[0] + -shape[0] % self._frames, *shape[1:])

    def _fill(self, frames: np.ndarray) -> np.ndarray:
        missing = -len(frames) % self._frames
        return np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)]) if missing else frames

    def _cut(self, frames: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
        """uint8 [F, H, W, 3] → uint8 [T, h/merge, w/merge, merge, merge, 3, frames, patch, patch], contiguous."""
        merge, side = self._merge, self._patch
        cut = frames.reshape(grid[0], self._frames, grid[1] // merge, merge, side, grid[2] // merge, merge, side, 3)
        return np.ascontiguousarray(cut.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7))

    def _fit(self, video: np.ndarray) -> np.ndarray:
        """Scale frames to whole patches, within the model's limits on pixels."""
        from PIL import Image

        given = video.shape[1], video.shape[2]
        height, width = fitting_size(*given, self._patch * self._merge, self._fewest, self._most)
        if given == (height, width):
            return video
        resized = [Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in video]
        return np.stack([np.asarray(frame) for frame in resized])

    def _text(self, chat: Any, options: dict[str, Any]) -> str:
        return str(self.tokenizer.apply_chat_template(chat, chat_template=self.chat_template, tokenize=False, **options))


_CLIP = {"image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711)}


def fitting_size(height: int, width: int, factor: int, fewest: int, most: int) -> tuple[int, int]:
    """The nearest size whose sides are multiples of `factor`, with at least `fewest` and at most `most` pixels in all."""
    fitted = round(height / factor) * factor, round(width / factor) * factor
    if math.prod(fitted) > most:
        shrink = math.sqrt(height * width / most)
        return tuple(max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))  # type: ignore[return-value]
    if math.prod(fitted) < fewest:
        grow = math.sqrt(fewest / (height * width))
        return tuple(math.ceil(side * grow / factor) * factor for side in (height, width))  # type: ignore[return-value]
    return fitted


def has_long_patches(config: Any) -> bool:
    """Whether a patch of the model spans so many frames that embedding patches is most of its work."""
    return int(getattr(getattr(config, "vision_config", None), "temporal_patch_size", None) or 1) >= LONG_PATCH


def load_frames_processor(where: dict[str, Any], config: Any) -> FramesProcessor:
    """Load the processor of a Qwen2-VL or Qwen2.5-VL checkpoint.

    Args:
        where: arguments for `from_pretrained`: name or folder, revision, local_files_only.
        config: the model's.

    Raises:
        OSError: a file cannot be loaded.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    both = _settings(where, _PROCESSOR_FILE)
    settings = both.get("video_processor") or _settings(where, _VIDEO_FILE) or _settings(where, _IMAGE_FILE)
    template = _template(where) or tokenizer.chat_template
    video_token = str(tokenizer.convert_ids_to_tokens(config.video_token_id))
    return FramesProcessor(tokenizer, template, video_token, settings, timed=config.model_type == "qwen2_5_vl")


def _settings(where: dict[str, Any], name: str) -> dict[str, Any]:
    import json

    text = _file(where, name)
    return json.loads(text) if text else {}


def _template(where: dict[str, Any]) -> str:
    import json

    return _file(where, "chat_template.jinja") or json.loads(_file(where, "chat_template.json") or "{}").get("chat_template", "")


def _file(where: dict[str, Any], name: str) -> str:
    """Text of a file in the checkpoint; '' if it does not exist."""
    from pathlib import Path

    from transformers.utils import cached_file

    options = {key: where[key] for key in ("revision", "local_files_only") if key in where}
    path = cached_file(
        str(where["pretrained_model_name_or_path"]),
        name,
        _raise_exceptions_for_missing_entries=False,
        **options,
    )
    return Path(path).read_text(encoding="utf-8") if path else ""


def _video_of(chat: list[dict[str, Any]]) -> np.ndarray | Mosaic:
    videos = [block["video"] for message in chat for block in message["content"] if block["type"] == "video"]
    if len(videos) != 1:
        raise ValueError(f"a chat must contain one video, this one contains {len(videos)}")
    return videos[0] if isinstance(videos[0], Mosaic) else np.asarray(videos[0])
