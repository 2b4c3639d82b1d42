"""Questions about grid worlds: the families of phrasings, and the catalogue they make up."""

from __future__ import annotations

from vlmrb.pretrain import phrases
from vlmrb.pretrain.grids.truth import COLORS, GridTruth
from vlmrb.pretrain.phrases import PROGRESS_FAMILY, Family, Verb, left_open_family, view_families
from vlmrb.pretrain.questions import ANY_OBJECT, Catalogue, Matter
from vlmrb.pretrain.truth import answer_from

_CARRIED = ("key", "ball", "box")
_MET = (*_CARRIED, "door")

FAMILIES = (
    Family(
        "picked_up",
        (
            phrases.PICK_UP,
            Verb("take", "takes", "taking", "taken"),
            Verb("collect", "collects", "collecting", "collected"),
            phrases.GRAB,
        ),
        _CARRIED,
        any_object=True,
    ),
    Family(
        "dropped",
        (
            phrases.DROP,
            Verb("put down", "puts down", "putting down", "put down"),
            Verb("lay down", "lays down", "laying down", "laid down"),
        ),
        _CARRIED,
        any_object=True,
    ),
    Family("unlocked", (phrases.UNLOCK,), ("door",), adjectives=("locked",)),
    Family("opened", (phrases.OPEN, Verb("push open", "pushes open", "pushing open", "pushed open")), ("door",)),
    Family("closed", (phrases.CLOSE, phrases.SHUT), ("door",)),
    Family(
        "goal_reached",
        (
            Verb("reach", "reaches", "reaching", "reached"),
            Verb("get to", "gets to", "getting to"),
            Verb("arrive at", "arrives at", "arriving at"),
            Verb("step onto", "steps onto", "stepping onto"),
            Verb("go to", "goes to", "going to"),
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
        "faced",
        (
            Verb("go to", "goes to", "going to"),
            Verb("walk up to", "walks up to", "walking up to"),
            Verb("come up to", "comes up to", "coming up to"),
            Verb("face", "faces", "facing"),
        ),
        _MET,
        any_object=True,
    ),
    Family(
        "kept",
        (
            Verb("end up with", "ends up with", "ending up with"),
            Verb("pick up and keep", "picks up and keeps", "picking up and keeping"),
        ),
        _CARRIED,
        any_object=True,
        questions=(
            "does {s} pick up {t} and still hold it at the end?",
            "does {s} take {t} and still have it at the end?",
            "does {s} still hold {t} at the end?",
            "does {s} still carry {t} at the end of {c}?",
        ),
        held_out=("at the end of {c}, does {s} still have {t}?", "is {s} still holding {t} at the end?"),
    ),
    left_open_family(("door",)),
    Family(
        "stayed",
        phrases.STAYING,
        things=("in place", "in the same place", "where it is", "on the same square"),
        opposites=("does {s} move?", "does {s} walk about?", "does {s} leave its place?", "does {s} change its place?"),
    ),
    PROGRESS_FAMILY,
    *view_families(("key", "ball", "box", "open door", "closed door", "locked door")),
)


def answer(matter: Matter, truth: GridTruth) -> bool | None:
    """The true answer, or None where the frames cannot tell.

    A box that is opened vanishes just like one that is picked up.
    """
    opened_box = any((event.name, event.object) == ("opened", "box") for event in truth.events)
    if matter.family == "picked_up" and matter.object in ("box", ANY_OBJECT) and opened_box:
        return None
    if matter.family in ("faced", "kept"):
        things = truth.faced if matter.family == "faced" else truth.kept
        return any(matter.object in (thing.split()[1], ANY_OBJECT) and matter.color in thing for thing in things)
    return answer_from(matter, truth, _CARRIED)


CATALOGUE = Catalogue(
    FAMILIES,
    COLORS,
    answer,
    subjects=("the agent", "the agent", "the player", "the red triangle"),
    actor="an agent",
    world="an agent in a grid world",
    weights={
        "progress": 4.0,
        "picked_up": 2.0,
        "opened": 2.0,
        "closed": 2.5,
        "entered": 2.5,
        "goal_reached": 1.5,
        "unlocked": 1.5,
    },
    rates={
        "progress": 0.4,
        "picked_up": 0.3,
        "closed": 0.1,
        "entered": 0.25,
        "faced": 0.5,
        "left open": 0.5,
        "shows first": 0.5,
        "shows last": 0.5,
    },
)
"""Everything that can be asked about grid worlds."""
