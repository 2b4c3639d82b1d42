"""The store returns what was written, and nothing is lost or half-written."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import psutil
import pytest

from tests.store.samples import clip, draws, filled, new_run, score
from vlmrb.errors import ConfigError, NotFoundError, RunBusyError, StoreError
from vlmrb.store import Store
from vlmrb.store.tables import metadata
from vlmrb.types import CLIPS_PER_RUN, ClipReplay, Destination, Episode, Event, RunCounters


def test_metrics_episodes_and_events_come_back(store: Store) -> None:
    run_id = new_run(store)
    writer = store.writer(run_id)
    for step in (10, 20, 30):
        writer.add_metric("eval/success_rate", step, step / 100)
    writer.add_metric("train/td_loss", 10, math.nan)
    writer.add_metric("eval/success_rate", 20, 0.75)  # the last value of a step counts
    episodes = [Episode(5, 0, 0, 2**30 - 1, 6, 0.5, True), Episode(9, 1, 1, 7, 2, 0.0, None)]
    for episode in episodes:
        writer.add_episode(episode)
    events = [(3, 1, Event("picked_up", "key", "red")), (3, 1, Event("success")), (4, 0, Event("died", "lava"))]
    for event in events:
        writer.add_event(*event)
    assert store.episodes(run_id) == []  # nothing before the flush
    writer.flush()
    writer.add_metric("eval/success_rate", 30, 0.5)
    writer.flush()
    steps, values = store.metrics(run_id, "eval/success_rate")
    assert (steps.tolist(), values.tolist()) == ([10, 20, 30], [0.1, 0.75, 0.5])
    assert store.metrics(run_id, "eval/success_rate", since_step=20)[0].tolist() == [30]
    assert math.isnan(store.metrics(run_id, "train/td_loss")[1][0])
    assert store.metric_names(run_id) == ["eval/success_rate", "train/td_loss"]
    assert store.episodes(run_id) == episodes and store.episodes(run_id, since_step=5) == episodes[1:]
    assert store.events(run_id) == events


def test_the_nth_success_of_each_run_is_found_from_a_step_on(store: Store) -> None:
    ids = [new_run(store) for _ in range(3)]
    for run_id, outcomes in zip(ids, [(True, False, True, None, True), (False, None), ()], strict=True):
        writer = store.writer(run_id)
        for number, success in enumerate(outcomes):
            writer.add_episode(Episode(10 * number, 0, number, 0, 10, 0.0, success))
        writer.flush()
    assert store.early_successes(dict.fromkeys(ids, 0), (1, 3)) == dict(
        zip(ids, [(0, 40), (None, None), (None, None)], strict=True)
    )
    assert store.early_successes({ids[0]: 1}, (1, 2, 3)) == {ids[0]: (20, 40, None)}
    assert store.early_successes({}, (1,)) == {}


@pytest.mark.parametrize("frames", [False, True])
def test_a_clip_comes_back_exactly(store: Store, frames: bool) -> None:
    run_id = new_run(store)
    before = clip(run_id, 1, frames=frames)
    writer = store.writer(run_id)
    writer.add_clip(before)
    writer.flush()
    after = store.load_clip(before.clip_id)
    for name in ("item_ids", "snapshots", "rewards"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    for name in ("clip_id", "env_index", "episode", "events", "closed_by"):
        assert getattr(after, name) == getattr(before, name)
    summary = store.clip(before.clip_id)
    assert (summary.start_step, summary.end_step, summary.length, summary.score) == (32, 56, 4, None)


def test_a_clip_has_its_newest_score_and_all_scores_are_kept(store: Store) -> None:
    run_id = filled(store, 3)
    first = run_id * CLIPS_PER_RUN
    prompt = store.save_prompt("custom", "Is it?")
    writer = store.writer(run_id)
    again = score(first, 0.2, scorer="hf:x", prompt_id=prompt.prompt_id)
    writer.add_score(again)
    writer.flush()
    assert store.clip(first).score == again
    assert [s.scorer for s in store.scores(first)] == ["oracle", "hf:x"]
    assert store.scores(first)[0] == score(first, 0.9)
    assert store.clip(first + 2).score.label is None
    assert len(store.scores_of_run(run_id)) == 4
    assert [s.clip_id for s in store.scores_of_run(run_id, scorer="hf:x", prompt_id=prompt.prompt_id)] == [first]


def test_a_set_of_answers_comes_back_with_unknown_ones(store: Store) -> None:
    run_id = filled(store, 2)
    first = run_id * CLIPS_PER_RUN
    several = replace(score(first, 0.75), answers=(0.25, None, 0.75))
    spoilt = replace(score(first + 1, 0.5), answers=(math.nan, 0.5))
    writer = store.writer(run_id)
    for each in (several, spoilt):
        writer.add_score(each)
    writer.flush()
    assert store.scores(first)[-1] == store.clip(first).score == several
    assert several.labels == (False, None, True)
    assert store.clip(first + 1).score.answers == (None, 0.5)


def test_clips_are_listed_by_page_label_event_and_step(store: Store) -> None:
    run_id = filled(store, 12)
    other = filled(store, 2)
    number = lambda **kwargs: [c.number for c in store.clips(run_id, **kwargs)]  # noqa: E731
    assert number() == list(range(11, -1, -1))
    assert number(order="oldest", limit=3) == [0, 1, 2]
    page = store.clips(run_id, limit=5)
    assert number(after=page[-1].clip_id, limit=5) == [6, 5, 4, 3, 2]
    assert number(label=True) == [9, 6, 3, 0] and number(label=False) == [10, 7, 4, 1]
    assert number(event="picked_up key") == number(event="success") == [11, 9, 7, 5, 3, 1]
    assert number(event="picked") == number(event="%") == []
    assert number(min_step=64, max_step=128) == [4, 3, 2]
    assert len(store.clips(limit=100)) == 14 and store.count_clips(other) == 2
    assert store.next_clip_number(run_id) == 12 and store.next_clip_number(99) == 0


def test_rolling_back_deletes_rows_but_keeps_clips_and_requests_changes_again(store: Store) -> None:
    run_id = filled(store, 6)  # clip n covers steps 32n … 32n + 24
    writer = store.writer(run_id)
    for step in (50, 100, 150):
        writer.add_metric("m", step, 1.0)
        writer.add_episode(Episode(step, 0, step, 0, 1, 0.0, False))
        writer.add_event(step, 0, Event("success"))
    writer.flush()
    early, late = (store.request_change(run_id, "lambda", 0.5) for _ in range(2))
    stop = store.request_change(run_id, "stop")
    for change_id, step in ((early, 50), (late, 150), (stop, 150)):
        store.acknowledge_change(change_id, applied_step=step)
    store.rollback_run(run_id, 100)
    assert store.metrics(run_id, "m")[0].tolist() == [50, 100]  # the row written at the checkpoint's own step stays
    assert [e.step for e in store.episodes(run_id)] == [50] and [e[0] for e in store.events(run_id)] == [50]
    assert [c.number for c in store.clips(run_id, order="oldest")] == [0, 1, 2]
    assert len(store.clips(run_id, superseded=True)) == 6 and store.next_clip_number(run_id) == 6
    assert [c.change_id for c in store.live_changes(run_id, status="requested")] == [late]


def test_a_flush_writes_everything_or_nothing_and_can_be_retried(store: Store) -> None:
    run_id = new_run(store)
    writer = store.writer(run_id)
    writer.add_metric("m", 1, 1.0)
    writer.add_score(score(run_id * CLIPS_PER_RUN, 0.9))  # for a clip that does not exist yet
    with pytest.raises(StoreError):
        writer.flush()
    assert store.metric_names(run_id) == []
    writer.add_clip(clip(run_id, 0))
    writer.flush()
    assert store.metric_names(run_id) == ["m"] and store.clip(run_id * CLIPS_PER_RUN).score.label is True


def test_prompts_are_versioned_and_never_change(store: Store) -> None:
    first, same, second = (store.save_prompt("mine", text) for text in ("A?", "A?", "B?"))
    assert first == same and (second.version, second.text) == (2, "B?")
    assert store.find_prompt("mine") == second and store.find_prompt("mine", 1) == first == store.prompt(first.prompt_id)
    assert store.find_prompt("none") is None and store.prompts() == [first, second]
    for text in ("", "  ", "nul\0", "half \ud800"):
        with pytest.raises(ConfigError, match="prompt"):
            store.save_prompt("mine", text)
    nasty = "'; DROP TABLE runs; -- <script>alert(1)</script> 🗝"
    assert store.save_prompt("nasty", nasty).text == nasty


def test_live_changes_keep_their_history(store: Store) -> None:
    run_id = new_run(store)
    ids = [store.request_change(run_id, "lambda", value) for value in (0.5, "none", "schedule")]
    store.acknowledge_change(ids[0], applied_step=40)
    store.acknowledge_change(ids[1], error="no")
    found = store.live_changes(run_id)
    assert [(c.value, c.status, c.applied_step, c.error) for c in found] == [
        (0.5, "applied", 40, ""),
        ("none", "rejected", None, "no"),
        ("schedule", "requested", None, ""),
    ]
    with pytest.raises(NotFoundError, match="99"):
        store.request_change(99, "pause")


@pytest.mark.parametrize(
    ("stored", "counters"),
    [
        ("{}", RunCounters()),
        ('{"clips": 3, "scoring_error": "gone"}', RunCounters(clips=3, scoring_error="gone")),
        ('{"clips": 3, "positive": null, "stale": "many", "colour": "red"}', RunCounters(clips=3)),
    ],
)
def test_known_counters_of_another_version_are_read(store: Store, stored: str, counters: RunCounters) -> None:
    run_id = new_run(store)
    with store._write() as connection:
        connection.exec_driver_sql(f"UPDATE runs SET counters = '{stored}' WHERE run_id = {run_id}")
    assert store.run(run_id).counters == counters


def test_a_run_is_running_only_while_its_process_is_alive(store: Store) -> None:
    run_id = new_run(store)
    assert store.run(run_id).status == "created" and store.run(run_id).name == "DoorKey-8x8 dqn vlm(oracle) s3"
    me = psutil.Process()
    store.claim_run(run_id, me.pid, me.create_time())
    store.heartbeat(run_id, 128, status="paused", steps_per_second=9.5, counters=RunCounters(clips=3))
    run = store.run(run_id)
    assert (run.status, run.step, run.steps_per_second, run.counters) == ("paused", 128, 9.5, RunCounters(clips=3))
    with pytest.raises(RunBusyError, match=str(me.pid)):
        store.claim_run(run_id, 1, psutil.Process(1).create_time())
    with pytest.raises(RunBusyError):
        store.delete_run(run_id)
    store.release_run(run_id, "stopped", "why")
    assert (store.run(run_id).status, store.run(run_id).error) == ("stopped", "why")
    store.claim_run(run_id, 2**22 - 3, 1.0)  # a process that does not exist
    assert store.run(run_id).status == "interrupted" and store.runs(status="interrupted")[0].run_id == run_id
    store.claim_run(run_id, me.pid, me.create_time())
    with store._write() as connection:
        connection.exec_driver_sql("UPDATE runs SET pid_identity = 'of another process with the same id'")
    assert store.run(run_id).status == "interrupted"


def test_a_deleted_run_is_gone_with_everything_about_it(store: Store) -> None:
    keep, run_id = filled(store), filled(store)
    store.rename_run(run_id, "mine")
    assert next(iter(store.runs())).name == "mine"
    store.delete_run(run_id)
    assert [run.run_id for run in store.runs()] == [keep] and store.clips(run_id) == []
    with pytest.raises(NotFoundError, match="vlmrb runs"):
        store.run(run_id)
    assert new_run(store) > run_id  # ids are not reused


def test_people_can_disagree_with_a_label(store: Store) -> None:
    run_id = filled(store)
    store.label_clip(run_id * CLIPS_PER_RUN, False, "no key to be seen")
    assert [(label.agrees, label.note) for label in store.human_labels(run_id * CLIPS_PER_RUN)] == [(False, "no key to be seen")]
    with pytest.raises(NotFoundError):
        store.label_clip(5, True)


def test_every_page_follows_the_previous_one_while_clips_are_added(store: Store) -> None:
    run_id = filled(store, 20)
    seen: list[int] = []
    writer = store.writer(run_id)
    while page := store.clips(run_id, limit=7, after=seen[-1] if seen else None):
        seen += [found.clip_id for found in page]
        writer.add_clip(clip(run_id, 20 + len(seen)))
        writer.flush()
    assert seen == [run_id * CLIPS_PER_RUN + number for number in range(19, -1, -1)]
    assert store.clips(run_id, limit=0) == store.clips(run_id, limit=-1) == []


def test_unscored_clips_are_listed(store: Store) -> None:
    run_id = filled(store, 3)
    writer = store.writer(run_id)
    for number in (3, 4, 5):
        writer.add_clip(clip(run_id, number))
    writer.flush()
    first = run_id * CLIPS_PER_RUN
    assert store.unscored_clips(run_id) == [first + 3, first + 4, first + 5]
    store.rollback_run(run_id, 5 * 32)  # clip 5 is after it
    assert store.unscored_clips(run_id) == [first + 3, first + 4]
    writer.add_score(score(first + 3, None))  # 'unknown' is an answer
    writer.flush()
    assert store.unscored_clips(run_id) == [first + 4]


def test_the_last_of_several_scores_in_one_flush_is_the_newest(store: Store) -> None:
    run_id = filled(store, 2)
    first = run_id * CLIPS_PER_RUN
    writer = store.writer(run_id)
    for probability in (0.3, 0.8, 0.6):
        writer.add_score(score(first + 1, probability))
        writer.add_score(score(first, 1 - probability))
    writer.flush()
    assert [s.probability for s in store.scores(first + 1)] == [0.1, 0.3, 0.8, 0.6]
    assert store.clip(first + 1).score.probability == 0.6 and store.clip(first).score.probability == 0.4
    assert [found.number for found in store.clips(run_id, label=True)] == [1]


def test_clips_of_any_length_and_number_of_environments_come_back(store: Store) -> None:
    run_id = new_run(store)
    writer = store.writer(run_id)
    wanted = [(1, 8), (2, 1), (32, 1), (5, 1024)]
    for number, (length, stride) in enumerate(wanted):
        writer.add_clip(clip(run_id, number, start=10**12 + number, length=length, stride=stride))
    writer.flush()
    for number, (length, stride) in enumerate(wanted):
        found = store.load_clip(run_id * CLIPS_PER_RUN + number)
        assert found.item_ids.tolist() == [10**12 + number + stride * step for step in range(length)]
        assert store.clip(found.clip_id).end_step == found.end_step
        assert store.clip(found.clip_id).episodic_reward == pytest.approx(float(found.rewards.sum()))


def test_a_live_change_applied_at_the_checkpoints_own_step_is_requested_again(store: Store) -> None:
    run_id = new_run(store)
    before, at = (store.request_change(run_id, "prompt", store.save_prompt("mine", text).prompt_id) for text in ("A?", "B?"))
    store.acknowledge_change(before, applied_step=96)
    store.acknowledge_change(at, applied_step=100)  # the checkpoint at step 100 was written before it was applied
    store.rollback_run(run_id, 100)
    assert [(c.change_id, c.applied_step) for c in store.live_changes(run_id)] == [(before, 96), (at, None)]
    assert [c.change_id for c in store.live_changes(run_id, status="requested")] == [at]


def test_rolling_back_to_the_start_leaves_other_runs_alone(store: Store) -> None:
    run_id, other = filled(store), filled(store)
    for each in (run_id, other):
        writer = store.writer(each)
        writer.add_metric("m", 8, 1.0)
        writer.add_episode(Episode(0, 0, 0, 0, 1, 0.0, False))
        writer.add_event(0, 0, Event("success"))
        writer.flush()
    store.rollback_run(run_id, 0)
    assert store.clips(run_id) == store.episodes(run_id) == store.events(run_id) == store.metric_names(run_id) == []
    assert store.count_clips(run_id) == 0 and store.next_clip_number(run_id) == 6
    assert store.count_clips(other) == 6 and len(store.events(other)) == len(store.episodes(other)) == 1
    writer = store.writer(run_id)  # the same steps again, as in a resumed run
    writer.add_clip(clip(run_id, 6, start=0))
    writer.add_episode(Episode(0, 0, 0, 0, 1, 0.0, False))
    writer.flush()
    assert [found.number for found in store.clips(run_id)] == [6]


def test_events_of_one_step_may_arrive_in_any_order_and_flush(store: Store) -> None:
    run_id = new_run(store)
    writer = store.writer(run_id)
    for step, name in ((5, "a"), (4, "b"), (5, "c")):
        writer.add_event(step, 0, Event(name))
    writer.flush()
    writer.add_event(5, 1, Event("d"))
    writer.flush()
    assert [(step, event.name) for step, _, event in store.events(run_id)] == [(4, "b"), (5, "a"), (5, "c"), (5, "d")]


def test_runs_are_listed_newest_first_by_actual_status_and_limit(store: Store) -> None:
    dead, live, finished, created = (new_run(store, seed=seed) for seed in range(4))
    me = psutil.Process()
    store.claim_run(dead, 2**22 - 3, 1.0)
    store.claim_run(live, me.pid, me.create_time())
    store.claim_run(finished, me.pid, me.create_time())
    store.release_run(finished, "finished", counters=RunCounters(clips=2))
    number = lambda **kwargs: [run.run_id for run in store.runs(**kwargs)]  # noqa: E731
    assert number() == [created, finished, live, dead] and number(limit=2) == [created, finished]
    assert (number(status="interrupted"), number(status="running")) == ([dead], [live])
    assert (number(status="finished"), number(status="created", limit=1)) == ([finished], [created])
    assert number(status="failed") == number(limit=0) == []
    run = store.run(finished)
    assert run.pid is None and run.counters == RunCounters(clips=2) and run.ended_at >= run.started_at >= run.created_at
    store.release_run(live, "interrupted")
    assert number(status="interrupted") == [live, dead]


def test_a_stopped_run_can_be_claimed_again_and_keeps_its_first_start(store: Store) -> None:
    run_id = new_run(store)
    me = psutil.Process()
    store.claim_run(run_id, me.pid, me.create_time())
    started = store.run(run_id).started_at
    store.release_run(run_id, "failed", "the disk was full")
    store.claim_run(run_id, me.pid, me.create_time())
    run = store.run(run_id)
    assert (run.status, run.error, run.ended_at, run.started_at) == ("running", "", None, started)


def test_deleting_a_run_deletes_all_its_rows(store: Store) -> None:
    run_id = filled(store)
    writer = store.writer(run_id)
    writer.add_metric("m", 8, 1.0)
    writer.add_episode(Episode(0, 0, 0, 0, 1, 0.0, False))
    writer.add_event(0, 0, Event("success"))
    writer.flush()
    store.request_change(run_id, "stop")
    clip_id = run_id * CLIPS_PER_RUN
    writer.add_clip_replay(ClipReplay(clip_id, 1, 0.5, 0.5, 0.5, 0.5))
    writer.add_draws(draws(100, [clip_id]))
    writer.flush()
    store.label_clip(clip_id, True)
    trial_id = store.create_trial(scorer="oracle", prompt_id=None, threshold=0.5, options={}, clip_ids=[clip_id])
    store.add_trial_scores(trial_id, [score(clip_id, 0.5)])
    (job_id,) = store.enqueue_jobs("train", [run_id], Destination("far"))
    store.take_jobs({"train": 1}, launcher="far")
    store.job_alive(job_id, log="a line")

    def empty() -> set[str]:
        with store._read() as connection:
            return {name for name in metadata.tables if not connection.exec_driver_sql(f"SELECT 1 FROM {name}").first()}

    assert empty() == {"prompts", "settings"}  # tables that do not belong to runs
    store.delete_run(run_id)
    assert empty() == set(metadata.tables)


def test_a_prompt_saved_twice_at_once_has_one_version(store: Store) -> None:
    with Store(store.url) as other:
        found = [each.save_prompt("mine", text) for text in ("A?", "B?") for each in (store, other)]
    assert [prompt.version for prompt in found] == [1, 1, 2, 2] and len(store.prompts()) == 2


def test_the_check_finds_nothing_wrong_with_a_used_store(store: Store) -> None:
    run_id = filled(store)
    store.rollback_run(run_id, 50)
    store.delete_run(filled(store))
    assert store.check() == []


INVISIBLE = [
    "",
    "  ",
    "\u200b",
    "\u200e\u200f",
    "\u2060\ufeff",
    "\u3164",
    "\u2800",
    "\u00ad",
    "\u034f",
    "\U000e0041",
    "\u115f \u1160",
    "\x07",
]


@pytest.mark.parametrize("name", INVISIBLE)
def test_a_name_has_something_that_can_be_seen(store: Store, name: str) -> None:
    run_id = new_run(store)
    refused = [lambda: store.rename_run(run_id, name), lambda: store.save_prompt(name, "Is it?")]
    refused += [lambda: store.save_prompt("mine", name), lambda: store.rename_run(run_id, name * 200 + "x")] if name else []
    if name.strip():
        refused += [
            lambda: store.tag_run(run_id, [name]),
            lambda: store.change_tags(run_id, add=[name]),
            lambda: store.create_run({}, name=name, render_spec={}, success_rule=""),
            lambda: store.create_run({}, set_name=name, render_spec={}, success_rule=""),
        ]
    for change in refused:
        with pytest.raises(ConfigError, match=r"no visible character|is empty"):
            change()
    assert store.run(run_id).tags == () and len(store.runs()) == 1 and store.prompts() == []


@pytest.mark.parametrize("name", ["λ", "دروازه‌بان", "👩‍🔬", "e\u0301", "-", "名"])
def test_a_name_may_be_in_any_script(store: Store, name: str) -> None:
    run_id = new_run(store)
    store.rename_run(run_id, name)
    assert store.run(run_id).name == name
