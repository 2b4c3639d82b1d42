"""Scorers: their requests, their answers and their interface."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from vlmrb.types.clips import Clip
from vlmrb.types.pictures import Mosaic


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a named prompt. It is data, never code; the text is untrusted.

    A set of questions has one per line, each after '- ', and each with a weight if it starts with a number in brackets. A line
    before them may name the rule that makes one answer of them all:

        mean of
        - [2] Does the agent open a door?
        - Does the agent pick up a key?

    Attributes:
        name: a preset's name or the user's; free text on the command line is named 'custom'.
        version: 1, 2, 3, … within the name.
        text: the yes/no question shown to the model, or a set of them.
        prompt_id: its id in the store, or None if it is not stored.
        others: further questions for the same look at a clip, after its own ones. They have no say in what its rule makes of
            the answers.
    """

    name: str
    version: int
    text: str
    prompt_id: int | None = None
    others: OtherMissions | None = None

    @property
    def needs_mission(self) -> bool:
        """Whether it has a placeholder."""
        return any(placeholder in self.text for placeholder in PLACEHOLDERS)

    def filled(self, mission: str) -> Prompt:
        """With what a clip's episode is about in place of the placeholders; '' leaves 'the task'."""
        return replace(self, text=_PLACEHOLDER.sub(lambda _: mission or "the task", self.text))

    @property
    def questions(self) -> tuple[str, ...]:
        """What is asked, in order, without weights, and then about other missions. A text that is not a set is one question."""
        own = tuple(question for question, _ in self._set[1])
        return own if self.others is None else own + self.others.questions

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each question, 1 unless the text says otherwise; not of those about other missions."""
        return tuple(weight for _, weight in self._set[1])

    @property
    def rule(self) -> Rule:
        """How the answers to a set become one."""
        return self._set[0]

    @property
    def _set(self) -> tuple[Rule, list[tuple[str, float]]]:
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        rule: Any = _RULE.fullmatch(lines[0]) if lines else None
        entries = lines[1:] if rule else lines
        if not entries or not all(line == "-" or line.startswith("- ") for line in entries):
            return "any", [(self.text, 1.0)]
        found = [_QUESTION.fullmatch(line[1:].strip()) for line in entries]
        return rule[1].lower() if rule else "any", [(each[2], float(each[1] or 1.0)) for each in found if each]


@dataclass(frozen=True, slots=True)
class OtherMissions:
    """Missions that clips are asked about besides their own, for hindsight in words.

    Attributes:
        question: about one of them, which takes the place of its placeholder.
        missions: at least one.
    """

    question: Prompt
    missions: tuple[str, ...]

    @property
    def questions(self) -> tuple[str, ...]:
        """What is asked, in order."""
        return tuple(self.question.filled(mission).text for mission in self.missions)


MAX_QUESTIONS = 16
"""Maximum number of questions in a set."""

PLACEHOLDERS = ("{mission}", "{goal}")
"""What stands in a prompt for what the episode is about; both mean the same."""

Rule = Literal["any", "all", "mean"]
"""P(yes) of a set: the largest answer ('any'), the smallest ('all'), or the mean by weight."""

_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))
_RULE = re.compile(r"(any|all|mean) of:?", re.IGNORECASE)
_QUESTION = re.compile(r"(?:\[([+-]?\d{1,9}(?:\.\d{0,9})?)\]\s*)?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Vote:
    """What one member of a vote or cascade said about a clip.

    Attributes:
        member: its name, such as 'embedded@frames=4'.
        answers: its P(yes) to each question that the score has an answer to; None for unknown ones, also if it was down.
        latency_s: its time for this clip in seconds (its part of the batch, without rendering).
        error: why an answer is missing, or ''.
    """

    member: str
    answers: tuple[float | None, ...]
    latency_s: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class ClipScore:
    """A scorer's answer about a clip, or its answers to a set of questions.

    Attributes:
        clip_id: the clip.
        probability: P(yes) in [0, 1], or None for 'unknown' (no usable answer). Of a set, what its rule makes of the answers.
        yes_logit: log-sum-exp of the raw logits (or log-probabilities) of the yes variants, plus the offset that the model keeps
            for the question; None if there are none. Of a set, those of the answer that stands for it; None for a mean.
        no_logit: the same for the no variants.
        threshold: the label is yes if probability ≥ threshold.
        scorer: back-end string, such as 'hf:/models/plm' or 'oracle'.
        model: name of the model or control scorer.
        revision: commit hash or content fingerprint of the model; '' if there is none. Of a vote or cascade, those of its
            members' models, in order, with | between them.
        prompt_id: the stored prompt version that was asked; None for control scorers, which read no prompt.
        frame_indices: frames of the clip shown to the model; empty for control scorers.
        latency_s: worker time for this clip in seconds (its part of the batch, including rendering).
        error: why the score or one of its answers is unknown, or ''.
        answers: P(yes) of each question, in order; None for unknown ones. Without it, `(probability,)`.
        logits: of each of several answers, its yes_logit and no_logit; empty if there is one answer, or where nobody knows them.
        asked: the prompt's text with its placeholders filled in; '' if it has none.
        votes: of a vote or cascade, what each member said that was asked; else empty.
        others: what was said in the same look about other missions; stored as a score of its own, before this one.
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
    asked: str = ""
    logits: tuple[tuple[float | None, float | None], ...] = ()
    votes: tuple[Vote, ...] = ()
    others: ClipScore | None = None

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

    @property
    def spread(self) -> float | None:
        """Largest minus smallest P(yes) among the voters, for the answer that stands for the clip; None for fewer than two."""
        return spread(self.answers, self.votes)


def spread(answers: Sequence[float | None], votes: Sequence[Vote]) -> float | None:
    """See `ClipScore.spread`; of a score's answers, the largest stands for the clip (the first of these)."""
    known = [-1.0 if answer is None else answer for answer in answers]
    at = known.index(max(known))
    voted = [said for vote in votes if at < len(vote.answers) and (said := vote.answers[at]) is not None]
    return max(voted) - min(voted) if len(voted) > 1 else None


class FrameRenderer(Protocol):
    """Turns snapshots into frames; built from a JSON `render_spec`, so any process can rebuild it."""

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] or [F, H, W, 3] → RGB frames uint8 [F, H, W, 3]."""
        ...


@runtime_checkable
class LaysSquares(FrameRenderer, Protocol):
    """Knows which squares its frames are made of."""

    def mosaic(self, snapshots: np.ndarray) -> Mosaic:
        """uint8 [F, S] → the frames that `render` draws."""
        ...


@runtime_checkable
class TextRenderer(FrameRenderer, Protocol):
    """Turns snapshots that are text into that text; its frames are for people."""

    def texts(self, snapshots: np.ndarray) -> list[str]:
        """uint8 [F, S] → the text of each step."""
        ...


@runtime_checkable
class LooksAhead(FrameRenderer, Protocol):
    """Knows from a snapshot what the agent faces."""

    def ahead(self, snapshot: np.ndarray) -> str:
        """uint8 [S] → its colour and kind, such as 'red ball'."""
        ...


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """A clip as the scoring process passes it to a back end.

    Attributes:
        clip: the clip; control scorers read its events or rewards.
        frames: RGB uint8 [F, H, W, 3], evenly spaced over the clip; F = 0 for scorers that need none, and for clips of text. A
            `Mosaic` only for scorers that say `reads_mosaics`.
        frame_indices: indices in the clip of these frames, or of the steps in the transcript.
        transcript: the text of a clip of text; untrusted. '' for pictures.
        ahead: what the agent faces after the clip's last step ('red ball'); '' if nobody can tell, or nobody asks.
    """

    clip: Clip
    frames: Any
    frame_indices: tuple[int, ...]
    transcript: str = ""
    ahead: str = ""


class ClipScorer(Protocol):
    """A back end that answers yes/no questions about clips."""

    frames_per_clip: int
    """Number of evenly spaced frames, or steps of a transcript, that it needs per clip; 0 for none."""

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """One score per request, in order, with an answer to each of the prompt's questions.

        A back end of several, which are asked one after another, has two more attributes: `parts`, how many, and `samplings`, a
        tuple of the numbers of frames that they look at. Its requests hold the frames of all of them. One with a true attribute
        `reads_mosaics` may get frames as a `Mosaic`.

        `latency_s` may stay 0: the worker fills it in.

        Raises:
            ScorerError: the back end as a whole has failed; a single clip that gave no usable answer is
                'unknown' (probability None) instead.
        """
        ...

    def close(self) -> None:
        """Release its resources."""
        ...
