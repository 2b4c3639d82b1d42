"""Scorers: what they are asked, what they answer, and what they must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vlmrb.types.clips import Clip


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a named prompt. Data, never code; the text is untrusted.

    Attributes:
        name: preset or the user's name; free text on the command line is named 'custom'.
        version: 1, 2, 3, … within the name.
        text: the yes/no question shown to the model.
        prompt_id: its row in the store, or None where it is not stored.
    """

    name: str
    version: int
    text: str
    prompt_id: int | None = None


@dataclass(frozen=True, slots=True)
class ClipScore:
    """What a scorer said about a clip.

    Attributes:
        clip_id: the clip.
        probability: P(yes) in [0, 1], or None for 'unknown' (no usable answer).
        yes_logit: log-sum-exp of the raw logits (or log-probabilities) of the yes variants; None where there are none.
        no_logit: the same for the no variants.
        threshold: the label is yes where probability ≥ threshold.
        scorer: the string that chose the back end, such as 'hf:/models/plm' or 'oracle'.
        model: name of the model, or of the control scorer.
        revision: commit hash or content fingerprint of the model, '' where there is none.
        prompt_id: stored prompt version that was asked, or None for control scorers, which read none.
        frame_indices: which frames of the clip the model looked at; empty for control scorers.
        latency_s: seconds of the worker's time for this clip (its share of the batch, rendering included).
        error: why the score is unknown, or ''.
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

    @property
    def label(self) -> bool | None:
        """True (yes), False (no) or None (unknown)."""
        return None if self.probability is None else self.probability >= self.threshold


class FrameRenderer(Protocol):
    """Turns snapshots into frames; made from a JSON `render_spec`, so it can be rebuilt in any process."""

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] or [F, H, W, 3] → RGB frames uint8 [F, H, W, 3]."""
        ...


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """A clip as the scoring process hands it to a back end.

    Attributes:
        clip: the clip; control scorers read its events or rewards.
        frames: RGB uint8 [F, H, W, 3], evenly spaced over the clip; F = 0 for scorers that need none.
        frame_indices: which frames of the clip these are.
    """

    clip: Clip
    frames: np.ndarray
    frame_indices: tuple[int, ...]


class ClipScorer(Protocol):
    """A back end that answers one yes/no question about clips."""

    frames_per_clip: int
    """How many evenly spaced frames it wants per clip; 0 for none."""

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """One score per request, in order. `latency_s` may stay 0: the worker fills it in.

        Raises:
            ScorerError: the back end as a whole has failed; a single clip that gave no usable answer is
                'unknown' (probability None) instead.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...
