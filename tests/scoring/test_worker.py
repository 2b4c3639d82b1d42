"""The scoring process: ordered, bounded, restarted after a crash, its failures reported."""

from __future__ import annotations

import contextlib
import logging
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.waiting import has_ended, wait_until
from vlmrb.config import make_config
from vlmrb.envs import make_env, make_renderer
from vlmrb.errors import ScorerDiedError, ScorerError, ScorerSetupError
from vlmrb.scoring import ScorerOptions, ScoringWorker, check_scorer, make_scorer
from vlmrb.scoring import worker as scoring_worker
from vlmrb.scoring.reasons import MAX_KINDS, UnknownAnswers, kind_of, silent_members
from vlmrb.scoring.worker import make_request
from vlmrb.types import Clip, ClipScore, Event, Prompt, Vote

ROOT = Path(__file__).resolve().parents[2]
PROMPT = Prompt("games", 1, "Is the goal reached?", 7)


class PlainRenderer:
    """Frames filled with the snapshot's first byte."""

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
    for number in range(100):  # a call that waited for the scorer would never return
        one.submit(clip(number))
        assert one.drain() == []
    assert one.dropped >= 94
    os.kill(one.pid, signal.SIGCONT)
    kept = [c.clip_id for c, _ in one.drain(wait=True, timeout_s=30)]
    assert kept[-5:] == [95, 96, 97, 98, 99] and len(kept) + one.dropped == 100


def test_a_killed_process_is_restarted_and_loses_no_clip(closing) -> None:
    one = worker(batch_size=2)
    closing(one)
    for number in range(12):
        one.submit(clip(number))
        if number == 3:
            os.kill(one.pid, signal.SIGKILL)
    seen = [c.clip_id for c, _ in one.drain(wait=True, timeout_s=60)]
    assert seen == list(range(12))
    assert one.restarts >= 1


def test_drain_raises_if_the_process_cannot_be_restarted(closing) -> None:
    one = worker("oracle", batch_size=1)
    closing(one)
    one._start_process = lambda: (_ for _ in ()).throw(EOFError())  # it can no longer be started
    os.kill(one.pid, signal.SIGKILL)
    one.submit(clip(1))
    one.submit(clip(2))
    with pytest.raises(ScorerDiedError, match="could not be restarted"):
        one.drain(wait=True, timeout_s=60)
    assert one.pending == [1, 2] and one.dropped == 0
    one.submit(clip(3))
    assert one.pending == [1, 2, 3] and one.drain() == []  # a resumed run has them scored
    one.give_up()
    assert one.pending == [] and one.dropped == 3


def fragile(folder: Path):
    """A back end whose second start ends the process, and whose first batch does."""
    starts = len(list(folder.iterdir()))
    (folder / str(starts)).touch()
    if starts == 1:
        os._exit(7)
    return DiesOnce(fatal=starts == 0)


class DiesOnce:
    frames_per_clip = 0

    def __init__(self, fatal: bool) -> None:
        self._fatal = fatal

    def score(self, requests, prompt):
        if self._fatal:
            os._exit(7)
        return [ClipScore(r.clip.clip_id, 1.0, None, None, 0.5, "fragile", "", "", None) for r in requests]

    def close(self) -> None:
        pass


def test_a_process_that_dies_while_it_is_restarted_is_started_again(closing, tmp_path: Path) -> None:
    one = ScoringWorker(partial(fragile, tmp_path), PlainRenderer, PROMPT)
    closing(one)
    one.submit(clip(1))
    assert [c.clip_id for c, _ in one.drain(wait=True, timeout_s=120)] == [1]
    assert one.restarts == 2


def test_a_process_that_dies_at_its_first_start_is_reported() -> None:
    with pytest.raises(ScorerDiedError, match="did not start: it ended with exit code 7"):
        ScoringWorker(partial(os._exit, 7), PlainRenderer, PROMPT)


def test_a_process_that_does_not_start_in_time_is_ended() -> None:
    before = set(multiprocessing.active_children())
    with pytest.raises(ScorerDiedError, match=r"did not start: it was not ready within 0\.1 s"):
        ScoringWorker(partial(time.sleep, 600), PlainRenderer, PROMPT, start_timeout_s=0.1)
    assert set(multiprocessing.active_children()) <= before


def waits_for_a_pipe(pipe: Path) -> None:
    pipe.read_text()


def test_a_process_that_reads_a_file_without_end_is_ended_at_the_deadline(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = set(multiprocessing.active_children())
    with pytest.raises(ScorerDiedError, match=r"not ready within 0\.1 s and was ended; check that its model's files"):
        ScoringWorker(partial(waits_for_a_pipe, tmp_path / "pipe"), PlainRenderer, PROMPT, start_timeout_s=0.1)
    assert set(multiprocessing.active_children()) <= before


def never_starts() -> None:
    scoring_worker._LAST_SECONDS = 0.1
    print("starting", os.getpid(), flush=True)
    while True:
        time.sleep(60)


def test_a_process_that_never_starts_ends_when_its_trainer_is_killed() -> None:
    command = [sys.executable, "-c", TRAINER, "never_starts", "0"]
    trainer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    scoring = psutil.Process(int(trainer.stdout.readline().split()[1]))
    trainer.kill()
    trainer.communicate(timeout=60)
    try:
        wait_until(lambda: has_ended(scoring), "the scoring process to end")
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            scoring.kill()


@dataclass
class Returns:
    """Answers with these probabilities, by the clips' ids, and not at all about further clips."""

    answers: list[tuple[float | None, ...]]
    frames_per_clip = 0

    def score(self, requests, prompt):
        made = []
        for request in requests:
            if request.clip.clip_id >= len(self.answers):
                continue
            answers = self.answers[request.clip.clip_id]
            known = [answer for answer in answers if answer is not None]
            largest = max(known, default=None)
            made.append(ClipScore(request.clip.clip_id, largest, 1.0, 1.0, 0.5, "own", "", "", None, answers=answers))
        return made

    def close(self) -> None:
        pass


def test_a_probability_that_is_none_is_unknown_and_told_once_per_kind(closing, caplog) -> None:
    returned = [(math.nan,), (1.5,), (-math.inf,), (0.75,), (0.25, math.nan), (None, 0.0)]
    one = ScoringWorker(partial(Returns, returned), PlainRenderer, PROMPT)
    closing(one)
    with caplog.at_level(logging.WARNING):
        for number in range(len(returned)):
            one.submit(clip(number))
        scores = [score for _, score in one.drain(wait=True, timeout_s=30)]
    assert [score.probability for score in scores] == [None, None, None, 0.75, 0.25, 0.0]
    assert [score.label for score in scores] == [None, None, None, True, False, False]
    assert scores[4].answers == (0.25, None)
    assert [bool(score.error) for score in scores] == [True, True, True, False, True, False]
    [told] = caplog.messages
    assert told.startswith("clip 0: the scorer's P(yes) is nan, which is not between 0 and 1")
    assert one.unknown.reason == "the scorer's P(yes) is nan, which is not between 0 and 1"


def test_a_back_end_that_loses_a_clip_is_told_so(closing) -> None:
    one = ScoringWorker(partial(Returns, []), PlainRenderer, PROMPT)
    closing(one)
    one.submit(clip(0))
    with pytest.raises(ScorerError, match=r"returned 0 scores for 1 clips; it must return one per clip"):
        one.drain(wait=True, timeout_s=30)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("status 400: no room", "status 400: too odd", True),
        ("status 400: no room", "question 2 has no usable answer: status 413: what?", True),
        ("the first token is 'The' (0.6): ask", "the first token is 'A' (0.55): ask", True),
        ("the reply contains no logprobs; it must", "the reply is not a JSON object: <html>", False),
        ("log-probabilities are not numbers ≤ 0: nan for 'Yes'", "log-probabilities are none: they add up to 2", False),
    ],
)
def test_reasons_are_of_one_kind_if_only_numbers_and_quotations_differ(one: str, other: str, same: bool) -> None:
    assert (kind_of(one) == kind_of(other)) == same


def test_a_server_that_makes_up_new_reasons_is_told_of_only_so_often() -> None:
    unknown = UnknownAnswers()
    made_up = [ClipScore(1, None, None, None, 0.5, "own", "", "", None, error=f"reason {'x' * number}") for number in range(100)]
    assert sum(bool(unknown.add(score)) for score in made_up) == MAX_KINDS


def test_a_scorer_that_cannot_be_created_fails_at_once_with_its_own_message() -> None:
    with pytest.raises(ScorerSetupError, match="no-such-folder"):
        worker("hf:/no-such-folder/model")


class ThreadReporter:
    """Takes two frames, and answers with the number of threads that networks get."""

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
    monkeypatch.setattr(
        "vlmrb.scoring.worker._PROCESSES", multiprocessing.get_context("spawn")
    )  # torch has counted its threads in the server
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


class PromptReporter:
    """Answers with the prompt that it was given."""

    frames_per_clip = 0

    def score(self, requests, prompt):
        return [ClipScore(r.clip.clip_id, 1.0, None, None, 0.5, "reporter", "", "", prompt.prompt_id) for r in requests]

    def close(self) -> None:
        pass


def test_a_new_prompt_applies_to_clips_submitted_later(closing) -> None:
    one = ScoringWorker(PromptReporter, PlainRenderer, PROMPT)
    closing(one)
    os.kill(one.pid, signal.SIGSTOP)  # so that clips with both prompts are queued at the same time
    for number in range(2):
        one.submit(clip(number))
    one.set_prompt(replace(PROMPT, prompt_id=8))
    for number in range(2, 4):
        one.submit(clip(number))
    os.kill(one.pid, signal.SIGCONT)
    assert [score.prompt_id for _, score in one.drain(wait=True, timeout_s=30)] == [7, 7, 8, 8]


class HeldUpUntilTheTrainerDies:
    """Reports that it got a batch, and keeps it as long as the trainer is alive."""

    frames_per_clip = 0

    def score(self, requests, prompt):
        os.write(1, b"scoring\n")  # in one piece: the trainer writes to the same pipe
        multiprocessing.parent_process().join()
        return [ClipScore(r.clip.clip_id, 1.0, None, None, 0.5, "late", "", "", None) for r in requests]

    def close(self) -> None:
        pass


TRAINER = """
import os, sys
from tests.scoring import test_worker as tests
from vlmrb.scoring import ScoringWorker

backend, clips = getattr(tests, sys.argv[1]), int(sys.argv[2])
one = ScoringWorker(backend, tests.PlainRenderer, tests.PROMPT)
for number in range(clips):
    one.submit(tests.clip(number))
os.write(1, f"{one.pid}\\n".encode())
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("backend", "clips"), [("PromptReporter", 0), ("HeldUpUntilTheTrainerDies", 1)], ids=["idle", "amid a batch"]
)
def test_the_process_ends_when_its_trainer_is_killed(backend: str, clips: int) -> None:
    command = [sys.executable, "-c", TRAINER, backend, str(clips)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    trainer = subprocess.Popen(command, cwd=ROOT, **pipes)
    scoring = None
    try:
        said = sorted(trainer.stdout.readline().strip() for _ in range(1 + clips))
        scoring = psutil.Process(int(said[0]))
        assert said[1:] == ["scoring"] * clips and not has_ended(scoring)
        trainer.kill()
        wait_until(lambda: has_ended(scoring), "the scoring process to end", timeout_s=60)
    finally:
        trainer.kill()
        with contextlib.suppress(psutil.NoSuchProcess):
            if scoring is not None:
                scoring.kill()
        _, errors = trainer.communicate(timeout=60)
    assert trainer.returncode == -signal.SIGKILL
    assert errors == ""


def test_closing_ends_the_process() -> None:
    one = worker()
    pid = one.pid
    one.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("length", "frames", "expected"), [(32, 8, (0, 4, 9, 13, 18, 22, 27, 31)), (3, 8, (0, 1, 2)), (5, 1, (4,)), (7, 0, ())]
)
def test_frames_are_evenly_spaced_and_include_the_last(length: int, frames: int, expected: tuple) -> None:
    request = make_request(clip(1, length=length), PlainRenderer(), frames)
    assert request.frame_indices == expected and len(request.frames) == len(expected)


def test_control_scorers_label_by_events_rewards_and_chance() -> None:
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
def test_an_unknown_scorer_is_refused_with_the_allowed_ones(scorer: str) -> None:
    with pytest.raises(ScorerError, match=r"hf:|random:|takes nothing|openai:"):
        check_scorer(scorer)


def test_votes_come_through_the_process_and_each_member_has_as_long_as_a_scorer_alone(closing, caplog) -> None:
    one = worker("vote:reward|random:0|oracle")
    closing(one)
    for number in range(6):
        one.submit(clip(number, reward=float(number % 3 == 0)))
    scores = [score for _, score in one.drain(wait=True, timeout_s=30)]
    assert [[vote.answers[0] for vote in score.votes] for score in scores] == [[float(n % 3 == 0), 0.0, 0.0] for n in range(6)]
    assert all(score.latency_s > 0 and score.label is False for score in scores)
    assert one._parts == 3 and one.silence == "" and not caplog.messages


def test_members_that_do_not_answer_are_named_until_they_do() -> None:
    def score(*votes: Vote) -> ClipScore:
        return ClipScore(1, 1.0, None, None, 0.5, "vote:a|b", "vote:a|b", "", None, votes=votes)

    silent, heard = Vote("b", (None, None), 0.0, "it is down"), Vote("b", (None, 0.5), 0.0, "cannot tell")
    assert silent_members([score(Vote("a", (1.0, 1.0)), silent)] * 2) == (
        "b does not answer (it is down); the other members' answers are used without it"
    )
    assert silent_members([score(silent), score(heard), score(silent)]) == "" == silent_members([score()])
