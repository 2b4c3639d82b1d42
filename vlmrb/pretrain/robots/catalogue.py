"""Questions about the robot: the families of phrasings, and the catalogue that they make up."""

from __future__ import annotations

from vlmrb.events import is_progress
from vlmrb.pretrain.phrases import PROGRESS_FAMILY, Family, Verb
from vlmrb.pretrain.questions import ANY_OBJECT, PROGRESS, Catalogue, Matter
from vlmrb.pretrain.robots.stage import CUBE_COLORS
from vlmrb.pretrain.robots.truth import Truth

_CUBE = ("cube",)
_SLIDES = ("drawer", "window")
_STATES = ("open drawer", "closed drawer", "locked drawer", "open window", "closed window", "locked window")

FAMILIES = (
    Family(
        "grasped",
        (
            Verb("grasp", "grasps", "grasping", "grasped"),
            Verb("grip", "grips", "gripping", "gripped"),
            Verb("take hold of", "takes hold of", "taking hold of"),
            Verb("grab", "grabs", "grabbing", "grabbed"),
        ),
        _CUBE,
    ),
    Family(
        "lifted",
        (
            Verb("lift", "lifts", "lifting", "lifted"),
            Verb("pick up", "picks up", "picking up", "picked up"),
            Verb("raise", "raises", "raising", "raised"),
        ),
        _CUBE,
    ),
    Family(
        "dropped",
        (
            Verb("drop", "drops", "dropping", "dropped"),
            Verb("let go of", "lets go of", "letting go of"),
        ),
        _CUBE,
    ),
    Family(
        "moved",
        (
            Verb("move", "moves", "moving", "moved"),
            Verb("shift", "shifts", "shifting", "shifted"),
            Verb("displace", "displaces", "displacing", "displaced"),
        ),
        _CUBE,
    ),
    Family(
        "placed_in_drawer",
        objects=_CUBE,
        colored=False,
        questions=(
            "does {s} put {t} into the drawer?",
            "does {s} place {t} in the drawer?",
            "is {t} put into the drawer?",
            "does {c} show {s} putting {t} into the drawer?",
        ),
        opposites=("does {s} never put {t} into the drawer?", "does {c} end without {s} putting {t} into the drawer?"),
        held_out=("in {f}, does {s} put {t} into the drawer?", "can you see {t} being put into the drawer?"),
    ),
    Family(
        "reached_target",
        objects=_CUBE,
        colored=False,
        questions=(
            "does {s} bring {t} to its target?",
            "does {s} put {t} at its target?",
            "is {t} brought to its target?",
            "does {t} reach its target?",
            "does {c} show {t} reaching its target?",
        ),
        opposites=("does {s} never bring {t} to its target?", "does {c} end without {t} reaching its target?"),
        held_out=("in {f}, does {t} reach its target?", "can you see {t} being brought to its target?"),
    ),
    Family(
        "opened",
        (
            Verb("open", "opens", "opening", "opened"),
            Verb("pull open", "pulls open", "pulling open", "pulled open"),
            Verb("slide open", "slides open", "sliding open"),
        ),
        _SLIDES,
        any_object=True,
        colored=False,
    ),
    Family(
        "closed",
        (
            Verb("close", "closes", "closing", "closed"),
            Verb("shut", "shuts", "shutting", "shut"),
            Verb("push shut", "pushes shut", "pushing shut", "pushed shut"),
        ),
        _SLIDES,
        any_object=True,
        colored=False,
    ),
    Family(
        "pressed",
        (
            Verb("press", "presses", "pressing", "pressed"),
            Verb("push", "pushes", "pushing", "pushed"),
            Verb("push down", "pushes down", "pushing down", "pushed down"),
        ),
        ("button",),
        colored=False,
    ),
    Family(
        "unlocked",
        (Verb("unlock", "unlocks", "unlocking", "unlocked"),),
        _SLIDES,
        any_object=True,
        colored=False,
        adjectives=("locked",),
    ),
    Family("locked", (Verb("lock", "locks", "locking", "locked"),), _SLIDES, any_object=True, colored=False),
    Family(
        "stayed",
        (Verb("stay", "stays", "staying"), Verb("remain", "remains", "remaining")),
        things=("in place", "in the same place", "where it is"),
        questions=("does {s} hold still?", "is {s} at rest?"),
        opposites=("does {s} move?", "does {s} move about?", "does {s} leave its place?"),
    ),
    PROGRESS_FAMILY,
    Family(
        "shows first",
        objects=_STATES,
        colored=False,
        is_view=True,
        questions=("is there {t} in the first frame?", "does the first frame show {t}?", "is there {t} at the start?"),
        opposites=("is there no {n} in the first frame?",),
        held_out=("can you see {t} in the first frame?",),
    ),
    Family(
        "shows last",
        objects=_STATES,
        colored=False,
        is_view=True,
        questions=("is there {t} in the last frame?", "does the last frame show {t}?", "is there {t} at the end?"),
        opposites=("is there no {n} in the last frame?",),
        held_out=("can you see {t} in the last frame?",),
    ),
)


def answer(matter: Matter, truth: Truth) -> bool | None:
    """The true answer, or None where the frames cannot tell: a task's end that nothing in the clip has brought about."""
    if matter.family == "stayed":
        return truth.stayed
    if matter.family == "moved":
        return matter.color in truth.moved if matter.color else bool(truth.moved)
    if matter.family in ("shows first", "shows last"):
        wanted = set(matter.object.split())
        return any(wanted <= set(look.split()) for look in (truth.first if matter.family == "shows first" else truth.last))
    if matter.family == PROGRESS:
        if any(is_progress(event) and event.name != "success" for event in truth.events):
            return True
        return None if any(event.name == "success" for event in truth.events) else False
    objects = _SLIDES if matter.object == ANY_OBJECT else (matter.object,)
    return any(
        event.name == matter.family and event.object in objects and (not matter.color or event.color == matter.color)
        for event in truth.events
    )


CATALOGUE = Catalogue(
    FAMILIES,
    CUBE_COLORS,
    answer,
    subjects=("the robot", "the robot", "the robot arm", "the arm", "the gripper", "the agent"),
    before=(
        "",
        "",
        "",
        "these frames show, in order of time, a robot arm at a table.",
        "look at the frames in order.",
        "this is a short clip of a robot at work.",
    ),
    weights={"progress": 4.0, "grasped": 2.0, "lifted": 2.0, "opened": 2.0, "closed": 2.0, "pressed": 2.0},
)
"""Everything that can be asked about the robot."""
