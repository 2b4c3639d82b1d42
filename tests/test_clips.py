"""Clips: every step belongs to exactly one clip, and no clip spans two episodes."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmrb.clips import ClipRecorder
from vlmrb.types import CLIPS_PER_RUN, Clip, Event


def record(recorder: ClipRecorder, endings: list[list[int]], first_item: int = 0) -> list[Clip]:
    """Feed steps; endings[t][e] is 0 (continues), 1 (terminated) or 2 (truncated)."""
    clips = []
    for t, row in enumerate(endings):
        n_envs = len(row)
        item_ids = first_item + t * n_envs + np.arange(n_envs)
        snapshots = [np.array([item % 256, index], np.uint8) for index, item in enumerate(item_ids)]
        events = [(Event("opened", "door"),) if item % 5 == 0 else () for item in item_ids]
        ended = np.array(row)
        clips += recorder.add(item_ids, snapshots, item_ids.astype(np.float32), events, ended == 1, ended == 2)
    return clips


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 40), st.randoms(use_true_random=False))
def test_clips_cover_every_step_of_every_environment_exactly_once(n_envs: int, clip_length: int, steps: int, random) -> None:
    endings = [[random.choice([0, 0, 0, 0, 1, 2]) for _ in range(n_envs)] for _ in range(steps)]
    recorder = ClipRecorder(n_envs, clip_length, run_id=3)
    clips = record(recorder, endings) + recorder.close_open()
    covered = np.concatenate([clip.item_ids for clip in clips])
    assert sorted(covered) == list(range(n_envs * steps))
    assert len({clip.clip_id for clip in clips}) == len(clips)
    for clip in clips:
        assert clip.clip_id // CLIPS_PER_RUN == 3
        assert 1 <= len(clip) <= clip_length
        assert set(clip.item_ids % n_envs) == {clip.env_index}
        ends = [endings[item // n_envs][clip.env_index] for item in clip.item_ids]
        assert not any(ends[:-1])  # an episode's end is the last step of its clip
        assert (clip.closed_by == "terminated") == (ends[-1] == 1)
        np.testing.assert_array_equal(clip.snapshots[:, 0], clip.item_ids % 256)
        np.testing.assert_array_equal(clip.rewards, clip.item_ids)
        assert [clip.item_ids[at] % 5 for at, _ in clip.events] == [0] * sum(clip.item_ids % 5 == 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.data(), st.integers(1, 40), st.randoms(use_true_random=False))
def test_overlapping_clips_begin_a_stride_apart_and_share_what_they_say(n_envs: int, length: int, data, steps, random) -> None:
    stride = data.draw(st.integers(1, length))
    endings = [[random.choice([0, 0, 0, 0, 0, 1, 2]) for _ in range(n_envs)] for _ in range(steps)]
    recorder = ClipRecorder(n_envs, length, run_id=3, stride=stride)
    clips = record(recorder, endings[: steps // 2])
    resumed = ClipRecorder(n_envs, length, run_id=3, stride=stride)
    resumed.load_state_dict(recorder.state_dict())
    clips += record(resumed, endings[steps // 2 :], steps // 2 * n_envs) + resumed.close_open()
    fresh = np.concatenate([clip.item_ids[clip.overlap :] for clip in clips])
    assert sorted(fresh) == list(range(n_envs * steps))  # what a clip adds to the one before: every step once
    by_episode: dict[tuple[int, int], list[Clip]] = {}
    for clip in clips:
        by_episode.setdefault((clip.env_index, clip.episode), []).append(clip)
        np.testing.assert_array_equal(clip.snapshots[:, 0], clip.item_ids % 256)
        assert [clip.item_ids[at] % 5 for at, _ in clip.events] == [0] * sum(clip.item_ids % 5 == 0)
    for of_episode in by_episode.values():
        for one, other in pairwise(of_episode):
            assert len(one) == length and one.closed_by == "length"
            assert other.start_step - one.start_step == stride * n_envs
            assert other.overlap == len(set(one.item_ids) & set(other.item_ids)) == length - stride


def test_a_full_clip_and_its_successor_belong_to_the_same_episode() -> None:
    recorder = ClipRecorder(1, 4, run_id=1)
    clips = record(recorder, [[0]] * 6 + [[1]] + [[0]] * 4)
    assert [(len(clip), clip.episode, clip.closed_by) for clip in clips] == [
        (4, 0, "length"),
        (3, 0, "terminated"),
        (4, 1, "length"),
    ]


def test_open_clips_survive_a_round_trip_through_a_checkpoint() -> None:
    before = ClipRecorder(2, 8, run_id=1, first_number=5)
    record(before, [[0, 0]] * 3)
    state = before.state_dict()
    arrays = {key: value for key, value in state.items() if key.startswith("snapshots")}
    rest = json.loads(json.dumps({key: value for key, value in state.items() if key not in arrays}))
    after = ClipRecorder(2, 8, run_id=1, first_number=9)
    after.load_state_dict({**rest, **arrays})
    for ours, theirs in zip(after.close_open(), before.close_open(), strict=True):
        np.testing.assert_array_equal(ours.item_ids, theirs.item_ids)
        np.testing.assert_array_equal(ours.snapshots, theirs.snapshots)
        assert ours.events == theirs.events and ours.closed_by == "interrupted"
    assert after.next_number == 11  # numbering continues from the highest number ever used
