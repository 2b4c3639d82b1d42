"""Questions about grid worlds: the families of phrasings, and the catalogue that they make up."""

from __future__ import annotations

from vlmrb.events import is_progress
from vlmrb.pretrain.grids.truth import COLORS, Truth
from vlmrb.pretrain.phrases import PROGRESS_FAMILY, Family, Verb
from vlmrb.pretrain.questions import ANY_OBJECT, PROGRESS, Catalogue, Matter

_CARRIED = ("key", "ball", "box")

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
        any_object=True,
    ),
    Family(
        "dropped",
        (
            Verb("drop", "drops", "dropping", "dropped"),
            Verb("put down", "puts down", "putting down", "put down"),
            Verb("lay down", "lays down", "laying down", "laid down"),
        ),
        _CARRIED,
        any_object=True,
    ),
    Family("unlocked", (Verb("unlock", "unlocks", "unlocking", "unlocked"),), ("door",), adjectives=("locked",)),
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
    PROGRESS_FAMILY,
    Family(
        "shows first",
        objects=("key", "ball", "box", "open door", "closed door", "locked door"),
        questions=("is there {t} in the first frame?", "does the first frame show {t}?", "is there {t} at the start?"),
        is_view=True,
        opposites=("is there no {n} in the first frame?",),
        held_out=("can you see {t} in the first frame?",),
    ),
    Family(
        "shows last",
        objects=("key", "ball", "box", "open door", "closed door", "locked door"),
        questions=("is there {t} in the last frame?", "does the last frame show {t}?", "is there {t} at the end?"),
        is_view=True,
        opposites=("is there no {n} in the last frame?",),
        held_out=("can you see {t} in the last frame?",),
    ),
)


def answer(matter: Matter, truth: Truth) -> bool | None:
    """The true answer, or None where the frames cannot tell.

    A box that is opened vanishes like one that is picked up; a mission fulfilled where the mission is not in the picture
    is a success that nobody can see. Neither is asked after.
    """
    if matter.family == "stayed":
        return truth.stayed
    if matter.family in ("shows first", "shows last"):
        return any(_shows(matter, content) for content in (truth.first if matter.family == "shows first" else truth.last))
    events = [event for _, event in truth.events]
    if matter.family == PROGRESS:
        if any(is_progress(event) and event.name != "success" for event in events):
            return True
        return None if any(event.name == "success" for event in events) else False
    if matter.family == "picked_up" and matter.object in ("box", ANY_OBJECT) and ("opened", "box") in _names(truth):
        return None
    objects = _CARRIED if matter.object == ANY_OBJECT else (matter.object,)
    for event in events:
        named = event.name == matter.family and (not matter.object or event.object in objects)
        if named and (not matter.color or event.color == matter.color):
            return True
    return False


def _names(truth: Truth) -> set[tuple[str, str]]:
    return {(event.name, event.object) for _, event in truth.events}


def _shows(matter: Matter, content: str) -> bool:
    wanted, words = [*matter.object.split(), *([matter.color] if matter.color else [])], content.split()
    return words[-1] == matter.object.split()[-1] and set(wanted) <= set(words)


CATALOGUE = Catalogue(
    FAMILIES,
    COLORS,
    answer,
    subjects=("the agent", "the agent", "the player", "the red triangle"),
    before=(
        "",
        "",
        "",
        "these frames show, in order of time, an agent in a grid world.",
        "look at the frames in order.",
        "this is a short clip of an agent at work.",
    ),
    weights={"progress": 4.0, "picked_up": 2.0, "opened": 2.0, "goal_reached": 1.5, "unlocked": 1.5},
)
"""Everything that can be asked about grid worlds."""
