"""Many runs at once: lists with success rates, curves and live changes; and tags and sets."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import psutil
import pytest
from sqlalchemy import event

from tests.store.samples import CONFIG, new_run
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.store import Store
from vlmrb.types import CurveFigures

SUCCESS = "eval/success_rate"


def with_curve(store: Store, *values: float, name: str = SUCCESS) -> int:
    """A run with a value at steps 10, 20, 30, …"""
    run_id = new_run(store)
    writer = store.writer(run_id)
    for at, value in enumerate(values, 1):
        writer.add_metric(name, 10 * at, value)
    writer.flush()
    return run_id


def test_a_list_of_runs_shows_best_and_latest_success(store: Store) -> None:
    falling, unmeasured, rising = (
        with_curve(store, *values) for values in ((0.25, 0.75, 0.5), (), (0.125, math.nan, 0.5, math.nan))
    )
    assert [(item.run.run_id, item.best_success, item.latest_success) for item in store.run_list()] == [
        (rising, 0.5, 0.5),
        (unmeasured, None, None),
        (falling, 0.75, 0.5),
    ]
    assert [item.run for item in store.run_list()] == store.runs()


def test_lists_are_filtered_by_id_actual_status_and_limit(store: Store) -> None:
    dead, other, live = (with_curve(store, 0.5) for _ in range(3))
    store.claim_run(dead, 2**22 - 3, 1.0)
    me = psutil.Process()
    store.claim_run(live, me.pid, me.create_time())
    for lists in (store.runs, lambda **kwargs: [item.run for item in store.run_list(**kwargs)]):
        ids = lambda lists=lists, **kwargs: [run.run_id for run in lists(**kwargs)]  # noqa: E731
        assert (ids(status="interrupted"), ids(status="running"), ids(limit=2)) == ([dead], [live], [live, other])
        assert (
            ids(run_ids=[dead, 99, live]) == [live, dead]
            and ids(run_ids=[]) == []
            and ids(run_ids=[dead], status="running") == []
        )


def test_a_longer_list_of_runs_takes_no_more_queries(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        for _ in range(20):
            with_curve(store, 0.5)
        asked: list[str] = []
        event.listen(store._reading, "before_cursor_execute", lambda *call: asked.append(call[2]))
        assert len(store.run_list(limit=2)) == 2
        of_two = len(asked)
        assert len(store.run_list()) == 20 and len(asked) == 2 * of_two


def test_runs_keep_their_set_and_their_tags(store: Store) -> None:
    plain = new_run(store)
    run_id = store.create_run(CONFIG, render_spec={}, success_rule="", set_name="first try", tags=[" a ", "b", "a", ""])
    assert (store.run(plain).tags, store.run(plain).set_name) == ((), "")
    assert (store.run(run_id).tags, store.run(run_id).set_name) == (("a", "b"), "first try")
    store.tag_run(run_id, ["<b>", "🗝"])
    assert store.run(run_id).tags == ("<b>", "🗝") and store.run(plain).tags == ()
    store.tag_run(run_id, [])
    assert store.run(run_id).tags == ()


@pytest.mark.parametrize(
    ("tags", "words"), [([f"t{i}" for i in range(21)], "up to 20"), (["x" * 41], "up to 40"), (["nul\0"], "invalid characters")]
)
def test_tags_that_are_too_many_too_long_or_invalid_are_refused(store: Store, tags: list[str], words: str) -> None:
    run_id = new_run(store)
    with pytest.raises(ConfigError, match=words):
        store.tag_run(run_id, tags)
    with pytest.raises(ConfigError, match=words):
        store.create_run(CONFIG, render_spec={}, success_rule="", tags=tags)
    assert len(store.runs()) == 1 and store.run(run_id).tags == ()
    with pytest.raises(NotFoundError):
        store.tag_run(99, ["fine"])


def test_curves_of_several_runs_equal_those_of_each(store: Store) -> None:
    runs = [with_curve(store, 0.25, math.nan, 0.5), with_curve(store, 1.0), new_run(store)]
    other = with_curve(store, 7.0, name="train/td_loss")
    found = store.curves([*runs, other], [SUCCESS, "train/td_loss"])
    assert list(found) == [(run_id, name) for run_id in (*runs, other) for name in (SUCCESS, "train/td_loss")]
    for (run_id, name), (steps, values) in found.items():
        alone = store.metrics(run_id, name)
        assert steps.dtype == np.int64 and values.dtype == np.float64
        np.testing.assert_array_equal(steps, alone[0])
        np.testing.assert_array_equal(values, alone[1])


def test_only_new_points_of_each_curve_are_read(store: Store) -> None:
    first, second = with_curve(store, 1.0, 2.0, 3.0), with_curve(store, 1.0, 2.0)
    found = store.curves([first, second], [SUCCESS], since={(first, SUCCESS): 20, (99, SUCCESS): 5})
    assert [steps.tolist() for steps, _ in found.values()] == [[30], [10, 20]]
    found = store.curves([first, second], [SUCCESS], since={(first, SUCCESS): 30, (second, SUCCESS): 20})
    assert [values.tolist() for _, values in found.values()] == [[], []]
    assert store.curves([], [SUCCESS]) == store.curves([first], []) == {}


def test_more_curves_than_fit_into_one_query_can_be_read(store: Store) -> None:
    run_id = with_curve(store, 0.5)
    found = store.curves([run_id], [*(f"none {number}" for number in range(2_500)), SUCCESS])
    assert len(found) == 2_501 and found[run_id, SUCCESS][1].tolist() == [0.5]


def test_metric_names_are_those_of_all_requested_runs(store: Store) -> None:
    runs = [with_curve(store, 1.0, name=name) for name in ("b", "a", "b")]
    assert store.metric_names(*runs) == ["a", "b"] and store.metric_names(runs[0]) == ["b"]
    assert store.metric_names() == store.metric_names(99) == []


def test_live_changes_of_several_runs_are_in_the_order_of_their_requests(store: Store) -> None:
    runs = [new_run(store) for _ in range(5)]
    prompt_id = store.save_prompt("mine", "Is it?").prompt_id
    asked = (("lambda", 0.5), ("prompt", prompt_id), ("pause", None), ("lambda", "none"), ("prompt", prompt_id))
    ids = [store.request_change(run_id, *change) for run_id, change in zip(runs, asked, strict=True)]
    for change_id in ids[:3]:
        store.acknowledge_change(change_id, applied_step=8)
    store.acknowledge_change(ids[3], error="no")
    assert [change.change_id for change in store.live_changes(runs[2], runs[0])] == [ids[0], ids[2]]
    assert [change.run_id for change in store.live_changes(*runs, status="requested")] == [runs[4]]
    assert (
        store.edited_runs(runs) == set(runs[:2]) and store.edited_runs(runs[1:]) == {runs[1]} and store.edited_runs([]) == set()
    )


def test_figures_of_curves_are_their_last_smallest_and_largest_values(store: Store) -> None:
    one, other = (store.create_run({}, render_spec={}, success_rule="") for _ in range(2))
    for run_id, name, values in ((one, "a", (3.0, 1.0, 2.0, float("nan"))), (one, "b", (float("nan"),)), (other, "a", (5.0,))):
        writer = store.writer(run_id)
        for step, value in enumerate(values):
            writer.add_metric(name, step, value)
        writer.flush()
    assert store.curve_figures([one, other, 99], ["a", "b", "a"]) == {
        (one, "a"): CurveFigures(last=2.0, low=1.0, high=3.0, step=2),
        (other, "a"): CurveFigures(last=5.0, low=5.0, high=5.0, step=0),
    }
    assert store.curve_figures([], ["a"]) == {} == store.curve_figures([one], [])
