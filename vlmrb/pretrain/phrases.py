"""The English of the questions, as plain data: sentence forms, verbs, and families of phrasings made from them.

A family asks about one kind of thing that may happen. Training uses `FORMS`; it never sees the `HELD_OUT_` forms, whose words all
occur in training, so they test new phrasings and not new vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Verb(NamedTuple):
    """One verb (with its particle or preposition) in the forms that sentences need."""

    base: str
    third: str
    gerund: str
    participle: str = ""  # '' where there is no passive


PICK_UP = Verb("pick up", "picks up", "picking up", "picked up")
GRAB = Verb("grab", "grabs", "grabbing", "grabbed")
DROP = Verb("drop", "drops", "dropping", "dropped")
OPEN = Verb("open", "opens", "opening", "opened")
CLOSE = Verb("close", "closes", "closing", "closed")
SHUT = Verb("shut", "shuts", "shutting", "shut")
UNLOCK = Verb("unlock", "unlocks", "unlocking", "unlocked")
STAYING = (Verb("stay", "stays", "staying"), Verb("remain", "remains", "remaining"))


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of event and the ways to ask about it.

    Attributes:
        name: an event's name, 'progress', or another that the catalogue's answers know.
        verbs: what can be said for it.
        objects: types of objects it can happen to, or () where `things` says it all.
        things: what follows the verb where there is no object to name.
        any_object: 'object' can stand for each of the objects.
        colored: objects can be named by colour.
        adjectives: may precede the object without changing the answer.
        is_view: it asks what a frame shows, not what happens.
        opposites: whole questions with the opposite answer, besides the negated forms.
        held_out_opposites: those that training never sees; the others if there are none.
        questions: whole questions, besides those made from verbs.
        held_out: whole questions that training never sees.
    """

    name: str
    verbs: tuple[Verb, ...] = ()
    objects: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    any_object: bool = False
    colored: bool = True
    adjectives: tuple[str, ...] = ()
    is_view: bool = False
    opposites: tuple[str, ...] = ()
    held_out_opposites: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()


CLIPS = ("this clip", "the clip", "this video")  # with 'does'
FRAMES = ("these frames", "the frames")  # with 'do'

FORMS = (
    "does {s} {base} {t}?",
    "does {s} {base} {t}?",
    "did {s} {base} {t}?",
    "does {s} {base} {t} in {c}?",
    "in {c}, does {s} {base} {t}?",
    "do {f} show {s} {gerund} {t}?",
    "does {c} show {s} {gerund} {t}?",
    "is there a moment when {s} {third} {t}?",
    "is it true that {s} {third} {t}?",
    "can you see {s} {gerund} {t}?",
    "does {s} do this: {base} {t}?",
    "has {s} done this: {base} {t}?",
    "is this mission accomplished: {base} {t}?",
    'does {s} accomplish the mission "{base} {t}"?',
    "the mission is: {base} {t}. is it accomplished in {c}?",
    "does {s} manage to {base} {t}?",
    "does {s} {base} {t} at some point?",
    "is there a frame where {s} {third} {t}?",
    "have you seen {s} {base} {t}?",
    "is this done in {c}: {base} {t}?",
    "is the task done: {base} {t}?",
)
PASSIVE_FORMS = (
    "is {t} {participle}?",
    "was {t} {participle} in {c}?",
    "does {c} show {t} being {participle}?",
    "has {t} been {participle}?",
    "is {t} {participle} by {s}?",
)
NEGATED_FORMS = (
    "does {s} never {base} {t}?",
    "does {s} not {base} {t}?",
    "did {s} not {base} {t}?",
    "does {s} fail to {base} {t}?",
    "is it true that {s} does not {base} {t}?",
    "is it false that {s} {third} {t}?",
    "does {c} end without {s} {gerund} {t}?",
    "does {c} show that {s} does not {base} {t}?",
    "is there no moment when {s} {third} {t}?",
    "do {f} never show {s} {gerund} {t}?",
    "does {s} fail to do this: {base} {t}?",
    "is this mission not accomplished: {base} {t}?",
    "did {s} never {base} {t}?",
    "in {c}, does {s} never {base} {t}?",
    "does {s} not manage to {base} {t}?",
    "is it untrue that {s} {third} {t}?",
    "is it not true that {s} {third} {t}?",
    "is there no frame where {s} {third} {t}?",
    "is the task not done: {base} {t}?",
)
HELD_OUT_FORMS = (
    "in {f}, did {s} {base} {t}?",
    "do you see {s} {base} {t}?",
    "is {s} {gerund} {t} in {f}?",
    "is there a point where {s} {third} {t}?",
    'does {s} do this in {c}: "{base} {t}"?',
    "is the mission accomplished: {base} {t}?",
    "has {s} accomplished this mission: {base} {t}?",
)
HELD_OUT_PASSIVE_FORMS = ("in {c}, is {t} {participle}?", "can you see {t} being {participle}?")
HELD_OUT_NEGATED_FORMS = (
    "is it true that {s} never {third} {t}?",
    "do {f} end without {s} {gerund} {t}?",
    "is there no point where {s} {third} {t}?",
    "did {s} fail to {base} {t}?",
    "is it false that {s} did {base} {t}?",
)

BEFORE = (
    "",
    "",
    "",
    "these frames show, in order of time, {world}.",
    "look at the frames in order.",
    "this is a short clip of {actor} at work.",
)
AFTER = ("", "", "answer yes or no.", "answer with one word: yes or no.", "yes or no?")

_PROGRESS_THINGS = (
    "meaningful progress",
    "clear progress",
    "progress towards the goal",
    "a milestone",
    "goal satisfaction",
    "a clear instance of goal satisfaction",
    "a clear instance of a goal being achieved",
    "a step towards the end of the task",
)
_NO_PROGRESS_THINGS = tuple(thing.removeprefix("a ") for thing in _PROGRESS_THINGS)  # 'no milestone', 'without milestone'
_PROGRESS_FORMS = (
    "does {c} show T?",
    "do {f} show T?",
    "does {c} contain T?",
    "is there T in {c}?",
    "can you see T in {f}?",
    "is T visible in {c}?",
)
_HELD_OUT_PROGRESS_FORMS = ("do {f} contain T?", "in {c}, is there T?", "in these frames, is T visible?")
_NO_PROGRESS_FORMS = (
    "does {c} end without T?",
    "is it true that {c} does not show T?",
    "is it false that {c} shows T?",
    "does {c} fail to show T?",
    "is there never T in {c}?",
    "is there no T in {c}?",
)
_HELD_OUT_NO_PROGRESS_FORMS = ("do {f} end without T?", "is it true that there is no T in {c}?", "do {f} not show T?")

PROGRESS_FAMILY = Family(
    "progress",
    questions=(
        *(form.replace("T", thing) for form in _PROGRESS_FORMS for thing in _PROGRESS_THINGS),
        "does {s} make meaningful progress?",
        "does {s} make progress?",
        "is a goal achieved in {c}?",
        "does {s} achieve a goal?",
        "does {s} reach a milestone?",
        "does something important happen in {c}?",
        "does anything important happen?",
        "does anything important happen in {c}?",
        "is something important achieved in {c}?",
        "does {s} achieve something important?",
    ),
    opposites=(
        *(form.replace("T", thing) for form in _NO_PROGRESS_FORMS for thing in _NO_PROGRESS_THINGS),
        "does nothing important happen in {c}?",
        "does nothing important happen?",
        "is nothing important achieved in {c}?",
        "is nothing achieved in {c}?",
        "does {s} achieve nothing?",
        "does {s} fail to make progress?",
        "does {s} make no progress?",
        "is it true that nothing important is achieved?",
    ),
    held_out_opposites=(
        *(form.replace("T", thing) for form in _HELD_OUT_NO_PROGRESS_FORMS for thing in _NO_PROGRESS_THINGS),
        "is it true that nothing important happens?",
        "do {f} show that nothing important happens?",
        "does {s} make no meaningful progress in {c}?",
    ),
    held_out=(
        *(form.replace("T", thing) for form in _HELD_OUT_PROGRESS_FORMS for thing in _PROGRESS_THINGS),
        "in {f}, does {s} make meaningful progress?",
        "is a milestone reached in {c}?",
    ),
)


def view_families(objects: tuple[str, ...], *, colored: bool = True) -> tuple[Family, ...]:
    """'shows first' and 'shows last': whether the first or the last frame shows one of these objects."""
    return tuple(
        Family(
            f"shows {frame}",
            objects=objects,
            colored=colored,
            is_view=True,
            questions=(
                f"is there {{t}} in the {frame} frame?",
                f"does the {frame} frame show {{t}}?",
                f"is there {{t}} at the {end}?",
            ),
            opposites=(f"is there no {{n}} in the {frame} frame?",),
            held_out=(f"can you see {{t}} in the {frame} frame?",),
        )
        for frame, end in (("first", "start"), ("last", "end"))
    )


def left_open_family(objects: tuple[str, ...], *, colored: bool = True) -> Family:
    """'left open': whether one of these objects is open in the last frame."""
    return Family(
        "left open",
        objects=objects,
        colored=colored,
        questions=(
            "is {t} open at the end?",
            "is {t} still open at the end?",
            "is {t} open at the end of {c}?",
            "does {s} leave {t} open?",
            "does {t} stay open until the end?",
        ),
        opposites=("is it false that {t} is open at the end?", "does {c} end without {t} being open?"),
        held_out=("at the end of {c}, is {t} still open?", "is {t} still open in the last frame?"),
    )
