"""Which simulator events count as progress: `oracle` labels them yes, and labels are judged by them."""

from __future__ import annotations

from collections.abc import Iterable

from vlmrb.types import Event

_GRID = {("picked_up", "key"), ("unlocked", "door"), ("opened", "door"), ("goal_reached", "goal"), ("success", "")}
_ROBOT = {("lifted", "cube"), ("placed_in_drawer", "cube"), ("reached_target", "cube"), ("pressed", "button")} | {
    (name, thing) for name in ("opened", "closed") for thing in ("drawer", "window")
}
PROGRESS_EVENTS = frozenset(_GRID | _ROBOT)
"""(name, object) of the events that count as progress towards a goal."""


def is_progress(event: Event) -> bool:
    """Whether the event counts as progress."""
    return (event.name, event.object) in PROGRESS_EVENTS


def shows_progress(events: Iterable[tuple[int, Event]]) -> bool:
    """Whether any of a clip's events counts as progress."""
    return any(is_progress(event) for _, event in events)
