"""Records of draws: stored, found by step, rolled back; and which items clips cover."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.store.samples import draws, filled, new_run
from vlmrb.errors import NotFoundError
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, ClipSpan, Kinds


def test_the_nearest_record_comes_back_as_it_was_given(store: Store) -> None:
    run_id, other = filled(store, 3), new_run(store)
    clip_ids = [run_id * CLIPS_PER_RUN + number for number in (2, 0, 1)]
    given = [draws(step, clip_ids, by_labels=step) for step in (100, 200, 400)]
    writer = store.writer(run_id)
    for each in given:
        writer.add_draws(each)
    writer.flush()
    assert store.draw_steps(run_id) == [100, 200, 400] and store.runs_with_draws() == {run_id}
    for step, at in ((0, 0), (100, 0), (150, 0), (151, 1), (299, 1), (301, 2), (10**12, 2)):
        assert store.draws_near(run_id, step) == given[at]
    with pytest.raises(NotFoundError, match=f"run {other}"):
        store.draws_near(other, 100)


def test_the_share_of_progress_in_draws_comes_by_run_and_step(store: Store) -> None:
    run_id, other = filled(store, 1), new_run(store)
    writer = store.writer(run_id)
    for step, progress in ((200, 500), (100, 250)):
        writer.add_draws(replace(draws(step, []), of_drawn=Kinds(900, 800, 600, progress)))
    writer.flush()
    found = store.drawn_progress([run_id, other, 99])
    assert list(found) == [run_id]
    assert [each.tolist() for each in found[run_id]] == [[100, 200], [0.25, 0.5], [0.1, 0.1]]  # of 1,000 draws; 40 of 400 held
    assert store.drawn_progress([]) == {}


def test_a_record_replaces_that_of_the_same_step_and_unknown_numbers_stay_unknown(store: Store) -> None:
    run_id = filled(store, 1)
    writer = store.writer(run_id)
    for td_error in (0.5, math.nan):
        given = draws(100, [run_id * CLIPS_PER_RUN])
        writer.add_draws(replace(given, td_error=td_error, sample=(replace(given.sample[0], td_error=td_error),)))
        writer.flush()
    found = store.draws_near(run_id, 100)
    assert found.by_labels is None and math.isnan(found.td_error) and math.isnan(found.sample[0].td_error)


def test_rolling_back_deletes_the_records_of_later_steps(store: Store) -> None:
    run_id = filled(store, 1)
    writer = store.writer(run_id)
    for step in (100, 200, 300):
        writer.add_draws(draws(step, [run_id * CLIPS_PER_RUN]))
    writer.flush()
    store.rollback_run(run_id, 200)
    assert store.draw_steps(run_id) == [100, 200]
    with store._read() as connection:
        assert connection.exec_driver_sql("SELECT DISTINCT step FROM drawn_clips ORDER BY step").scalars().all() == [100, 200]


def test_the_items_of_clips_are_found_by_run_number_and_step(store: Store) -> None:
    first, second = filled(store, 4), filled(store, 3)  # clip n covers steps 32n … 32n + 24
    spans = store.clip_spans([(first, 3), (second, 1)], 0)
    assert [span.clip_id % CLIPS_PER_RUN for span in spans] == [0, 1, 2, 0]
    assert spans[1] == ClipSpan(first * CLIPS_PER_RUN + 1, 32, 8, 4, False, True)
    assert [span.clip_id for span in store.clip_spans([(first, 4)], 57)] == [first * CLIPS_PER_RUN + 2, first * CLIPS_PER_RUN + 3]
    store.rollback_run(first, 64)
    assert len(store.clip_spans([(first, 4)], 0)) == 2, "superseded clips cover nothing"
    assert store.clip_spans([], 0) == []
