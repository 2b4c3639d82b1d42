"""Truths: what an answer is judged by, and the one that fits a question.

A truth is 'progress' (any of `vlmrb.events.PROGRESS_KINDS`), one of these kinds, or an event as a clip has it, such as
'dropped key': whether it occurs in the clip. A mission that is a single act is also judged by what a clip's last step did.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from vlmrb.events import PROGRESS_KINDS, progress_by_kind
from vlmrb.types import Event

PROGRESS = "progress"

_PARTICLES = frozenset({"up", "in", "the", "a"})
_TURNS = frozenset({"not", "no", "never", "without", "fail", "fails", "nothing", "neither", "nor"})
"""With one of these, a question may ask for the opposite: nothing fits it."""


def truths_of(events: Iterable[tuple[int, Event]]) -> frozenset[str]:
    """All truths that hold for a clip with these events."""
    events = list(events)
    kinds = {kind for kind, shown in zip(PROGRESS_KINDS, progress_by_kind(events), strict=True) if shown}
    others = {f"{event.name} {event.object}".strip() for _, event in events if event.name not in PROGRESS_KINDS}
    return frozenset(kinds | others | ({PROGRESS} if kinds else set()))


def choices(shown: Iterable[frozenset[str]]) -> list[str]:
    """The truths to choose from: progress, its kinds, and whatever else some clip shows."""
    others = sorted(set().union(*shown) - {PROGRESS, *PROGRESS_KINDS})
    return [PROGRESS, *PROGRESS_KINDS, *others]


_MISSION = re.compile(
    r"(?P<verb>go to|pick up|open|(?:you must )?(?:go )?(?:get|fetch)) (?:the|a|an) (?:(?P<color>[a-z]+) )?"
    r"(?P<kind>ball|box|key|door|object)"
)
_ACTS = {"open": "opened"}


def accomplished(mission: str, ahead: str, events: Iterable[Event]) -> bool | None:
    """Whether a step accomplished a mission of BabyAI ('go to the red ball', 'pick up a key', 'open the door') or of
    MiniGrid-Fetch ('fetch a green key'); None if the mission is another, or more than one such act.

    Args:
        mission: in the environment's own words.
        ahead: what the agent faces after the step, such as 'red ball'.
        events: what the step did.
    """
    found = _MISSION.fullmatch(mission.lower())
    if found is None:
        return None
    verb, color, kind = found["verb"], found["color"], found["kind"]
    if verb == "go to":
        seen = [tuple(ahead.split(" "))]
    else:
        seen = [(event.color, event.object) for event in events if event.name == _ACTS.get(verb, "picked_up")]
    return any(len(each) == 2 and color in (None, each[0]) and _is_kind(each[1], kind) for each in seen)


def _is_kind(thing: str, kind: str) -> bool:
    return thing in ("ball", "box", "key", "door") if kind == "object" else thing == kind


def truth_for(question: str, truths: Iterable[str] = PROGRESS_KINDS) -> str:
    """The truth that a question asks about, by its words; 'progress' if none fits or it may ask for the opposite.

    Args:
        question: a yes/no question. Only its last sentence counts: what comes before explains.
        truths: to choose from.
    """
    words = re.findall(r"[a-z]+", re.split(r"[.!:]\s", question.replace("n't", " not ").lower().rpartition("?")[0])[-1])
    if _TURNS & set(words):
        return PROGRESS
    fitting = [(len(stems), truth) for truth in truths if (stems := _stems(truth)) and all(_is_in(stem, words) for stem in stems)]
    most = max((count for count, _ in fitting), default=0)
    best = {truth for count, truth in fitting if count == most}
    return best.pop() if len(best) == 1 else PROGRESS


def truths_for(questions: Sequence[str], truths: Iterable[str] = PROGRESS_KINDS) -> tuple[str, ...]:
    """`truth_for` each of them."""
    choices = tuple(truths)
    return tuple(truth_for(question, choices) for question in questions)


def _stems(truth: str) -> list[str]:
    words = [word for word in re.split(r"[ _]", truth.lower()) if word and word not in _PARTICLES]
    return [] if truth == PROGRESS else [_stem(word) for word in words]


def _stem(word: str) -> str:
    """The beginning that a verb's forms have in common: 'opened' and 'opens', 'dropped' and 'drops', 'placed' and 'placing'."""
    stem = re.sub(r"e?d$", "", word) if len(word) > 4 else word
    return stem[:-1] if stem != word and stem[-2:-1] == stem[-1:] and stem[-1] not in "sl" else stem


def _is_in(stem: str, words: Sequence[str]) -> bool:
    return any(word.startswith(stem) and len(word) - len(stem) <= 4 for word in words)
