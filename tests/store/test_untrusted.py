"""Untrusted text and numbers: stored cleanly or refused in words, and never able to break a run's writes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.foreign_rows import write_change
from tests.store.samples import CONFIG, clip, filled, new_run, score
from vlmrb.errors import ConfigError, NotFoundError, StoreError
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore, Episode, Event, RunCounters

NASTY = [
    "'; DROP TABLE runs; --",
    "%s %(x)s :name ?",
    '"\\',
    "<script>alert(1)</script> 🗝",
    "\n\t\x1b[31m",
    "מפתח",
    "%",
    "_",
    "x" * 9_000,
]
NO_TEXT = ["nul\0nul", "half \ud800 a pair"]


@pytest.mark.parametrize("text", NASTY)
def test_text_comes_back_unchanged(store: Store, text: str) -> None:
    run_id = new_run(store, env=text)
    assert store.run(run_id).env == text
    store.rename_run(run_id, text)
    assert store.run(run_id).name == text[:200]
    assert store.save_prompt(text, text).text == text and store.find_prompt(text).name == text
    store.acknowledge_change(write_change(store, run_id, text, json.dumps({text: [text]})), error=text)
    (change,) = store.live_changes(run_id)
    assert (change.name, change.value, change.error) == (text, {text: [text]}, text)
    writer = store.writer(run_id)
    writer.add_metric(text, 1, 2.0)
    writer.add_event(1, 0, Event(text, text, text))
    first = clip(run_id, 0)
    writer.add_clip(
        Clip(first.clip_id, 0, 0, first.item_ids, first.snapshots, first.rewards, ((1, Event(text, "door")),), "length")
    )
    writer.add_clip(clip(run_id, 1))
    answer = ClipScore(first.clip_id, None, None, None, 0.5, text, text, text, None, error=text)
    writer.add_score(answer)
    writer.flush()
    assert store.metric_names(run_id) == [text] and store.events(run_id) == [(1, 0, Event(text, text, text))]
    assert store.clip(first.clip_id).score == answer and store.scores_of_run(run_id, scorer=text) == [answer]
    for event in (text, f"{text} door"):
        assert [found.number for found in store.clips(run_id, event=event)] == [0]
    store.release_run(run_id, "failed", text, counters=RunCounters(scoring_error=text))
    assert (store.run(run_id).error, store.run(run_id).counters) == (text, RunCounters(scoring_error=text))


@pytest.mark.parametrize("text", NO_TEXT)
def test_typed_text_with_invalid_characters_is_refused(store: Store, text: str) -> None:
    run_id = filled(store)
    for attempt in (
        lambda: new_run(store, scorer=text),
        lambda: store.create_run(CONFIG, name=text, render_spec={}, success_rule=""),
        lambda: store.rename_run(run_id, text),
        lambda: store.save_prompt("mine", text),
        lambda: store.save_prompt(text, "Is it?"),
        lambda: store.label_clip(run_id * CLIPS_PER_RUN, True, text),
    ):
        with pytest.raises(ConfigError, match="invalid characters"):
            attempt()
    assert store.find_prompt(text) is None and store.clips(event=text) == [] == store.scores_of_run(run_id, scorer=text)
    assert store.metrics(run_id, text)[0].tolist() == []


@pytest.mark.parametrize("text", NO_TEXT)
def test_a_runs_text_is_stored_without_invalid_characters(store: Store, text: str) -> None:
    run_id = new_run(store)
    cleaned = text.replace("\0", "").replace("\ud800", "")
    writer = store.writer(run_id)
    writer.add_metric(text, 1, 1.0)
    writer.add_event(1, 0, Event(text, text))
    writer.add_clip(clip(run_id, 0))
    writer.add_score(ClipScore(run_id * CLIPS_PER_RUN, None, None, None, 0.5, "oracle", text, text, None, error=text))
    writer.flush()
    store.heartbeat(run_id, 1, counters=RunCounters(scoring_error=text))
    store.release_run(run_id, "failed", text)
    assert store.metric_names(run_id) == [cleaned] == [store.events(run_id)[0][2].name] == [store.run(run_id).error]
    assert (
        store.run(run_id).counters == RunCounters(scoring_error=cleaned)
        and store.scores(run_id * CLIPS_PER_RUN)[0].error == cleaned
    )


def test_numpy_numbers_are_stored_as_numbers(store: Store) -> None:
    run_id = new_run(store)
    writer = store.writer(run_id)
    writer.add_metric("m", np.int64(3), np.float32(0.5))
    writer.add_episode(Episode(*(np.int64(each) for each in range(1, 6)), np.float32(0.5), np.bool_(True)))
    writer.add_event(np.int64(3), np.int64(1), Event("success"))
    writer.add_clip(clip(run_id, 0))
    writer.add_score(
        ClipScore(run_id * CLIPS_PER_RUN, np.float32(0.75), np.float32(1), np.float64(2), 0.5, "s", "m", "", None, (np.int64(3),))
    )
    writer.flush()
    store.heartbeat(run_id, np.int64(7), steps_per_second=np.float32(2), counters=RunCounters(clips=np.int64(3)))
    store.acknowledge_change(store.request_change(run_id, "lambda", np.float64(0.5)), applied_step=np.int64(7))
    assert store.metrics(run_id, "m")[1].tolist() == [0.5]
    assert store.episodes(run_id) == [Episode(1, 2, 3, 4, 5, 0.5, True)]
    found = store.clip(run_id * CLIPS_PER_RUN).score
    assert (found.probability, found.yes_logit, found.frame_indices, found.label) == (0.75, 1.0, (3,), True)
    assert (store.run(run_id).step, store.run(run_id).counters) == (7, RunCounters(clips=3))
    assert (store.live_changes(run_id)[0].value, store.live_changes(run_id)[0].applied_step) == (0.5, 7)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_are_stored_as_missing(store: Store, odd: float) -> None:
    run_id = new_run(store)
    writer = store.writer(run_id)
    writer.add_metric("m", 1, odd)
    writer.add_clip(clip(run_id, 0))
    writer.add_score(ClipScore(run_id * CLIPS_PER_RUN, odd, odd, odd, 0.5, "s", "m", "", None, latency_s=odd))
    writer.flush()
    assert math.isnan(store.metrics(run_id, "m")[1][0])
    answer = store.clip(run_id * CLIPS_PER_RUN).score
    assert (answer.probability, answer.label, answer.yes_logit, answer.latency_s) == (None, None, None, 0.0)
    assert store.clips(run_id, label=True) == store.clips(run_id, label=False) == []
    with pytest.raises(ConfigError, match="lambda: got"):
        store.request_change(run_id, "lambda", odd)
    with pytest.raises(ConfigError, match=r"config\.gamma: got"):
        new_run(store, gamma=odd)


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63 - 1, 2**63, 10**30, -(10**30)])
def test_impossible_ids_are_not_found(store: Store, number: int) -> None:
    filled(store)
    for attempt in (
        lambda: store.run(number),
        lambda: store.clip(number),
        lambda: store.load_clip(number),
        lambda: store.clip_snapshots(number),
        lambda: store.prompt(number),
        lambda: store.claim_run(number, 1, 1.0),
        lambda: store.release_run(number, "failed"),
        lambda: store.heartbeat(number, 1),
        lambda: store.rename_run(number, "x"),
        lambda: store.delete_run(number),
        lambda: store.rollback_run(number, 0),
        lambda: store.request_change(number, "stop"),
        lambda: store.acknowledge_change(number, applied_step=1),
        lambda: store.label_clip(number, True),
    ):
        with pytest.raises(NotFoundError):
            attempt()
    if abs(number) < 2**31:  # PostgreSQL's ids are no larger
        assert store.scores(number) == store.human_labels(number) == store.episodes(number) == store.live_changes(number) == []
    assert len(store.clips()) == 6


def test_values_that_are_not_json_are_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"config\.env: got"):
        new_run(store, env=object())


any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_json)
def test_any_json_comes_back_or_is_refused(store: Store, value: object) -> None:
    try:
        store.set_setting("x", value)
    except ConfigError:
        assert "\\x00" in repr(value) or "\\u0000" in repr(value) or "\\ud" in repr(value)
    else:
        assert store.setting("x") == value


def test_scores_with_a_missing_prompt_are_rejected_and_kept_for_later(store: Store) -> None:
    run_id = filled(store)
    writer = store.writer(run_id)
    writer.add_score(score(run_id * CLIPS_PER_RUN, 0.5, prompt_id=1))
    with pytest.raises(StoreError, match="rejected a row"):
        writer.flush()
    assert len(store.scores(run_id * CLIPS_PER_RUN)) == 1
    assert store.save_prompt("games", "Is it?").prompt_id == 1
    writer.flush()
    assert [each.prompt_id for each in store.scores(run_id * CLIPS_PER_RUN)] == [None, 1]
