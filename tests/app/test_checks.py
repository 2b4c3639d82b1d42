"""Values sent by a browser are validated one by one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app import checks
from vlmrb.errors import ConfigError

STRANGE = [None, "", "x", "1; DROP TABLE runs", -1, 0, 1.5, True, [], {}, 2**62, "9" * 30, "١", float("nan"), float("inf")]


@pytest.mark.parametrize("value", STRANGE)
def test_only_positive_integers_are_ids(value: Any) -> None:
    with pytest.raises(ConfigError, match="run_id: got"):
        checks.an_id({"run_id": value}, "run_id")


def test_an_id_may_come_as_text() -> None:
    assert checks.an_id({"run_id": "17"}, "run_id") == 17


def test_ids_come_as_a_list_or_as_text_from_a_url() -> None:
    assert checks.ids({"runs": [3, "1", 3]}, "runs") == [3, 1]
    assert checks.ids({"runs": "3, 1,,3"}, "runs") == [3, 1]
    assert checks.ids({}, "runs") == []


@pytest.mark.parametrize("value", [{"a": 1}, 7, ["x"], "1,x", list(range(1, 600))])
def test_invalid_lists_of_ids_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="runs: got"):
        checks.ids({"runs": value}, "runs")


def test_texts_come_as_a_list() -> None:
    assert checks.texts({"metrics": ["a", "b", "a"]}, "metrics", 3) == ["a", "b"]
    assert checks.texts({}, "metrics", 3) == []
    for value in ("a", {"a": 1}, ["a", "b", "c", "d"], [1], ["x" * 201]):
        with pytest.raises(ConfigError, match="metrics: "):
            checks.texts({"metrics": value}, "metrics", 3)


def test_numbers_stay_in_their_range() -> None:
    assert checks.a_number({"x": "0.25"}, "x", 0, 1) == 0.25
    assert checks.a_number({}, "x", 0, 1) is None
    for value in (-0.1, 1.1, 10**400, -(10**400), "9" * 5_000, "nan", float("inf"), "x", True, [1]):
        with pytest.raises(ConfigError, match=re.escape("expected a number from 0 to 1")):
            checks.a_number({"x": value}, "x", 0, 1)


def test_counts_are_integers() -> None:
    assert checks.a_count({"n": 5}, "n", 10, default=3) == 5
    assert checks.a_count({}, "n", 10, default=3) == 3
    for value in (2.5, 11, -1, 10**400, "9" * 5_000):
        with pytest.raises(ConfigError, match="n: got"):
            checks.a_count({"n": value}, "n", 10, default=3)


def test_a_choice_is_one_of_those_offered() -> None:
    assert checks.a_choice({"order": "newest"}, "order", ("newest", "oldest")) == "newest"
    assert checks.a_choice({"order": ""}, "order", ("newest", "oldest")) is None
    for value in ("random", 5, ["newest"], {}):
        with pytest.raises(ConfigError, match="allowed: newest, oldest"):
            checks.a_choice({"order": value}, "order", ("newest", "oldest"))


def test_texts_are_strings_of_limited_length() -> None:
    assert checks.a_text({"t": "λ <b>"}, "t") == "λ <b>"
    assert checks.a_text({}, "t") == ""
    for value in ("x" * 11, 5, ["x"]):
        with pytest.raises(ConfigError, match="at most 10 characters"):
            checks.a_text({"t": value}, "t", 10)


def test_flags_are_true_or_false() -> None:
    assert checks.a_flag({"f": True}, "f") is True
    assert checks.a_flag({}, "f") is False
    for value in (1, "true", None):
        with pytest.raises(ConfigError, match="true or false"):
            checks.a_flag({"f": value}, "f")


@pytest.mark.parametrize("value", [[], {}, ["newest"]])
def test_a_choice_from_a_table_is_a_text(value: Any) -> None:
    with pytest.raises(ConfigError, match="allowed: newest"):
        checks.a_choice({"order": value}, "order", {"newest": 1})
