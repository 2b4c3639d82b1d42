"""Browsing clips: every filter and order finds exactly the right clips, and reads no more than it must."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event as sqlalchemy_event

from tests.store.samples import clip, filled, new_run, score, voted
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipFilter, ClipReplay, ClipSummary, Event

ORDERS = ("newest", "oldest", "score_high", "score_low", "disagreement", "spread")


def numbers(store: Store, order: str = "oldest", **fields: object) -> list[int]:
    return [found.number for found in store.find_clips(ClipFilter(**fields), order)]


def graded(store: Store, probabilities: list[float | None]) -> int:
    """A run with one clip per probability; every odd one shows progress."""
    run_id = new_run(store)
    writer = store.writer(run_id)
    for number, probability in enumerate(probabilities):
        writer.add_clip(clip(run_id, number))
        writer.add_score(score(run_id * CLIPS_PER_RUN + number, probability))
    writer.flush()
    return run_id


def test_label_filters_distinguish_unknown_from_unscored(store: Store) -> None:
    run_id = graded(store, [0.9, 0.1, None])
    writer = store.writer(run_id)
    writer.add_clip(clip(run_id, 3))
    writer.flush()
    assert [numbers(store, label=label) for label in ("yes", "no", "unknown", "unscored", None)] == [
        [0],
        [1],
        [2],
        [3],
        [0, 1, 2, 3],
    ]


def test_ranges_of_steps_and_probabilities_include_both_ends(store: Store) -> None:
    first, second, third = (graded(store, [0.2, 0.5, 0.8]) for _ in range(3))
    assert numbers(store, run_ids=(first,), min_step=32, max_step=64) == [1, 2]  # clip n starts at 32 n
    assert numbers(store, run_ids=(first,), min_probability=0.2, max_probability=0.5) == [0, 1]
    found = store.find_clips(ClipFilter(run_ids=(third, first)), "newest")
    assert [summary.run_id for summary in found] == [third] * 3 + [first] * 3
    assert store.count_clips_found(ClipFilter()) == 9 and store.count_clips_found(ClipFilter(run_ids=(second, 99))) == 3


def test_agreement_compares_the_label_with_the_simulator(store: Store) -> None:
    graded(store, [0.9, 0.9, 0.1, 0.1, None])  # clips 1 and 3 show progress
    assert numbers(store, agreement="agrees") == [1, 2] and numbers(store, agreement="disagrees") == [0, 3]
    assert [summary.progress for summary in store.find_clips(ClipFilter(), "oldest")] == [False, True, False, True, False]


def test_orders_put_the_extremes_first_and_clips_without_a_probability_last(store: Store) -> None:
    graded(store, [0.3, 0.9, None, 0.6, 0.3])  # disagreement: 0.3, 0.1, –, 0.4, 0.3
    assert numbers(store, "score_high") == [1, 3, 4, 0, 2]
    assert numbers(store, "score_low") == [4, 0, 3, 1, 2]
    assert numbers(store, "disagreement") == [3, 4, 0, 1, 2]
    assert numbers(store, "newest") == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("order", ORDERS)
def test_pages_together_contain_each_clip_once(store: Store, order: str) -> None:
    graded(store, [0.5] * 7 + [None] * 4)
    pages = [store.find_clips(ClipFilter(), order, limit=4, offset=offset) for offset in range(0, 16, 4)]
    assert [len(page) for page in pages] == [4, 4, 3, 0]
    assert sorted(found.number for page in pages for found in page) == list(range(11))


def near(store: Store, run_id: int, step: int, limit: int) -> list[ClipSummary]:
    return store.clips_near({run_id: step}, limit)[run_id]


def test_the_clips_nearest_to_a_step_come_in_the_order_of_their_steps(store: Store) -> None:
    run_id, other = filled(store, 10), filled(store, 10)  # a clip begins every 32 steps
    starts = [clip.start_step for clip in near(store, run_id, 100, 3)]
    assert starts == [64, 96, 128]
    assert {clip.run_id for clip in near(store, other, 100, 99)} == {other} and len(near(store, other, 100, 99)) == 10
    both = store.clips_near({run_id: 100, other: 40}, 3)
    assert both == {run_id: near(store, run_id, 100, 3), other: near(store, other, 40, 3)}
    assert [clip.start_step for clip in near(store, run_id, 10**9, 2)] == [256, 288]
    store.rollback_run(run_id, 200)  # later clips are superseded
    assert max(clip.start_step for clip in near(store, run_id, 10**9, 2)) < 200
    assert near(store, 99, 0, 5) == near(store, run_id, 0, 0) == [] and store.clips_near({}, 5) == {}


def test_events_are_found_by_name_and_by_object_and_listed_for_a_menu(store: Store) -> None:
    run_id, other = filled(store, 4), new_run(store)
    assert numbers(store, event="picked_up key") == numbers(store, event="success") == [1, 3]
    assert numbers(store, event="key") == numbers(store, event="picked") == []
    assert store.event_names_of((run_id,)) == store.event_names_of() == ["picked_up", "picked_up key", "success"]
    assert store.event_names_of((other,)) == []


def test_a_clip_with_very_many_events_is_stored_and_found_by_the_first_ones(store: Store) -> None:
    run_id = new_run(store)
    before = clip(run_id, 0, length=64)
    events = tuple((at, Event(f"event_{at:02}", "🗝" * 50)) for at in range(64))
    writer = store.writer(run_id)
    writer.add_clip(
        Clip(before.clip_id, 0, 0, before.item_ids, before.snapshots, before.rewards, events, "length")  # too long for an index
    )
    writer.flush()
    assert store.clip(before.clip_id).events == events and numbers(store, event="event_00") == [0]


def test_the_newest_score_moves_a_clip_from_one_filter_to_another(store: Store) -> None:
    run_id = graded(store, [0.9, 0.9])
    games, milestones = (store.save_prompt(name, f"{name}?").prompt_id for name in ("games", "milestones"))
    writer = store.writer(run_id)
    writer.add_score(score(run_id * CLIPS_PER_RUN, 0.2, prompt_id=games))
    writer.add_score(score(run_id * CLIPS_PER_RUN + 1, 0.2, prompt_id=games))
    writer.add_score(score(run_id * CLIPS_PER_RUN + 1, 0.3, prompt_id=milestones))
    writer.flush()
    assert (
        numbers(store, label="yes") == []
        and numbers(store, prompt_id=games) == [0]
        and numbers(store, prompt_id=milestones) == [1]
    )
    assert numbers(store, "disagreement") == [1, 0] and numbers(store, agreement="agrees") == [0]
    assert [prompt.name for prompt in store.prompts_used()] == ["games", "milestones"]
    assert store.prompts_used((run_id + 1,)) == []


def test_a_persons_verdict_is_stored_as_the_right_label(store: Store) -> None:
    run_id = graded(store, [0.9, 0.9, 0.9, None])
    first = run_id * CLIPS_PER_RUN
    store.label_clip(first, True)
    store.label_clip(first + 1, True)
    store.label_clip(first + 1, False, "no key to be seen")  # the newest verdict counts
    assert numbers(store, human="agreed") == [0] and numbers(store, human="disagreed") == [1]
    assert numbers(store, human="any") == [0, 1] and numbers(store, human="none") == [2, 3]
    assert [store.clip(first + at).human_agrees for at in range(3)] == [True, False, None]
    writer = store.writer(run_id)
    writer.add_score(score(first, 0.1, scorer="again"))
    writer.add_score(score(first + 1, 0.1, scorer="again"))
    writer.flush()  # both labels are no now: the person who said 'yes is right' no longer agrees, the other one does
    assert numbers(store, human="agreed") == [1] and numbers(store, human="disagreed") == [0]
    assert [store.clip(first + at).human_label for at in range(2)] == [True, False]


def test_a_verdict_is_about_the_label_that_the_person_saw(store: Store) -> None:
    run_id = graded(store, [0.1, None])
    store.label_clip(run_id * CLIPS_PER_RUN, True, label=True)  # it was rescored while they looked
    assert store.clip(run_id * CLIPS_PER_RUN).human_label is True and numbers(store, human="disagreed") == [0]
    with pytest.raises(ConfigError, match="no label yet"):
        store.label_clip(run_id * CLIPS_PER_RUN + 1, True)
    assert store.human_labels(run_id * CLIPS_PER_RUN + 1) == []


def test_superseded_clips_are_shown_only_on_request(store: Store) -> None:
    run_id = graded(store, [0.9] * 4)
    store.rollback_run(run_id, 64)
    assert numbers(store) == [0, 1] and numbers(store, superseded=True) == [0, 1, 2, 3]
    assert store.newest_clip_id(ClipFilter()) == run_id * CLIPS_PER_RUN + 1
    assert store.newest_clip_id(ClipFilter(event="nothing")) is None


@pytest.mark.parametrize(
    "fields", [{"label": "maybe"}, {"agreement": "x"}, {"human": "' OR 1=1 --"}], ids=["label", "agreement", "human"]
)
def test_an_unknown_choice_is_refused_in_words(store: Store, fields: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"allowed: '"):
        store.find_clips(ClipFilter(**fields))
    with pytest.raises(ConfigError, match=r"order: got 'random'; allowed: 'newest', 'oldest'"):
        store.find_clips(ClipFilter(), "random")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"run_ids": (1,)},
        {"run_ids": (1, 2, 5)},
        {"label": "yes"},
        {"event": "opened"},
        {"human": "any"},
        {"min_spread": 0.3},
        {"superseded": True},
    ],
)
def test_filters_and_orders_read_only_the_index(tmp_path: Path, fields: dict[str, object], order: str) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        filled(store)
        asked: list[tuple[str, object]] = []
        sqlalchemy_event.listen(
            store._reading,
            "before_cursor_execute",
            lambda *call: asked.append((call[2], call[3])) if "clips" in call[2] else None,
        )
        store.find_clips(ClipFilter(**fields), order)
        store.count_clips_found(ClipFilter(**fields))
        with store._read() as connection:
            plans = [
                [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
                for statement, parameters in list(asked)
            ]
    assert len(plans) == 2
    for plan in plans:
        reads = [line for line in plan if "clips" in line and "rowid=?" not in line]  # rows of the page are looked up by id
        assert reads and all("USING COVERING INDEX ix_clips_browse" in line for line in reads), plan


def test_clips_are_found_by_how_far_apart_their_voters_are(store: Store) -> None:
    run_id = new_run(store)
    writer = store.writer(run_id)
    votes = [
        [(0.1,), (0.9,)],  # 0.8 apart
        [(0.4, 0.6), (0.5, 0.9)],  # 0.3, to the question whose answer stands for the clip
        [(0.2,), (0.2,), (None,)],  # 0
        [(0.7,), (None,)],  # one voter is not apart from anybody
        [(None,), (None,)],
    ]
    for number, answers in enumerate(votes):
        writer.add_clip(clip(run_id, number))
        writer.add_score(voted(run_id * CLIPS_PER_RUN + number, *answers))
    writer.add_clip(clip(run_id, 5))
    writer.add_score(score(run_id * CLIPS_PER_RUN + 5, 0.5))  # a scorer alone
    writer.flush()
    assert numbers(store, "spread") == [0, 1, 2, 5, 4, 3]
    assert [numbers(store, min_spread=least) for least in (0.0, 0.25, 0.5)] == [[0, 1, 2], [0, 1], [0]]
    assert [found.number for found in store.clips(run_id, min_spread=0.25)] == [1, 0]
    by_number = store.find_clips(ClipFilter(), "oldest")
    assert [found.score.spread for found in by_number] == pytest.approx([0.8, 0.3, 0.0, None, None, None])
    writer.add_score(score(run_id * CLIPS_PER_RUN, 0.5))  # the newest score counts
    writer.flush()
    assert numbers(store, min_spread=0.0) == [1, 2]


def test_clips_are_found_by_how_near_they_are_to_their_threshold(store: Store) -> None:
    run_id, other = new_run(store), new_run(store)
    for run in (run_id, other):
        writer = store.writer(run)
        for number, (p, threshold) in enumerate([(0.1, 0.5), (0.45, 0.5), (0.9, 0.95), (None, 0.5), (0.5, 0.9)]):
            writer.add_clip(clip(run, number))
            writer.add_score(replace(score(run * CLIPS_PER_RUN + number, p), threshold=threshold))
        writer.add_clip(clip(run, 5))  # without a score
        writer.flush()
    mine = ClipFilter(run_ids=(run_id,))

    def order(wanted: ClipFilter, **page: int) -> list[int]:
        return [found.number for found in store.find_clips(wanted, "threshold", **page)]

    assert order(mine) == [2, 1, 4, 0, 5, 3]  # 0.05 (the newer first), 0.05, 0.4, 0.4; then those without P(yes)
    assert [order(mine, limit=2, offset=at) for at in (0, 2, 3, 4, 6)] == [[2, 1], [4, 0], [0, 5], [5, 3], []]
    assert order(ClipFilter(), limit=4) == [2, 2, 1, 1] and order(ClipFilter(label="unknown")) == [3, 3]
    writer = store.writer(run_id)
    writer.add_score(score(run_id * CLIPS_PER_RUN, 0.51))  # the newest score counts
    writer.flush()
    assert order(mine)[0] == 0 and len(order(mine)) == 6


def test_a_sample_is_balanced_spread_and_repeatable(store: Store) -> None:
    first, second = filled(store, 40), filled(store, 40)
    runs = (first, second)
    chosen = store.sample_clips(runs, 16, seed=3)
    assert chosen == sorted(set(chosen)) == store.sample_clips(runs, 16, seed=3) != store.sample_clips(runs, 16, seed=4)
    assert len(chosen) == 16 and sum(store.clip(clip_id).progress for clip_id in chosen) == 8
    assert sum(clip_id // CLIPS_PER_RUN == first for clip_id in chosen) == 8
    assert sum(clip_id % CLIPS_PER_RUN < 20 for clip_id in chosen) == 8  # the first half of each run's steps
    assert len(store.sample_clips((first,), 100)) == 40 and store.sample_clips((99,), 5) == []
    with pytest.raises(ConfigError, match="1 or more"):
        store.sample_clips((first,), 0)


def test_a_sample_takes_all_progress_clips_if_there_are_few(store: Store) -> None:
    run_id = new_run(store)
    writer = store.writer(run_id)
    for number in [*range(0, 20, 2), 1]:
        writer.add_clip(clip(run_id, number))
    writer.flush()
    chosen = store.sample_clips((run_id,), 6)
    assert len(chosen) == 6 and run_id * CLIPS_PER_RUN + 1 in chosen


def test_a_clips_replay_record_comes_back_and_the_last_one_wins(store: Store) -> None:
    run_id = graded(store, [0.9])
    clip_id = run_id * CLIPS_PER_RUN
    assert store.clip_replay(clip_id) is None
    writer = store.writer(run_id)
    for td_error in (0.5, 0.25):
        writer.add_clip_replay(ClipReplay(clip_id, 640, td_error, None, 0.0, 0.125))
    writer.flush()
    writer.add_clip_replay(ClipReplay(clip_id, 960, np.float32(0.75), 0.5, np.float64(0.25), 0.0625))
    writer.flush()
    assert store.clip_replay(clip_id) == ClipReplay(clip_id, 960, 0.75, 0.5, 0.25, 0.0625)
    writer.add_clip_replay(ClipReplay(clip_id, 961, math.nan, 0.5, 0.25, 0.0625))
    writer.flush()  # learning has diverged, but the run can still write
    assert math.isnan(store.clip_replay(clip_id).td_error) and store.td_errors_and_scores() == []


def test_td_errors_are_returned_for_evenly_spread_clips_with_a_label(store: Store) -> None:
    run_id, other = graded(store, [0.9, None, *[0.25] * 18]), graded(store, [0.5])
    writer = store.writer(run_id)
    for number in range(20):
        writer.add_clip_replay(ClipReplay(run_id * CLIPS_PER_RUN + number, 640, number / 4, 0.5, 0.25, 0.5))
    writer.flush()
    every = store.td_errors_and_scores((run_id, other), 100)
    assert len(every) == 19 and every[0] == (run_id * CLIPS_PER_RUN, run_id, 0.0, 0.9, True, False)
    some = [found.clip_id % CLIPS_PER_RUN for found in store.td_errors_and_scores((run_id,), 5)]
    assert len(some) == 5 and set(np.diff(some)) <= {3, 4}
    assert store.td_errors_and_scores((other,)) == [] and store.td_errors_and_scores((run_id,), 0) == []


def test_deleting_a_run_deletes_everything_about_its_clips(store: Store) -> None:
    keep, run_id = graded(store, [0.9]), graded(store, [0.9])
    for each in (keep, run_id):
        writer = store.writer(each)
        writer.add_clip_replay(ClipReplay(each * CLIPS_PER_RUN, 1, 0.5, 0.5, 0.5, 0.5))
        writer.flush()
        store.label_clip(each * CLIPS_PER_RUN, True)
    store.delete_run(run_id)
    assert [found.run_id for found in store.find_clips(ClipFilter())] == [keep]
    with store._read() as connection:
        for table in ("clips", "clip_data", "clip_replay", "scores", "human_labels"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 1
    with pytest.raises(NotFoundError):
        store.label_clip(run_id * CLIPS_PER_RUN, True)
