"""What counts as progress within a clip."""

from __future__ import annotations

import pytest

from vlmrb.events import net_events
from vlmrb.types import Event


def left(*words: str) -> list[str]:
    """What is left of events such as 'picked_up key yellow', in words again."""
    return [str(event) for _, event in net_events(enumerate(Event(*word.split()) for word in words))]


@pytest.mark.parametrize(
    "undone",
    [
        ("picked_up key yellow", "dropped key yellow"),
        ("dropped key yellow", "picked_up key yellow"),
        ("opened door red", "closed door red"),
        ("closed drawer", "opened drawer"),
        ("lifted cube red", "dropped cube red"),
        ("picked_up key yellow", "dropped key yellow", "picked_up key yellow", "dropped key yellow"),
        ("picked_up key yellow", "opened door red", "dropped key yellow", "closed door red"),
    ],
)
def test_what_is_undone_within_a_clip_is_no_progress(undone: tuple[str, ...]) -> None:
    assert left(*undone) == []


def test_what_is_done_once_more_than_undone_counts() -> None:
    assert left("picked_up key yellow", "dropped key yellow", "picked_up key yellow") == ["picked_up yellow key"]


def test_only_the_same_thing_can_be_undone() -> None:
    events = ("picked_up key yellow", "dropped key blue", "opened door red", "closed door blue", "dropped ball yellow")
    assert len(left(*events)) == 5


def test_a_key_that_is_dropped_once_the_door_is_open_leaves_the_door() -> None:
    words = left("picked_up key yellow", "unlocked door yellow", "opened door yellow", "dropped key yellow", "success")
    assert words == ["unlocked yellow door", "opened yellow door", "success"]
