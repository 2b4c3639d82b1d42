"""The data exchanged between a page's script and Python."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from app.plain import to_json
from app.widgets import answering, widget
from vlmrb.errors import NotFoundError
from vlmrb.types import Event


def test_records_arrays_and_missing_numbers_become_json() -> None:
    value = {
        "events": (Event("opened", "door"),),
        "steps": np.array([1, 2]),
        "values": np.array([0.5, np.nan]),
        "x": np.float32(2),
    }
    assert json.loads(json.dumps(to_json(value), allow_nan=False)) == {
        "events": [{"name": "opened", "object": "door", "color": ""}],
        "steps": [1, 2],
        "values": [0.5, None],
        "x": 2.0,
    }


def test_an_expected_error_reaches_the_page_as_its_message() -> None:
    def find(request: dict[str, Any]) -> None:
        raise NotFoundError("there is no run 7")

    assert answering(find)({}) == {"error": "there is no run 7"}


def test_a_bug_is_not_swallowed() -> None:
    def broken(request: dict[str, Any]) -> float:
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        answering(broken)({})


@pytest.mark.parametrize("request_", [None, [], "x", 5, {"x": "y" * 200_000}])
def test_a_malformed_request_is_refused(request_: Any) -> None:
    assert "reload the page" in answering(lambda request: "never")(request_)["error"]


def test_data_of_a_widget_cannot_escape_from_its_script() -> None:
    script = widget("top", store="</script><script>alert(1)</script>").js_on_load
    assert "</script>" not in script
    assert "\\u003c/script>" in script
