"""The scoring process: in order, bounded, restarted after a death, heard when it fails."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vlmrb.config import make_config
from vlmrb.envs import make_env, make_renderer
from vlmrb.errors import ScorerDiedError, ScorerError, ScorerSetupError
from vlmrb.scoring import ScorerOptions, ScoringWorker, check_scorer, make_scorer
from vlmrb.scoring.worker import make_request
from vlmrb.types import Clip, ClipScore, Event, Prompt

PROMPT = Prompt("games", 1, "Is the goal reached?", 7)


class PlainRenderer:
    """Frames that hold the snapshot's first byte."""

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        return np.broadcast_to(snapshots[:, :1, None, None], (len(snapshots), 4, 4, 3)).astype(np.uint8)


def clip(number: int, *, length: int = 3, events: tuple = (), reward: float = 0.0) -> Clip:
    snapshots = np.full((length, 2), number % 256, np.uint8)
    return Clip(number, 0, 0, np.arange(length), snapshots, np.full(length, reward, np.float32), events, "length")


def worker(scorer: str = "reward", **settings) -> ScoringWorker:
    return ScoringWorker(partial(make_scorer, scorer, ScorerOptions()), PlainRenderer, PROMPT, **settings)


@pytest.fixture
def closing():
    open_workers = []
    yield open_workers.append
    for one in open_workers:
        one.close()


def test_scores_come_back_with_their_clips_in_order(closing) -> None:
    one = worker(batch_size=4)
    closing(one)
    for number in range(25):
        one.submit(clip(number, reward=float(number % 3 == 0)))
    answers = one.drain(wait=True, timeout_s=30)
    assert [c.clip_id for c, _ in answers] == [score.clip_id for _, score in answers] == list(range(25))
    assert [score.label for _, score in answers] == [number % 3 == 0 for number in range(25)]
    assert all(score.latency_s > 0 for _, score in answers)
    assert one.backlog == 0 and one.dropped == 0


def test_submit_and_drain_never_wait_and_the_oldest_clips_are_dropped(closing) -> None:
    one = worker(queue_size=5, batch_size=1)
    closing(one)
    os.kill(one.pid, signal.SIGSTOP)  # a scorer that cannot keep up
    began = time.perf_counter()
    for number in range(100):
        one.submit(clip(number))
        assert one.drain() == []
    assert time.perf_counter() - began < 1.0
    assert one.dropped >= 94
    os.kill(one.pid, signal.SIGCONT)
    kept = [c.clip_id for c, _ in one.drain(wait=True, timeout_s=30)]
    assert kept[-5:] == [95, 96, 97, 98, 99] and len(kept) + one.dropped == 100


def test_a_killed_process_is_started_again_and_loses_no_clip(closing) -> None:
    one = worker(batch_size=2)
    closing(one)
    for number in range(12):
        one.submit(clip(number))
        if number == 3:
            os.kill(one.pid, signal.SIGKILL)
    seen = [c.clip_id for c, _ in one.drain(wait=True, timeout_s=60)]
    assert seen == list(range(12))
    assert one.restarts >= 1


def test_a_process_that_cannot_be_brought_back_is_scorings_failure_and_drain_says_so(closing) -> None:
    one = worker("oracle", batch_size=1)
    closing(one)
    one._start_process = lambda: (_ for _ in ()).throw(EOFError())  # it can no longer be started
    os.kill(one.pid, signal.SIGKILL)
    one.submit(clip(1))
    one.submit(clip(2))
    with pytest.raises(ScorerDiedError, match="after 4 starts"):
        one.drain(wait=True, timeout_s=60)
    assert one.dropped == 2
    one.submit(clip(3))
    assert one.dropped == 3 and one.drain() == []


def test_a_scorer_that_cannot_be_made_fails_at_once_with_its_own_words() -> None:
    with pytest.raises(ScorerSetupError, match="no-such-folder"):
        worker("hf:/no-such-folder/model")


class ThreadReporter:
    """Looks at two frames, and answers how many threads the networks get."""

    frames_per_clip = 2

    def score(self, requests, prompt):
        import torch

        assert all(request.frames.any() for request in requests)
        threads = str(torch.get_num_threads())
        return [ClipScore(r.clip.clip_id, 1.0, None, None, 0.5, "reporter", threads, "", None) for r in requests]

    def close(self) -> None:
        pass


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads have no names to be counted by")
def test_networks_and_software_renderer_leave_the_learner_a_core(closing, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("LP_NUM_THREADS", raising=False)
    env = make_env(make_config(env="cube-single-singletask-task1-v0"))
    env.reset(0)
    snapshots = np.stack([env.snapshot()] * 3)
    one = ScoringWorker(ThreadReporter, partial(make_renderer, env.render_spec), PROMPT)
    env.close()
    closing(one)
    one.submit(replace(clip(0), snapshots=snapshots))
    [(_, score)] = one.drain(wait=True, timeout_s=60)
    cores = len(os.sched_getaffinity(0))
    assert int(score.model) == max(1, cores - 1)
    names = [path.read_text().strip() for path in Path(f"/proc/{one.pid}/task").glob("*/comm")]
    assert sum(name.startswith("llvmpipe") for name in names) <= max(0, cores - 2)


def test_a_new_prompt_is_for_clips_submitted_later(closing) -> None:
    one = worker()
    closing(one)
    os.kill(one.pid, signal.SIGSTOP)
    one.submit(clip(0))
    other = replace(PROMPT, prompt_id=8)
    one.set_prompt(other)
    one.submit(clip(1))
    time.sleep(0.2)
    assert [prompt.prompt_id for _, prompt in [*one._in_flight, *one._waiting]] == [7, 8]
    os.kill(one.pid, signal.SIGCONT)
    assert len(one.drain(wait=True, timeout_s=30)) == 2


def test_the_process_ends_with_its_trainer() -> None:
    one = worker()
    pid = one.pid
    one.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("length", "frames", "expected"), [(32, 8, (0, 4, 9, 13, 18, 22, 27, 31)), (3, 8, (0, 1, 2)), (5, 1, (4,)), (7, 0, ())]
)
def test_frames_are_evenly_spaced_and_hold_the_last(length: int, frames: int, expected: tuple) -> None:
    request = make_request(clip(1, length=length), PlainRenderer(), frames)
    assert request.frame_indices == expected and len(request.frames) == len(expected)


def test_controls_label_by_events_rewards_and_chance() -> None:
    key, drop = (
        clip(1, events=((1, Event("picked_up", "key", "red")),)),
        clip(2, events=((0, Event("dropped", "key")),), reward=0.5),
    )

    def ask(scorer: str, clips: list[Clip]) -> list[bool | None]:
        requests = [make_request(c, PlainRenderer(), 0) for c in clips]
        return [score.label for score in make_scorer(scorer, ScorerOptions()).score(requests, PROMPT)]

    assert ask("oracle", [key, drop]) == [True, False]
    assert ask("reward", [key, drop]) == [False, True]
    labels = ask("random:0.25", [clip(number) for number in range(2000)])
    assert labels == ask("random:0.25", [clip(number) for number in range(2000)])
    assert sum(labels) / 2000 == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    "scorer", ["", "gpt", "random:2", "random:x", "hf:", "openai:localhost#m", "openai:http://a/v1", "oracle:1", "embedded:2"]
)
def test_a_scorer_string_that_names_nothing_is_refused_with_what_would_do(scorer: str) -> None:
    with pytest.raises(ScorerError, match=r"hf:|random:|takes nothing|openai:"):
        check_scorer(scorer)
