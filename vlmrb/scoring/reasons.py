"""Why answers are unknown: checks what back ends return, and tells each kind of reason once."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

from vlmrb.errors import ScorerError
from vlmrb.scoring.yes_no import Answer, decide
from vlmrb.types import ClipScore, Prompt

_log = logging.getLogger(__name__)

MAX_KINDS = 20
"""Kinds of reasons that are told; a server could make up new ones without end."""

_PART_OF_SET = re.compile(r"questions? [\d, ]+ ha(s|ve) no usable answer: ")
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?(\d+([.,]\d+)*(e[-+]?\d+)?|\b(nan|inf)\b)")


def kind_of(reason: str) -> str:
    """What a reason has in common with others of its kind: numbers, quotations and what a server said (after a colon) differ."""
    return _VARYING.sub("…", _PART_OF_SET.sub("", reason)).partition(": ")[0]


def checked(scores: list[ClipScore], clips: int, prompt: Prompt) -> list[ClipScore]:
    """The scores that a back end returned for so many clips and a prompt; a probability outside [0, 1], or NaN, is no answer.

    Raises:
        ScorerError: they are not one per clip.
    """
    if len(scores) != clips:
        raise ScorerError(f"the scorer returned {len(scores)} scores for {clips} clips; it must return one per clip, in order")
    return [_checked(score, prompt) for score in scores]


def _checked(score: ClipScore, prompt: Prompt) -> ClipScore:
    strange = [answer for answer in (score.probability, *score.answers) if answer is not None and not 0.0 <= answer <= 1.0]
    if not strange:
        return score
    answers = tuple(None if answer is None or not 0.0 <= answer <= 1.0 else answer for answer in score.answers)
    error = f"the scorer's P(yes) is {strange[0]:g}, which is not between 0 and 1"
    decided = decide([Answer(answer, None, None, error) for answer in answers], prompt, score.threshold)
    return replace(
        score, probability=decided.probability, yes_logit=None, no_logit=None, answers=answers, error=score.error or error
    )


def silent_members(scores: list[ClipScore]) -> str:
    """Which members of a vote or cascade have no answer about any of the clips that they were asked about, and why; or ''."""
    reasons: dict[str, str] = {}
    for vote in (vote for score in scores for vote in score.votes):
        heard = any(answer is not None for answer in vote.answers) or reasons.get(vote.member) == ""
        reasons[vote.member] = "" if heard else vote.error
    silent = [f"{member} does not answer ({reason})" for member, reason in reasons.items() if reason]
    return f"{'; '.join(silent)}; the other members' answers are used without it" if silent else ""


class UnknownAnswers:
    """Tells why answers are unknown: a warning for the first clip of each kind of reason, nothing for the others.

    Attributes:
        reason: the first of the kind that is most frequent so far, or ''.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[str, int]] = {}  # kind → its first reason, and how often there was one
        self.reason = ""

    def add(self, score: ClipScore) -> str:
        """Count a score; returns its reason if it is the first of its kind, otherwise ''."""
        if not score.error:
            return ""
        kind = kind_of(score.error)
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            return ""
        first, count = self._kinds.get(kind, (score.error, 0))
        self._kinds[kind] = (first, count + 1)
        self.reason = max(self._kinds.values(), key=lambda entry: entry[1])[0]
        return "" if count else first

    def warn(self, scores: list[ClipScore]) -> None:
        """Count scores, and log each kind of reason when it first comes up."""
        for score in scores:
            if reason := self.add(score):
                _log.warning("clip %d: %s (further clips of this kind are only counted)", score.clip_id, reason)
