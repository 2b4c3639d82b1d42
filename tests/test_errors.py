"""Messages repeat rejected values of any kind and size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vlmrb.config import make_config, parse_lambda
from vlmrb.envs.checks import as_reward
from vlmrb.errors import VlmrbError, shown
from vlmrb.live import parse_change
from vlmrb.store.text import plain


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __str__ = __repr__


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


HARD_TO_SHOW = {
    "thousands of digits": 10**5_000,
    "thousands of digits, negative": -(10**5_000),
    "inside a list": [10**5_000],
    "thousands deep": nested(100_000),
    "an object that fails to show itself": Mute(),
    "a million characters": "x" * 10**6,
    "many lines": "a\nb" * 100,
    "lists of different lengths": [[1.0], [1.0, 2.0]],
}


@pytest.mark.parametrize("form", [repr, str])
@pytest.mark.parametrize("hard", HARD_TO_SHOW)
def test_any_value_is_shown_in_one_short_line(hard: str, form: Callable[[Any], str]) -> None:
    line = shown(HARD_TO_SHOW[hard], form=form)
    assert 1 < len(line) < 90
    assert "\n" not in line


def test_a_short_value_is_shown_whole() -> None:
    assert (shown("a"), shown("a", form=str), shown(0.5), shown(None)) == ("'a'", "a", "0.5", "None")


@pytest.mark.parametrize(
    "reject",
    [
        pytest.param(parse_lambda, id="lambda"),
        pytest.param(lambda value: parse_change("prompt", value), id="a live change"),
        pytest.param(lambda value: parse_change(value, 1), id="the name of a live change"),
        pytest.param(lambda value: make_config(batch_size=value), id="a setting"),
        pytest.param(lambda value: make_config(replay_ratio=value), id="the replay ratio"),
        pytest.param(lambda value: as_reward([value, value]), id="a reward"),
    ],
)
@pytest.mark.parametrize("hard", HARD_TO_SHOW)
def test_a_value_that_is_hard_to_show_is_rejected_in_words(reject: Callable[[Any], Any], hard: str) -> None:
    with pytest.raises(VlmrbError) as refused:
        reject(HARD_TO_SHOW[hard])
    assert 10 < len(str(refused.value)) < 1_000
    assert "Exceeds the limit" not in str(refused.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400, -(10**4_000)])
def test_numbers_that_no_database_holds_are_refused_before_they_are_written(number: float) -> None:
    with pytest.raises(VlmrbError, match=r"size: got .*; allowed: finite numbers"):
        plain(number, "size")
    assert plain([number]) == [None]
