"""`hf:` scorer: any vision-language or language model that `transformers` loads, queried with one forward pass per question.

The documented default on a GPU is facebook/Perception-LM-1B. A clip is shown as its evenly spaced frames, either as
a video or as several images, in the model's own chat template; P(yes) is read from the logits of the first answer
token. A set of questions is answered after one look at the frames (see `one_look`). A clip of text is read by any language
model, with or without eyes. `torch` and `transformers` are imported when a scorer is created, not with this module.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmrb.config import DEFAULT_FRAMES
from vlmrb.errors import ScorerError, ScorerSetupError
from vlmrb.scoring.frames import FramesProcessor
from vlmrb.scoring.loading import load_model, within
from vlmrb.scoring.one_look import SharedReading, one_look
from vlmrb.scoring.transcripts import ask_about
from vlmrb.scoring.yes_no import (
    Answer,
    answer_from_logits,
    find_thinking_tokens,
    find_yes_no_tokens,
    opens_thinking,
    score_of,
    unknown,
)
from vlmrb.types import Clip, ClipScore, Mosaic, Prompt, ScoringRequest

if TYPE_CHECKING:
    from torch import Tensor

STEPS_PER_SECOND = 8.0
"""Frame rate given to models that read time stamps, the same as in a clip's MP4: 32 steps take 4 seconds."""

PROBE_SIDES = (224, 224)
"""Height and width of the frames that a model is tried with."""

TEMPLATE_S = 60.0
"""Seconds for a chat template to render one message, which takes milliseconds unless it never ends."""

_TOKENS = ("input_ids", "attention_mask")

_TAG = re.compile(r"[<\[◁][^<>\[\]◁▷]*[>\]▷]")

_SOME_TEXT = "transcript?"

_ONE_TILE = {"do_image_splitting": False, "crop_to_patches": False, "vision_input_type": "vanilla", "slice_mode": False}
"""Settings that keep processors from cutting frames into tiles: frames are small, and eight of them would take thousands of
tokens. Each is passed to the processors that know it (Idefics3, SmolVLM and LFM2-VL; InternVL; Perception-LM; MiniCPM-V)."""

_ONE_BY_ONE = {"stack_frames": 1}
"""Settings that keep video processors (MiniCPM-V) from putting several frames into one picture."""


class HFScorer:
    """Scores clips with a vision-language model, or clips of text with a language model.

    With `input='auto'`, a clip is shown as a video if the model has a video processor and its chat template accepts
    videos, else as several images; 'images' or 'video' force one. Perception-LM, SmolVLM2, Qwen-VL, InternVL and
    LLaVA-OneVision get videos, Idefics3 images. 'text' is for clips of text: the model reads their transcripts.

    Attributes:
        frames_per_clip: evenly spaced frames, or steps of a transcript, per clip.
        model: name as given: hub id or folder.
        revision: commit hash on the hub, or 'sha256:…' of the folder.
        input: the choice made: 'images', 'video' or 'text'.
        device: torch device of the weights.
        dtype: torch dtype of the weights.
    """

    def __init__(
        self,
        model: str,
        *,
        scorer: str,
        frames_per_clip: int | None = None,
        threshold: float = 0.5,
        device: str = "auto",
        dtype: str = "auto",
        trust_remote_code: bool = False,
        input: Literal["auto", "images", "video", "text"] = "auto",
    ) -> None:
        """Load the model.

        Args:
            model: hub id or local folder.
            scorer: the string that selected this back end; stored with every score.
            frames_per_clip: evenly spaced frames per clip, ≥ 1; None for 8, or for the frames that one of the model's
                patches spans if that is more.
            threshold: the label is yes if P(yes) ≥ threshold.
            device: torch device, or 'auto': cuda, else mps, else cpu.
            dtype: float32, bfloat16, float16, or 'auto': bfloat16 on CUDA, float32 elsewhere.
            trust_remote_code: run Python code that comes with the checkpoint.
            input: how clips are shown.

        Raises:
            ScorerSetupError: the model cannot be loaded, takes neither images nor videos (unless it is to read text), or its
                tokenizer has no single-token yes or no; or what it is shown does not change its answer.
            ScorerError: it fails on a clip.
        """
        if input not in ("auto", "images", "video", "text"):
            raise ScorerSetupError(f"scorer input {input!r} is unknown; use auto, images, video or text")
        self.model, self._scorer, self._threshold = model, scorer, threshold
        loaded = load_model(model, device=device, dtype=dtype, trust_remote_code=trust_remote_code, text=input == "text")
        self.revision, self.device, self.dtype = loaded.revision, loaded.device, loaded.dtype
        self._processor, self._network, self._offsets = loaded.processor, loaded.model, loaded.offsets
        self._tokenizer = getattr(loaded.processor, "tokenizer", loaded.processor)
        self.frames_per_clip = frames_per_clip or _frames_of(loaded.model.config)
        self._forward_parameters = frozenset(inspect.signature(self._network.forward).parameters)
        self._shared = SharedReading(self._network)
        self._in_blocks = True  # whether a message's text is a block of its content, or all of it
        self.input = self._pick_input(input)
        vocabulary_size = getattr(self._network.config.get_text_config(), "vocab_size", None)
        self._tokens = find_yes_no_tokens(self._tokenizer, vocabulary_size)
        self._thinking_tokens = find_thinking_tokens(self._tokenizer, vocabulary_size)
        self._control_tokens = _control_tokens(self._processor)
        self._batch_limit: int | None = None  # largest batch that fits on the device; None until one does not
        self._check_that_it_sees()

    @property
    def reads_mosaics(self) -> bool:
        """Whether frames need not be drawn."""
        return self.input == "video" and getattr(self._processor, "memory", None) is not None

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """One score per request, in order; a clip without frames or transcript is unknown, and so is an answer with non-finite
        logits.

        Raises:
            ScorerError: the model failed, or a single clip does not fit into the device's memory.
        """
        questions = [self._neutral(question) for question in prompt.questions]
        answers = [[unknown("the clip has no frames")] * len(questions)] * len(requests)
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, request in enumerate(requests):
            if self.input == "text":
                reason = self._unreadable(request, questions)
                answers[index] = [unknown(reason)] * len(questions)
                if not reason:
                    groups.setdefault((), []).append(index)
            elif len(request.frames):
                groups.setdefault(self._alike(request.frames.shape), []).append(index)
        for indices in groups.values():
            for index, of_clip in zip(indices, self._answer_all([requests[i] for i in indices], questions), strict=True):
                answers[index] = of_clip
        return [self._as_score(request, of_clip, prompt) for request, of_clip in zip(requests, answers, strict=True)]

    def _alike(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What frames of a batch must have in common: videos their shape, or the patches that they fill. Images are padded."""
        if self.input == "images":
            return shape[1:]
        return self._processor.filled(shape) if isinstance(self._processor, FramesProcessor) else shape

    def _check_that_it_sees(self) -> None:
        """Show it two clips that have nothing in common: frames that get lost on the way to the network leave no other trace.

        Raises:
            ScorerSetupError: its logits are the same.
        """
        if self.input == "text":
            return
        length = self.frames_per_clip
        rng, shape = np.random.default_rng(0), (length, *PROBE_SIDES, 3)
        told = []
        for frames in (np.zeros(shape, np.uint8), rng.integers(0, 256, shape, np.uint8)):
            clip = Clip(0, 0, 0, np.arange(length), frames, np.zeros(length, np.float32), (), "length")
            [[answer]] = self._answer_all([ScoringRequest(clip, frames, tuple(range(length)))], ["Does anything happen?"])
            told.append((answer.yes_logit, answer.no_logit))
        if told[0] == told[1] != (None, None):
            raise ScorerSetupError(
                f"scorer {self._scorer}: the model's logits are the same whatever it is shown (a black clip and a noisy one), so "
                "that its answers say nothing about clips; check that its processor and its weights belong together, or use "
                "another checkpoint"
            )

    def close(self) -> None:
        """Free the model's memory. The scorer cannot be used afterwards."""
        import torch

        self._network = self._processor = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _answer_all(self, requests: list[ScoringRequest], questions: list[str]) -> list[list[Answer]]:
        """Each clip's answers in order, in batches as large as the device's memory allows."""
        answers: list[list[Answer]] = []
        while len(answers) < len(requests):
            batch = requests[len(answers) :][: self._batch_limit]
            fitted = self._answer(batch, questions)
            if fitted is not None:
                answers += fitted
            elif len(batch) == 1:
                what, fewer = (f"{len(batch[0].frames)} frames", "frames")
                if self.input == "text":
                    what, fewer = f"{len(batch[0].transcript):,} characters", "steps"
                raise ScorerError(
                    f"scorer {self._scorer}: one clip of {what} does not fit into the memory of "
                    f"{self.device} next to the model; use fewer {fewer} (--scorer-frames), a smaller model, "
                    "--scorer-dtype bfloat16, or --scorer-device cpu"
                )
            else:
                self._batch_limit = len(batch) // 2
        return answers

    def _answer(self, requests: list[ScoringRequest], questions: list[str]) -> list[list[Answer]] | None:
        """Each clip's answers, from one look at its frames; None if that does not fit into the device's memory."""
        import torch

        if self._network is None:
            raise ScorerError(f"scorer {self._scorer} has been closed")
        try:
            look = one_look(self._processor, self._network) if len(questions) > 1 else nullcontext(lambda: None)
            with torch.inference_mode(), look as rewind:
                found = zip(questions, self._logits(requests, questions, rewind), strict=True)
                by_question = [self._answers(logits, self._offsets.of(question)) for question, logits in found]
        except Exception as error:
            if not _is_out_of_memory(error):
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
                raise ScorerError(f"scorer {self._scorer} failed on {len(requests)} clips: {reason}") from error
        else:
            return [list(of_clip) for of_clip in zip(*by_question, strict=True)]
        if self.device.type == "cuda":  # outside the handler, whose traceback would keep the tensors alive
            torch.cuda.empty_cache()
        return None

    def _logits(self, requests: list[ScoringRequest], questions: list[str], rewind: Callable[[], None]) -> list[Tensor]:
        """Logits [B, V] of the answer's first token to each question: rows are padded on the left, so it is the last position."""

        def inputs(question: str) -> dict[str, Any]:
            rewind()
            return self._inputs(requests, question)

        def apart() -> list[Tensor]:
            return [self._network(**inputs(question), **self._savings()).logits[:, -1] for question in questions]

        if len(questions) == 1 or not self._shared.works:
            return apart()
        first, rest = inputs(questions[0]), [_tokens_of(inputs(question)) for question in questions[1:]]
        rewind()
        together = self._shared.logits(self._network, [first, *rest])
        if together is None:
            return apart()
        if not self._shared.is_tried:
            alone = apart()
            self._shared.compare(together, alone)
            return together if self._shared.works else alone
        return together

    def _answers(self, logits: Tensor, offset: float) -> list[Answer]:
        """Each clip's answer, from logits [B, V] and what to add to those of yes."""
        logits = logits.float()
        total = logits.logsumexp(-1)  # [B]; not finite if a logit is NaN or +∞
        yes, no = (logits[:, ids].cpu().numpy() for ids in self._tokens)
        thinking = (logits[:, self._thinking_tokens] - total[:, None]).exp().sum(-1)
        of_clip = zip(yes, no, total.tolist(), thinking.tolist(), strict=True)
        return [answer_from_logits(yes + offset, no, total=total, thinking=share) for yes, no, total, share in of_clip]

    def _inputs(self, requests: list[ScoringRequest], text: str) -> dict[str, Any]:
        """Chat template, pictures and tokens as tensors on the device."""
        if self.input == "text":
            return self._text_inputs([self._chat_text(request, text) for request in requests])
        options: dict[str, Any] = {"padding": True, "padding_side": "left"}
        resized_there = {"device": str(self.device)}  # where it costs a fraction of what it does on the CPU
        if self.input == "video":
            options |= _known(self._processor.video_processor, _ONE_TILE | _ONE_BY_ONE | resized_there)
            options["do_sample_frames"] = False  # the caller has chosen the frames
            options["video_metadata"] = [_video_metadata(request) for request in requests]
        else:
            options |= _known(self._processor.image_processor, _ONE_TILE | resized_there)
        question = {"type": "text", "text": text}
        chats = [[{"role": "user", "content": [*self._pictures(request.frames), question]}] for request in requests]
        inputs = self._processor.apply_chat_template(
            chats,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=options,
            **self._without_thinking(),
        )
        inputs = inputs.to(self.device, dtype=self.dtype)
        # some tokenizers always add token_type_ids; few models accept them
        return {name: value for name, value in inputs.items() if name != "token_type_ids" or name in self._forward_parameters}

    def _chat_text(self, request: ScoringRequest, question: str) -> str:
        """The chat template's text for a question about a transcript."""
        text = ask_about(question, self._neutral(request.transcript))
        return str(
            self._processor.apply_chat_template(
                [{"role": "user", "content": self._as_content(text)}],
                add_generation_prompt=True,
                tokenize=False,
                **self._without_thinking(),
            )
        )

    def _text_inputs(self, texts: list[str]) -> dict[str, Any]:
        """Tokens as tensors on the device, padded on the left."""
        tokens = self._tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt").to(self.device)
        inputs = {name: tokens[name] for name in _TOKENS}
        if self._reads_only_text and "position_ids" in self._forward_parameters:  # else padding would move a text's positions
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        return inputs

    def _unreadable(self, request: ScoringRequest, questions: list[str]) -> str:
        """Why a transcript cannot be read, or ''."""
        if not request.transcript:
            return "the clip has no text"
        longest = getattr(self._network.config.get_text_config(), "max_position_embeddings", None) if self._network else None
        if not longest:
            return ""
        asked = self._tokenizer([self._chat_text(request, question) for question in questions], add_special_tokens=False)
        length = max(map(len, asked["input_ids"]))
        if length <= longest:
            return ""
        return f"the clip's text takes {length:,} tokens, and the model reads {longest:,}; show it fewer steps (--scorer-frames)"

    def _as_content(self, text: str) -> Any:
        """Text as the content of a message."""
        return [{"type": "text", "text": text}] if self._in_blocks else text

    def _without_thinking(self) -> dict[str, bool]:
        """What keeps the chat template from opening a chain of thought: a model in one would not answer with its first token."""
        return {"enable_thinking": False} if "enable_thinking" in str(self._processor.chat_template) else {}

    def _pictures(self, frames: np.ndarray | Mosaic) -> list[dict[str, Any]]:
        """Frames uint8 [F, H, W, 3] as content of a chat message; a video has at least two (Qwen3-VL requires it)."""
        if self.input == "video":
            shown = frames if self.reads_mosaics else np.asarray(frames)
            return [{"type": "video", "video": shown if len(shown) > 1 else shown[[0, 0]]}]
        from PIL import Image

        return [{"type": "image", "image": Image.fromarray(frame)} for frame in np.asarray(frames)]

    def _savings(self) -> dict[str, Any]:
        """Skip all logits but the last position's, and the key-value cache, if the model allows."""
        wanted = {"logits_to_keep": 1, "use_cache": False}
        return {name: value for name, value in wanted.items() if name in self._forward_parameters}

    @property
    def _reads_only_text(self) -> bool:
        return not hasattr(self._network.config, "vision_config")

    def _pick_input(self, wanted: str) -> Literal["images", "video", "text"]:
        if wanted == "text":
            self._in_blocks = not self._shows_text(in_blocks=False)
            if self._in_blocks and not self._shows_text(in_blocks=True):
                raise ScorerSetupError(
                    f"scorer {self._scorer}: its chat template does not show the text of a message; use another checkpoint"
                )
            self._check_answers_at_once()
            return "text"
        has_video = hasattr(self._processor, "video_processor") and self._has_place_for("video")
        if wanted == "video" or (wanted == "auto" and has_video):
            picked: Literal["images", "video", "text"] = "video"
            possible = has_video
        else:
            picked = "images"
            possible = hasattr(self._processor, "image_processor") and self._has_place_for("image")
        if not possible:
            other = "another checkpoint" if wanted == "auto" else "input='auto', or another checkpoint"
            raise ScorerSetupError(
                f"scorer {self._scorer}: the model's processor ({type(self._processor).__name__}) or its chat "
                f"template does not accept {picked}; use {other}"
            )
        self._check_answers_at_once()
        return picked

    def _check_answers_at_once(self) -> None:
        answer = self._render(self._as_content(_SOME_TEXT)).rpartition(_SOME_TEXT)[2]
        tags = _TAG.findall(answer)
        if tags and opens_thinking(tags[-1]):  # and nothing closes it
            raise ScorerSetupError(
                f"scorer {self._scorer}: its chat template makes the model think before it answers, so that its first token is "
                "no answer; use a checkpoint that answers at once, such as the 'Instruct' one of its family"
            )

    def _shows_text(self, in_blocks: bool) -> bool:
        """Whether the chat template renders text that is given in this way."""
        try:
            return _SOME_TEXT in self._render([{"type": "text", "text": _SOME_TEXT}] if in_blocks else _SOME_TEXT)
        except ScorerError:  # it never ends
            raise
        except Exception:  # noqa: BLE001 - templates raise anything for what they do not expect
            return False

    def _has_place_for(self, kind: str) -> bool:
        """Whether the chat template renders a block of this type."""
        question = {"type": "text", "text": "?"}
        try:
            return self._render([{"type": kind}, question]) != self._render([question])
        except ScorerError:  # it never ends
            raise
        except Exception:  # noqa: BLE001 - templates raise anything for an unknown type
            return False

    def _render(self, content: list[dict[str, str]] | str) -> str:
        """The chat template's text for one message.

        Raises:
            ScorerSetupError: it does not end.
        """
        chat = [{"role": "user", "content": content}]
        options = {"add_generation_prompt": True, "tokenize": False, **self._without_thinking()}
        render = partial(self._processor.apply_chat_template, chat, **options)
        return str(within(TEMPLATE_S, render, f"scorer {self._scorer}: its chat template"))

    def _neutral(self, text: str) -> str:
        """Prompt text without the model's control tokens: it is untrusted, and '<image>' would request a picture."""
        for token in self._control_tokens:
            text = text.replace(token, f"{token[:1]} {token[1:]}")
        return text

    def _as_score(self, request: ScoringRequest, answers: list[Answer], prompt: Prompt) -> ClipScore:
        model = self._scorer if self._scorer.startswith("embedded") else self.model  # not the folder it is in here
        named = {"scorer": self._scorer, "model": model, "revision": self.revision}
        return score_of(request, answers, prompt, threshold=self._threshold, **named)


def _frames_of(config: Any) -> int:
    """A model's default number of frames: a patch of a Qwen-VL model spans several."""
    return max(DEFAULT_FRAMES, int(getattr(getattr(config, "vision_config", None), "temporal_patch_size", None) or 1))


def _tokens_of(inputs: dict[str, Any]) -> dict[str, Any]:
    """A prompt's tokens and their mask, without its pictures."""
    return {name: inputs[name] for name in _TOKENS}


def _known(processor: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that an image or video processor knows."""
    known = getattr(getattr(processor, "valid_kwargs", None), "__annotations__", {})
    return {name: value for name, value in settings.items() if name in known}


def _video_metadata(request: ScoringRequest) -> dict[str, Any]:
    steps = max(len(request.clip), 1)
    height, width = request.frames.shape[1:3]
    indices = [int(index) for index in request.frame_indices]
    return {
        "total_num_frames": steps,
        "fps": STEPS_PER_SECOND,
        "duration": steps / STEPS_PER_SECOND,
        "height": height,
        "width": width,
        "frames_indices": indices if len(indices) > 1 else indices * 2,
    }


def _control_tokens(processor: Any) -> tuple[str, ...]:
    """Special tokens and media placeholders, longest first."""
    tokenizer = getattr(processor, "tokenizer", processor)
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    tokens = set(tokenizer.all_special_tokens) | {token.content for token in added if token.special}
    tokens |= {str(token) for kind in ("image", "video", "audio") if (token := getattr(processor, f"{kind}_token", None))}
    return tuple(sorted((token for token in tokens if len(token) > 1), key=lambda token: (-len(token), token)))


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    signs = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
