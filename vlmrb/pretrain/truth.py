"""The ground truth of a clip, and the answers that follow from it in any kind of world."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vlmrb.events import is_progress
from vlmrb.pretrain.questions import ANY_OBJECT, PROGRESS, Matter
from vlmrb.types import Event


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Truth:
    """What is true of a clip, whatever world it comes from.

    Attributes:
        events: what happened in the clip, in order.
        stayed: the agent or gripper never left its place.
        first, last: what the first and the last frame show, such as 'locked red door'.
    """

    events: tuple[Event, ...]
    stayed: bool
    first: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()


def answer_from(matter: Matter, truth: Truth, any_object: Sequence[str]) -> bool | None:
    """The true answer, or None where the frames cannot tell: a success that nothing in the clip explains.

    `any_object` lists the types that 'object' stands for.
    """
    if matter.family == "stayed":
        return truth.stayed
    if matter.family in ("shows first", "shows last", "left open"):
        wanted = {*matter.object.split(), *matter.color.split(), *(("open",) if matter.family == "left open" else ())}
        shown = truth.first if matter.family == "shows first" else truth.last
        return any(wanted <= set(look.split()) for look in shown)
    if matter.family == PROGRESS:
        if any(is_progress(event) and event.name != "success" for event in truth.events):
            return True
        return None if any(event.name == "success" for event in truth.events) else False
    objects = any_object if matter.object == ANY_OBJECT else (matter.object,)
    return any(
        event.name == matter.family
        and (event.object in objects or not matter.object)
        and (event.color == matter.color or not matter.color)
        for event in truth.events
    )


def event_kinds(events: Iterable[Event], *, stayed: bool = False) -> frozenset[str]:
    """The kinds of events in a clip, for `choose_balanced`: 'opened door', …, 'stayed' where it did; else 'nothing'."""
    kinds = {f"{event.name} {event.object}" for event in events if event.object}  # 'success' and 'failed' have no object
    if stayed:
        kinds.add("stayed")
    return frozenset(kinds or {"nothing"})
