"""Questions about the robot: the families of phrasings, and the catalogue they make up."""

from __future__ import annotations

from vlmrb.pretrain import phrases
from vlmrb.pretrain.phrases import PROGRESS_FAMILY, Family, Verb, left_open_family, view_families
from vlmrb.pretrain.questions import Catalogue, Matter
from vlmrb.pretrain.robots.stage import CUBE_COLORS
from vlmrb.pretrain.robots.truth import RobotTruth
from vlmrb.pretrain.truth import answer_from

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
            phrases.GRAB,
        ),
        _CUBE,
    ),
    Family(
        "lifted",
        (
            Verb("lift", "lifts", "lifting", "lifted"),
            phrases.PICK_UP,
            Verb("raise", "raises", "raising", "raised"),
        ),
        _CUBE,
    ),
    Family("dropped", (phrases.DROP, Verb("let go of", "lets go of", "letting go of")), _CUBE),
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
            phrases.OPEN,
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
            phrases.CLOSE,
            phrases.SHUT,
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
    Family("unlocked", (phrases.UNLOCK,), _SLIDES, any_object=True, colored=False, adjectives=("locked",)),
    Family("locked", (Verb("lock", "locks", "locking", "locked"),), _SLIDES, any_object=True, colored=False),
    Family(
        "kept",
        (Verb("end up holding", "ends up holding", "ending up holding"),),
        _CUBE,
        questions=(
            "does {s} hold {t} at the end?",
            "does {s} still hold {t} at the end?",
            "does {s} still have {t} in its grip at the end of {c}?",
            "is {t} held at the end?",
        ),
        opposites=("is it false that {s} holds {t} at the end?", "does {c} end without {s} holding {t}?"),
        held_out=("at the end of {c}, does {s} still hold {t}?", "is {s} still holding {t} at the end?"),
    ),
    left_open_family(_SLIDES, colored=False),
    Family(
        "stayed",
        phrases.STAYING,
        things=("in place", "in the same place", "where it is"),
        questions=("does {s} hold still?", "is {s} at rest?"),
        opposites=("does {s} move?", "does {s} move about?", "does {s} leave its place?"),
    ),
    PROGRESS_FAMILY,
    *view_families(_STATES, colored=False),
)


def answer(matter: Matter, truth: RobotTruth) -> bool | None:
    """The true answer, or None where the frames cannot tell."""
    if matter.family == "moved":
        return matter.color in truth.moved if matter.color else bool(truth.moved)
    if matter.family == "kept":
        return matter.color in truth.kept if matter.color else bool(truth.kept)
    return answer_from(matter, truth, _SLIDES)


CATALOGUE = Catalogue(
    FAMILIES,
    CUBE_COLORS,
    answer,
    subjects=("the robot", "the robot", "the robot arm", "the arm", "the gripper", "the agent"),
    actor="a robot",
    world="a robot arm at a table",
    weights={"progress": 4.0, "grasped": 2.0, "lifted": 2.0, "opened": 2.0, "closed": 2.0, "pressed": 2.0},
    rates={
        "progress": 0.4,
        "lifted": 0.07,
        "moved": 0.2,
        "placed_in_drawer": 0.05,
        "opened": 0.06,
        "closed": 0.06,
        "unlocked": 0.07,
        "locked": 0.07,
        "left open": 0.5,
        "shows first": 0.5,
        "shows last": 0.5,
    },
)
"""Everything that can be asked about the robot."""
