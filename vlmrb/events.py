"""Which simulator events count as progress: `oracle` labels them yes, and labels are judged by them."""

from __future__ import annotations

from collections.abc import Iterable

from vlmrb.types import Event

_KINDS = {
    ("picked_up", "key"): "picked_up key",
    ("unlocked", "door"): "opened door",  # unlocking opens it
    ("opened", "door"): "opened door",
    ("goal_reached", "goal"): "goal_reached",
    ("success", ""): "goal_reached",
    ("lifted", "cube"): "lifted cube",
    ("placed_in_drawer", "cube"): "placed_in_drawer cube",
    ("reached_target", "cube"): "reached_target cube",
    ("pressed", "button"): "pressed button",
    ("opened", "drawer"): "opened drawer",
    ("closed", "drawer"): "closed drawer",
    ("opened", "window"): "opened window",
    ("closed", "window"): "closed window",
}
PROGRESS_EVENTS = frozenset(_KINDS)
"""(name, object) of the events that count as progress towards a goal."""

PROGRESS_KINDS = tuple(dict.fromkeys(_KINDS.values()))
"""The kinds of progress, in a fixed order: `oracle` answers one question about each."""


def is_progress(event: Event) -> bool:
    """Whether the event counts as progress."""
    return (event.name, event.object) in PROGRESS_EVENTS


def shows_progress(events: Iterable[tuple[int, Event]]) -> bool:
    """Whether any of a clip's events counts as progress."""
    return any(progress_by_kind(events))


def progress_by_kind(events: Iterable[tuple[int, Event]]) -> tuple[bool, ...]:
    """Whether a clip's events show progress of each of `PROGRESS_KINDS`."""
    shown = {_KINDS.get((event.name, event.object)) for _, event in events}
    return tuple(kind in shown for kind in PROGRESS_KINDS)
