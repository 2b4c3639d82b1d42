"""The template of a transcript: one step's numbers in words, such as 'step {step}: position {obs[0]:.2f}'.

A template may come from anybody, so nothing in it is evaluated: braces hold one of a few names, an index where the name
stands for several numbers, and the format of a number. Anything else is refused in words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vlmrb.errors import ConfigError, shown

ANSI, NUMBERS = "ansi", "numbers"
"""The values of `transcript` that are no templates: the environment's own text, and all of its numbers."""

MAX_TEMPLATE = 1_000
"""Characters of a template."""

NAMES = {
    "step": "the step of the episode, from 1",
    "action": "the action, as the environment gets it",
    "reward": "the reward of the step",
    "return": "the sum of the episode's rewards so far",
    "obs": "the observation after the step",
}
"""What may stand in braces."""

_SEVERAL = ("obs", "action")  # take an index
_WIDEST, _FINEST = 20, 10
_EXAMPLE = "'step {step}: position {obs[0]:.2f}, action {action}, reward {reward}'"
_USE = f"use 'ansi', 'numbers', or a template such as {_EXAMPLE}"

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_FIELD = re.compile(r"([A-Za-z_]+)(\[[^\[\]]*\])?(?::(.*))?", re.DOTALL)
_INDEX = re.compile(r"\[([0-9]{1,7})\]")
_FORMAT = re.compile(r"(\+?)(0?)([0-9]{0,2})(?:\.([0-9]{1,2}))?([dfeg%]?)")


@dataclass(frozen=True, slots=True)
class StepNumbers:
    """What a template can say about one step; before an episode's first one there is no action.

    Attributes:
        step: of the episode, from 1; 0 before the first.
        action: as the environment gets it; one number for a choice.
        reward: of the step.
        total: the episode's rewards so far, summed up.
        obs: after the step.
    """

    step: int
    action: Sequence[float]
    reward: float
    total: float
    obs: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Field:
    """One pair of braces."""

    text: str
    name: str
    index: int | None
    sign: str
    zero: str
    width: int
    precision: int | None
    kind: str  # as in Python's formats; '' for the number's own

    def write(self, numbers: Sequence[float]) -> str:
        if not numbers:
            return "none"
        return self._format(numbers[self.index or 0])

    def _format(self, number: float) -> str:
        width = f"{self.sign}{self.zero}{self.width or ''}"
        if self.kind == "d" or (isinstance(number, int) and not self.kind and self.precision is None):
            return format(round(number), f"{width}d")
        precision = 4 if self.precision is None and not self.kind else self.precision
        return format(float(number), f"{width}{'' if precision is None else f'.{precision}'}{self.kind or 'g'}")


class Template:
    """A template that has been checked.

    Args:
        text: the template; untrusted.

    Raises:
        ValueError: it has something else in braces than a number's name, index and format, or nothing at all.
    """

    def __init__(self, text: str) -> None:
        self._parts = _parse(text)

    @property
    def _fields(self) -> list[_Field]:
        return [part for part in self._parts if isinstance(part, _Field)]

    @property
    def reads_observation(self) -> bool:
        """Whether it names an observed number."""
        return any(field.name == "obs" for field in self._fields)

    def check_fits(self, env: str, obs: int, action: int) -> None:
        """Check that an environment has the numbers that the template names.

        Args:
            env: its id, for errors.
            obs: how many numbers an observation has; 0 for an image.
            action: how many an action has.

        Raises:
            ConfigError: it has not.
        """
        for field in self._fields:
            if field.name in _SEVERAL:
                _check_index(field, env, obs if field.name == "obs" else action)

    def fill(self, numbers: StepNumbers) -> str:
        """The text of one step. Its numbers must have been found to fit."""
        values = {
            "step": (numbers.step,),
            "action": numbers.action,
            "reward": (numbers.reward,),
            "return": (numbers.total,),
            "obs": numbers.obs,
        }
        return "".join(part if isinstance(part, str) else part.write(values[part.name]) for part in self._parts)


def check_transcript(text: str) -> str:
    """The setting `transcript` as it is stored.

    Raises:
        ValueError: it is neither 'ansi' nor 'numbers' nor a template.
    """
    word = text.strip().lower()
    if word in (ANSI, NUMBERS):
        return word
    Template(text)
    return text


def escaped(text: str) -> str:
    """A text as a template says it."""
    return text.replace("{", "{{").replace("}", "}}")


def _check_index(field: _Field, env: str, count: int) -> None:
    what = "observation" if field.name == "obs" else "action"
    if not count:
        raise ConfigError(
            f"transcript: {field.text} cannot be written, because the observations of {env} are images; leave it out of the "
            "template, or leave transcript out to show pictures"
        )
    all_of_them = f"{{{field.name}[0]}} to {{{field.name}[{count - 1}]}}"
    if field.index is None and count > 1:
        raise ConfigError(f"transcript: {field.text} is {count} numbers in {env}; say which one: {all_of_them}")
    if (field.index or 0) >= count:
        there = f"only {{{field.name}}}" if count == 1 else f"{count} numbers: {all_of_them}"
        raise ConfigError(f"transcript: {field.text} is outside the {what} of {env}, which has {there}")


def _parse(text: str) -> tuple[str | _Field, ...]:
    if any(not (letter.isprintable() or letter == "\n") for letter in text):
        raise ValueError("a template has no control characters other than line breaks; remove them")
    parts: list[str | _Field] = []
    end = 0
    for found in _BRACES.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        whole = found[0]
        if len(whole) == 1:
            raise ValueError(f"there is a {whole!r} without its counterpart; write {whole * 2!r} for the character itself")
        parts.append(_field(whole, found[1]) if found[1] is not None else whole[0])
    parts.append(text[end:])
    if not any(isinstance(part, _Field) for part in parts):
        raise ValueError(_USE)
    return tuple(part for part in parts if part)


def _field(whole: str, inside: str) -> _Field:
    found, where = _FIELD.fullmatch(inside), shown(whole, form=str)
    if found is None:
        raise ValueError(
            f"{where} cannot stand in a template: braces hold a name, an index and a format, such as {{obs[0]:.2f}}; "
            "write {{ and }} for braces themselves"
        )
    name, brackets, spec = found.groups()
    if name not in NAMES:
        known = ", ".join(f"{{{each}[0]}}" if each == "obs" else f"{{{each}}}" for each in NAMES)
        raise ValueError(f"there is no number {shown(name)}; there are {known}")
    index = None
    if brackets is not None:
        if name not in _SEVERAL:
            raise ValueError(f"{where}: {name} is a single number; write {{{name}}}")
        number = _INDEX.fullmatch(brackets)
        if number is None:
            raise ValueError(f"{where}: an index is a whole number from 0, such as {{{name}[0]}}")
        index = int(number[1])
    form = _FORMAT.fullmatch(spec or "")
    width, precision = (int(form[3] or 0), None if form[4] is None else int(form[4])) if form else (0, None)
    if form is None or width > _WIDEST or (precision or 0) > _FINEST or (form[5] == "d" and precision is not None):
        raise ValueError(
            f"{where}: {shown(spec)} is not a format; allowed are a width up to {_WIDEST}, decimals up to {_FINEST} and one of "
            "d, f, e, g, %, such as {reward:6.2f} or {step:3d}"
        )
    return _Field(whole, name, index, form[1], form[2] if width else "", width, precision, form[5])
