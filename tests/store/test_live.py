"""Live changes: which may be requested, and rows that others have written."""

from __future__ import annotations

import math

import pytest

from tests.foreign_rows import write_change
from tests.store.samples import new_run
from vlmrb.errors import ConfigError, NotFoundError, StoreError
from vlmrb.store import Store
from vlmrb.types import Unreadable


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dance", None),
        ("", None),
        (None, None),
        ("x" * 100_000, None),
        ("lambda", None),
        ("lambda", True),
        ("lambda", 7),
        ("lambda", math.nan),
        ("lambda", 10**400),
        ("lambda", {"weight": 1}),
        ("prompt", None),
        ("prompt", "keys"),
        ("prompt", b"bytes"),
        ("prompt", 1.0),
        ("prompt", False),
        ("prompt", 0),
        ("pause", 5),
        ("stop", False),
        ("resume", {}),
    ],
)
def test_an_impossible_change_is_refused_on_request(store: Store, name: str, value: object) -> None:
    run_id = new_run(store)
    with pytest.raises(ConfigError) as refused:
        store.request_change(run_id, name, value)
    assert len(str(refused.value)) < 300
    assert store.live_changes(run_id) == []


@pytest.mark.parametrize("prompt_id", [99, 2**31, 2**63 - 1])
def test_a_missing_prompt_is_refused_on_request(store: Store, prompt_id: int) -> None:
    run_id = new_run(store)
    with pytest.raises(NotFoundError):
        store.request_change(run_id, "prompt", prompt_id)
    assert store.live_changes(run_id) == []


def test_resume_is_the_former_name_of_unpause(store: Store) -> None:
    run_id = new_run(store)
    write_change(store, run_id, "resume", "null")
    store.request_change(run_id, "resume")
    with store._read() as connection:
        stored = connection.exec_driver_sql("SELECT name FROM controls ORDER BY control_id").scalars().all()
    assert stored == ["resume", "unpause"]
    assert [change.name for change in store.live_changes(run_id)] == ["unpause", "unpause"]


@pytest.mark.parametrize("value", ["1" * 5_000, "[" * 100_000 + "]" * 100_000], ids=["digits", "depth"])
def test_json_that_python_cannot_read_does_not_affect_other_rows(store: Store, value: str) -> None:
    run_id = new_run(store)
    store.request_change(run_id, "lambda", 0.1 + 0.2)
    try:
        write_change(store, run_id, "prompt", value)
    except StoreError:
        pytest.skip("this database refuses such JSON by itself")
    store.request_change(run_id, "stop")
    first, odd, last = store.live_changes(run_id)
    assert (first.name, first.value, last.name, last.value) == ("lambda", 0.1 + 0.2, "stop", None)
    assert isinstance(odd.value, Unreadable | float) and len(str(odd.value)) <= 200


@pytest.mark.parametrize("value", ["{broken", "", b"\xff\xfe\x00", b"[1", "schedule", "NaN and more"])
@pytest.mark.parametrize("name", ["lambda", b"\xff\x00"])
def test_bytes_that_are_not_json_do_not_affect_other_rows(tmp_path, name: str | bytes, value: str | bytes) -> None:
    with Store(str(tmp_path / "runs.db")) as store:  # PostgreSQL validates what it stores
        run_id = new_run(store)
        write_change(store, run_id, name, value)
        change_id = store.request_change(run_id, "stop")
        odd, last = store.live_changes(run_id, status="requested")
        assert isinstance(odd.name, str) and isinstance(odd.value, Unreadable)
        assert (last.change_id, last.name) == (change_id, "stop")
