"""Reading live changes: every name and value is either understood or refused with a reason."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmrb.errors import ConfigError
from vlmrb.live import parse_change
from vlmrb.types import LIVE_CHANGES, Change, SetLambda, SetPrompt, SetQuestion, SetStatus, Unreadable

scalars = st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**310) | st.floats() | st.text()
values = (
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3))
    | st.sampled_from(["nan", "1e999", "0.5", " None ", "schedule", 1e300, 1.5, 10**5_000, -(10**5_000)])
    | st.builds(Unreadable, st.text())
)
names = st.sampled_from([*LIVE_CHANGES]) | scalars | st.text(min_size=1_000, max_size=1_100)


@given(names, values)
def test_any_row_is_a_change_or_refused_with_a_short_reason(name: Any, value: Any) -> None:
    try:
        change = parse_change(name, value)
    except ConfigError as refused:
        reason = str(refused)
    else:
        assert_follows(change, name, value)
        return
    assert 10 < len(reason) < 300 and ("allowed: " in reason or "it takes none" in reason)


def assert_follows(change: Change, name: Any, value: Any) -> None:
    assert name in LIVE_CHANGES
    if isinstance(change, SetLambda):
        assert name == "lambda" and (change.weight in (None, "schedule") or 0 <= change.weight <= 1)
        assert not isinstance(value, bool | None)
    elif isinstance(change, SetQuestion):
        assert name == "question" and (value == "schedule" if change.number is None else 1 <= change.number == value <= 16)
        assert not isinstance(value, bool | float)
    elif isinstance(change, SetPrompt):
        assert name == "prompt" and type(change.prompt_id) is int and change.prompt_id == value >= 1
        assert not isinstance(value, bool | float)
    else:
        assert name in ("pause", "unpause", "stop") and value is None


@pytest.mark.parametrize(
    ("name", "value", "change"),
    [
        ("lambda", 0.25, SetLambda(0.25)),
        ("lambda", 1, SetLambda(1.0)),
        ("lambda", "0.25", SetLambda(0.25)),
        ("lambda", "none", SetLambda(None)),
        ("lambda", "schedule", SetLambda("schedule")),
        ("lambda", np.float32(0.5), SetLambda(0.5)),
        ("prompt", 3, SetPrompt(3)),
        ("question", 2, SetQuestion(2)),
        ("question", "schedule", SetQuestion(None)),
        ("prompt", np.int64(3), SetPrompt(3)),
        ("pause", None, SetStatus("paused")),
        ("unpause", None, SetStatus("running")),
        ("stop", None, SetStatus("stopped")),
    ],
)
def test_each_change_is_understood(name: str, value: Any, change: Change) -> None:
    assert parse_change(name, value) == change


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lambda", 7, ["lambda: got 7", "from 0 to 1", "'none' or 'schedule'", "--lambda"]),
        ("lambda", True, ["lambda: got True"]),
        ("lambda", None, ["lambda: got None"]),
        ("prompt", "keys", ["prompt: got 'keys'", "whole number from 1", "--prompt"]),
        ("prompt", 1.5, ["got 1.5"]),
        ("prompt", Unreadable("{broken"), ["'{broken', which is not JSON"]),
        ("pause", 5, ["pause: got the value 5", "takes none", "control RUN pause"]),
        ("dance", None, ["no 'dance'", ", ".join(LIVE_CHANGES), "vlmrb control --help"]),
        ("", None, ["no ''"]),
        (None, None, ["no None"]),
    ],
)
def test_a_refusal_names_the_value_what_is_allowed_and_the_way_out(name: Any, value: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_change(name, value)
    for part in words:
        assert part in str(refused.value)


def test_numbers_and_lists_that_are_too_large_to_show_are_refused() -> None:
    with pytest.raises(ConfigError, match="a value of type int that cannot be shown"):
        parse_change("prompt", 10**5_000)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConfigError, match="a value of type list that cannot be shown"):
        parse_change("lambda", deep)
    assert math.isinf(json.loads("1e999"))  # what JSON readers make of a number too large for a float
    with pytest.raises(ConfigError, match="got inf"):
        parse_change("lambda", json.loads("1e999"))
