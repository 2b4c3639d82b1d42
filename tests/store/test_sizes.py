"""Sizes of runs and surplus clips, in both databases."""

from __future__ import annotations

from tests.store.samples import draws, filled, new_run
from vlmrb.retention import Retention
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN


def test_the_size_of_a_run_counts_its_rows_and_no_others(store: Store) -> None:
    run_id, other = filled(store, 6), filled(store, 3)
    writer = store.writer(run_id)
    writer.add_draws(draws(10, [run_id * CLIPS_PER_RUN]))
    for step in range(5):
        writer.add_metric("loss", step, 0.5)
    writer.flush()
    store.label_clip(run_id * CLIPS_PER_RUN, True, "clearly")
    sizes = store.table_sizes(run_id)
    expected = {"clips": 6, "clip_data": 6, "scores": 6, "metrics": 5, "draws": 1, "drawn_clips": 1, "human_labels": 1}
    assert {name: size.rows for name, size in sizes.items()} == expected
    assert sizes["clip_data"].bytes > 6 * 100  # 20 random bytes a step, and 4 rewards
    assert store.table_sizes(other)["clips"].rows == 3 and store.table_sizes(new_run(store)) == {}


def test_surplus_clips_are_found_and_deleted_with_their_scores(store: Store) -> None:
    run_id = filled(store, 9)
    surplus = store.surplus_clips(run_id, Retention("yes"), [(0, 40)], [run_id], awaits_scores=False)
    numbers = [clip_id % CLIPS_PER_RUN for clip_id in surplus.clip_ids]
    assert numbers == [2, 4, 5, 7, 8] and surplus.needed == {"needed to resume or branch": 1}  # number 1 begins at step 32
    before = sum(size.bytes for size in store.table_sizes(run_id).values())
    assert store.delete_clips(surplus.clip_ids[:2]) == 2 and store.delete_clips(surplus.clip_ids) == 3
    assert before - sum(size.bytes for size in store.table_sizes(run_id).values()) == surplus.bytes
    assert store.check() == [] and [clip.number for clip in store.clips(run_id)] == [6, 3, 1, 0]
    assert len(store.scores_of_run(run_id)) == 4


def test_the_last_id_counts_runs_that_are_gone(store: Store) -> None:
    before = store.last_run_id()
    runs = [new_run(store) for _ in range(3)]
    store.delete_run(runs[-1])
    assert before == 0 and store.last_run_id() == runs[-1]
