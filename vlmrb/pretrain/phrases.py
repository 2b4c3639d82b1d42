"""The English of the questions: families of phrasings, from verbs and sentence forms, as plain data.

A family asks after one kind of thing that may happen. `forms` are for training; `held_out` forms are never trained on and
use only words that training has seen, so that they test phrasing and not vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Verb(NamedTuple):
    """One verb (with its particle or preposition) in the forms that sentences need."""

    base: str
    third: str
    gerund: str
    participle: str = ""  # '' where it has no passive


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of happening and the ways to ask after it.

    Attributes:
        name: an event's name, 'stayed', 'progress', 'shows first' or 'shows last'.
        verbs: what can be said for it.
        objects: types of objects it can happen to, or () where `things` says it all.
        things: what stands after the verb where there is no object to name.
        opposites: whole questions whose answer is the other one, beside the negated forms.
        questions: whole questions, beside those made of verbs.
        held_out: whole questions never trained on.
    """

    name: str
    verbs: tuple[Verb, ...] = ()
    objects: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    opposites: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()


SUBJECTS = ("the agent", "the agent", "the player", "the red triangle")
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
    "is it true that {s} does not {base} {t}?",
    "does {c} end without {s} {gerund} {t}?",
    "is there no moment when {s} {third} {t}?",
)
HELD_OUT_FORMS = (
    "in {f}, did {s} {base} {t}?",
    "do you see {s} {base} {t}?",
    "is {s} {gerund} {t} in {f}?",
    "is there a frame where {s} {third} {t}?",
)
HELD_OUT_PASSIVE_FORMS = ("in {c}, is {t} {participle}?", "can you see {t} being {participle}?")
HELD_OUT_NEGATED_FORMS = ("is it true that {s} never {third} {t}?", "do {f} end without {s} {gerund} {t}?")

BEFORE = (
    "",
    "",
    "",
    "these frames show, in order of time, an agent in a grid world.",
    "look at the frames in order.",
    "this is a short clip of an agent at work.",
)
AFTER = ("", "", "answer yes or no.", "answer with one word: yes or no.", "yes or no?")

_CARRIED = ("key", "ball", "box")
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
_PROGRESS_FORMS = (
    "does {c} show T?",
    "do {f} show T?",
    "does {c} contain T?",
    "is there T in {c}?",
    "can you see T in {f}?",
    "is T visible in {c}?",
)
_HELD_OUT_PROGRESS_FORMS = ("do {f} contain T?", "in {c}, is there T?", "in these frames, is T visible?")
_NO_PROGRESS_FORMS = ("does {c} end without T?", "is it true that {c} does not show T?", "is there never T in {c}?")

FAMILIES = (
    Family(
        "picked_up",
        (
            Verb("pick up", "picks up", "picking up", "picked up"),
            Verb("take", "takes", "taking", "taken"),
            Verb("collect", "collects", "collecting", "collected"),
            Verb("grab", "grabs", "grabbing", "grabbed"),
        ),
        _CARRIED,
    ),
    Family(
        "dropped",
        (
            Verb("drop", "drops", "dropping", "dropped"),
            Verb("put down", "puts down", "putting down", "put down"),
            Verb("lay down", "lays down", "laying down", "laid down"),
        ),
        _CARRIED,
    ),
    Family("unlocked", (Verb("unlock", "unlocks", "unlocking", "unlocked"),), ("door",)),
    Family(
        "opened",
        (Verb("open", "opens", "opening", "opened"), Verb("push open", "pushes open", "pushing open", "pushed open")),
        ("door",),
    ),
    Family(
        "closed",
        (Verb("close", "closes", "closing", "closed"), Verb("shut", "shuts", "shutting", "shut")),
        ("door",),
    ),
    Family(
        "goal_reached",
        (
            Verb("reach", "reaches", "reaching", "reached"),
            Verb("get to", "gets to", "getting to"),
            Verb("arrive at", "arrives at", "arriving at"),
            Verb("step onto", "steps onto", "stepping onto"),
        ),
        things=("the goal", "the goal", "the green goal", "the green square", "the target", "the exit", "its goal"),
        questions=("does {s} finish the level?", "is the level completed?", "is the final place reached?"),
    ),
    Family(
        "died",
        (
            Verb("step into", "steps into", "stepping into"),
            Verb("fall into", "falls into", "falling into"),
            Verb("walk into", "walks into", "walking into"),
        ),
        things=("the lava", "lava"),
        questions=("does {s} die?", "did {s} die in {c}?", "does {c} show {s} dying?"),
        opposites=("does {s} stay alive?", "does {s} survive?"),
        held_out=("do {f} show {s} dying?",),
    ),
    Family(
        "entered",
        (
            Verb("enter", "enters", "entering"),
            Verb("walk into", "walks into", "walking into"),
            Verb("go into", "goes into", "going into"),
        ),
        things=("another room", "a new room", "a different room", "the next room"),
    ),
    Family(
        "stayed",
        (Verb("stay", "stays", "staying"), Verb("remain", "remains", "remaining")),
        things=("in place", "in the same place", "where it is", "on the same square"),
        opposites=("does {s} move?", "does {s} walk about?", "does {s} leave its place?", "does {s} change its place?"),
    ),
    Family(
        "progress",
        questions=(
            *(form.replace("T", thing) for form in _PROGRESS_FORMS for thing in _PROGRESS_THINGS),
            "does {s} make meaningful progress?",
            "does {s} make progress?",
            "is a goal achieved in {c}?",
            "does {s} achieve a goal?",
            "does {s} reach a milestone?",
        ),
        opposites=tuple(form.replace("T", thing) for form in _NO_PROGRESS_FORMS for thing in _PROGRESS_THINGS),
        held_out=(
            *(form.replace("T", thing) for form in _HELD_OUT_PROGRESS_FORMS for thing in _PROGRESS_THINGS),
            "in {f}, does {s} make meaningful progress?",
            "is a milestone reached in {c}?",
        ),
    ),
    Family(
        "shows first",
        objects=("key", "ball", "box", "open door", "closed door", "locked door"),
        questions=("is there {t} in the first frame?", "does the first frame show {t}?", "is there {t} at the start?"),
        opposites=("is there no {n} in the first frame?",),
        held_out=("can you see {t} in the first frame?",),
    ),
    Family(
        "shows last",
        objects=("key", "ball", "box", "open door", "closed door", "locked door"),
        questions=("is there {t} in the last frame?", "does the last frame show {t}?", "is there {t} at the end?"),
        opposites=("is there no {n} in the last frame?",),
        held_out=("can you see {t} in the last frame?",),
    ),
)
