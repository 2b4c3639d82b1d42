"""Prompt curricula: which question of a set rules when. The setting `curriculum`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

WINDOW = 100
"""Clips over which the yes rate of the ruling question is taken."""

DEFAULT_YES_RATE = 0.8

FORM = (
    "'yes-rate' or 'yes-rate:R' (the next question takes over once more than R of the last 100 answers were yes; R in (0, 1), "
    "0.8 unless given), 'steps:N,N,…' (from these steps on, ascending), 'success:S,S,…' (once an evaluation reaches this success "
    "rate; ascending, in (0, 1]); or nothing"
)


@dataclass(frozen=True, slots=True)
class Curriculum:
    """When the next question takes over.

    Attributes:
        by: what decides it; '' if all questions count all the time.
        bounds: of 'yes-rate' the one rate; of 'steps' and 'success' the value from which question 2, 3, … rules.
    """

    by: Literal["", "yes-rate", "steps", "success"] = ""
    bounds: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Curriculum:
        """What 'yes-rate:0.8', 'steps:20000,60000' or 'success:0.2,0.6' says; '' is none.

        Raises:
            ValueError: it says anything else; the message is the allowed form.
        """
        by, colon, values = text.strip().partition(":")
        if not by and not colon:
            return cls()
        try:
            bounds = tuple(float(value) for value in values.split(",")) if colon else ()
        except ValueError:
            bounds = (-1.0,)
        rising = all(one < other for one, other in pairwise(bounds))
        if by == "yes-rate" and (not colon or (len(bounds) == 1 and 0.0 < bounds[0] < 1.0)):
            return cls("yes-rate", bounds or (DEFAULT_YES_RATE,))
        if by == "steps" and bounds and rising and all(bound.is_integer() and 1 <= bound <= 1e12 for bound in bounds):
            return cls("steps", bounds)
        if by == "success" and bounds and rising and all(0.0 < bound <= 1.0 for bound in bounds):
            return cls("success", bounds)
        raise ValueError(f"allowed: {FORM}")

    def __str__(self) -> str:
        return f"{self.by}:{','.join(f'{bound:.12g}' for bound in self.bounds)}" if self.by else ""


@dataclass
class Ruling:
    """Which question rules now. It only ever moves on, unless a person holds it at a question.

    Args:
        curriculum: when the next question takes over.
        questions: of the set, at least one.
    """

    curriculum: Curriculum
    questions: int = 1
    held: int | None = None
    """The question that a person has chosen, from 0, or None."""
    _stage: int = 0
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    @property
    def question(self) -> int | None:
        """The question that rules, from 0; None if all of them count."""
        if self.held is not None:
            return min(self.held, self.questions - 1)
        return min(self._stage, self.questions - 1) if self.curriculum.by else None

    def weights(self, weights: Sequence[float]) -> tuple[float, ...]:
        """The weights of the questions, of which only the ruling one has any if one rules."""
        if self.question is None:
            return tuple(weights)
        return tuple(float(number == self.question) for number in range(self.questions))

    def ask(self, questions: int) -> None:
        """Another set is asked: begin with its first question, unless it has as many."""
        if questions != self.questions:
            self.questions, self._stage = questions, 0
            self._recent.clear()

    def hear(self, label: bool | None) -> None:
        """The ruling question has been answered about one more clip."""
        if self.curriculum.by != "yes-rate" or self.held is not None or label is None:
            return
        self._recent.append(label)
        if len(self._recent) == WINDOW and sum(self._recent) > self.curriculum.bounds[0] * WINDOW:
            self._move_to(self._stage + 1)

    def advance(self, step: int) -> None:
        """The run has reached this step."""
        if self.curriculum.by == "steps":
            self._move_to(sum(step >= bound for bound in self.curriculum.bounds))

    def succeeded(self, rate: float | None) -> None:
        """An evaluation has had this success rate, in [0, 1] or None."""
        if self.curriculum.by == "success" and rate is not None:
            self._move_to(sum(rate >= bound for bound in self.curriculum.bounds))

    def _move_to(self, stage: int) -> None:
        if self._stage < stage < self.questions:
            self._stage = stage
            self._recent.clear()

    def state_dict(self) -> dict[str, Any]:
        """Where it is; JSON-serialisable."""
        recent = list(self._recent)
        return {
            "curriculum": str(self.curriculum),
            "questions": self.questions,
            "stage": self._stage,
            "held": self.held,
            "recent": recent,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore; the state of another curriculum, or none, is the beginning."""
        state = state if state.get("curriculum") == str(self.curriculum) else {}
        self.questions = state.get("questions", self.questions)
        self._stage, self.held = state.get("stage", 0), state.get("held")
        self._recent = deque(state.get("recent", ()), maxlen=WINDOW)
