"""Scorers: their requests, their answers and their interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from vlmrb.types.clips import Clip


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a named prompt. It is data, never code; the text is untrusted.

    Attributes:
        name: a preset's name or the user's; free text on the command line is named 'custom'.
        version: 1, 2, 3, … within the name.
        text: the yes/no question shown to the model, or a set of them: one per line, each after '- '.
        prompt_id: its id in the store, or None if it is not stored.
    """

    name: str
    version: int
    text: str
    prompt_id: int | None = None

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions of a set, in order, if every non-empty line starts with '- '; else the text as the only question."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        if lines and all(line == "-" or line.startswith("- ") for line in lines):
            return tuple(line[1:].strip() for line in lines)
        return (self.text,)


@dataclass(frozen=True, slots=True)
class ClipScore:
    """A scorer's answer about a clip, or its answers to a set of questions.

    Attributes:
        clip_id: the clip.
        probability: P(yes) in [0, 1], or None for 'unknown' (no usable answer). Of a set, the largest known answer: one yes is
            enough (rule 'any').
        yes_logit: log-sum-exp of the raw logits (or log-probabilities) of the yes variants; None if there are none. Of a set,
            those of the largest answer.
        no_logit: the same for the no variants.
        threshold: the label is yes if probability ≥ threshold.
        scorer: back-end string, such as 'hf:/models/plm' or 'oracle'.
        model: name of the model or control scorer.
        revision: commit hash or content fingerprint of the model; '' if there is none.
        prompt_id: the stored prompt version that was asked; None for control scorers, which read no prompt.
        frame_indices: frames of the clip shown to the model; empty for control scorers.
        latency_s: worker time for this clip in seconds (its part of the batch, including rendering).
        error: why the score or one of its answers is unknown, or ''.
        answers: P(yes) of each question, in order; None for unknown ones. Without it, `(probability,)`.
    """

    clip_id: int
    probability: float | None
    yes_logit: float | None
    no_logit: float | None
    threshold: float
    scorer: str
    model: str
    revision: str
    prompt_id: int | None
    frame_indices: tuple[int, ...] = ()
    latency_s: float = 0.0
    error: str = ""
    answers: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.answers:
            object.__setattr__(self, "answers", (self.probability,))

    @property
    def label(self) -> bool | None:
        """True (yes), False (no) or None (unknown)."""
        return None if self.probability is None else self.probability >= self.threshold

    @property
    def labels(self) -> tuple[bool | None, ...]:
        """The label of each answer."""
        return tuple(None if answer is None else answer >= self.threshold for answer in self.answers)


class FrameRenderer(Protocol):
    """Turns snapshots into frames; built from a JSON `render_spec`, so any process can rebuild it."""

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] or [F, H, W, 3] → RGB frames uint8 [F, H, W, 3]."""
        ...


@runtime_checkable
class TextRenderer(FrameRenderer, Protocol):
    """Turns snapshots that are text into that text; its frames are for people."""

    def texts(self, snapshots: np.ndarray) -> list[str]:
        """uint8 [F, S] → the text of each step."""
        ...


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """A clip as the scoring process passes it to a back end.

    Attributes:
        clip: the clip; control scorers read its events or rewards.
        frames: RGB uint8 [F, H, W, 3], evenly spaced over the clip; F = 0 for scorers that need none, and for clips of text.
        frame_indices: indices in the clip of these frames, or of the steps in the transcript.
        transcript: the text of a clip of text; untrusted. '' for pictures.
    """

    clip: Clip
    frames: np.ndarray
    frame_indices: tuple[int, ...]
    transcript: str = ""


class ClipScorer(Protocol):
    """A back end that answers yes/no questions about clips."""

    frames_per_clip: int
    """Number of evenly spaced frames, or steps of a transcript, that it needs per clip; 0 for none."""

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """One score per request, in order, with an answer to each of the prompt's questions.

        `latency_s` may stay 0: the worker fills it in.

        Raises:
            ScorerError: the back end as a whole has failed; a single clip that gave no usable answer is
                'unknown' (probability None) instead.
        """
        ...

    def close(self) -> None:
        """Release its resources."""
        ...
