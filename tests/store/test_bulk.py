"""Rows that go to the database in one statement arrive as they would one by one."""

from __future__ import annotations

import numpy as np

from tests.store.samples import clip, draws, filled, new_run, score, voted
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, Clip, Episode, Event

ODD = "\\ \" ' :rows %s {} \n \t é 😀 \u202e"


def test_odd_texts_and_numbers_come_back(store: Store) -> None:
    run_id = new_run(store)
    writer = store.writer(run_id)
    item_ids = np.arange(2**40, 2**40 + 3)
    snapshots = np.arange(3 * 256, dtype=np.uint8).reshape(3, 256)
    clip_id = run_id * CLIPS_PER_RUN
    writer.add_clip(
        Clip(
            clip_id,
            0,
            0,
            item_ids,
            snapshots,
            np.float32([0.1, -1e-30, 3e38]),
            ((1, Event(ODD, ODD, "")),),
            "length",
            mission=ODD,
        )
    )
    writer.add_event(2**40, 1, Event(ODD, "", ODD))
    writer.add_episode(Episode(2**40, 0, 1, 2**62, 5, 1 / 3, None))
    for step, value in ((1, 1e-310), (2, float("nan")), (3, 1.7976931348623157e308), (2**52, 1 / 3)):
        writer.add_metric(ODD, step, value)
    writer.add_draws(draws(7, [clip_id]))
    writer.flush()
    found = store.load_clip(clip_id)
    assert found.mission == ODD and found.events == ((1, Event(ODD, ODD, "")),) and found.item_ids.tolist() == item_ids.tolist()
    assert (found.snapshots == snapshots).all() and found.rewards.tolist() == np.float32([0.1, -1e-30, 3e38]).tolist()
    assert store.events(run_id) == [(2**40, 1, Event(ODD, "", ODD))]
    assert store.episodes(run_id) == [Episode(2**40, 0, 1, 2**62, 5, 1 / 3, None)]
    steps, values = store.metrics(run_id, ODD)
    assert steps.tolist() == [1, 2, 3, 2**52] and str(values.tolist()) == str(
        [1e-310, float("nan"), 1.7976931348623157e308, 1 / 3]
    )
    assert store.draws_near(run_id, 7) == draws(7, [clip_id])


def test_the_last_of_several_rows_with_one_key_wins(store: Store) -> None:
    run_id = filled(store, 1)
    clip_id = run_id * CLIPS_PER_RUN
    writer = store.writer(run_id)
    writer.add_draws(draws(5, [clip_id], by_labels=1))
    writer.add_draws(draws(5, [clip_id], by_labels=2))
    writer.flush()
    writer.add_draws(draws(5, [clip_id], by_labels=3))
    writer.flush()
    assert store.draw_steps(run_id) == [5] and store.draws_near(run_id, 5).by_labels == 3


def test_the_newest_of_several_scores_of_a_clip_counts(store: Store) -> None:
    run_id = new_run(store)
    first = run_id * CLIPS_PER_RUN
    writer = store.writer(run_id)
    for number in (2, 0, 1):
        writer.add_clip(clip(run_id, number))
    for given in (score(first + 1, 0.25), voted(first, (0.25,), (0.75,)), score(first + 1, 0.75), score(first + 2, None)):
        writer.add_score(given)
    writer.flush()
    shown = {found.number: found.score for found in store.clips(run_id)}
    assert [shown[number].probability for number in (0, 1, 2)] == [0.5, 0.75, None]
    assert shown[0].spread == 0.5 and shown[1].spread is None
    assert [each.probability for each in store.scores(first + 1)] == [0.25, 0.75]
    assert [found.number for found in store.clips(run_id, label=True)] == [1, 0]
