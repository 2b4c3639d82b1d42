"""The scoring process: clips in, scores out, and the learner never waits.

The learner's side keeps queued clips in a bounded queue, and a thread sends them to the process in batches; `submit` and
`drain` only touch that queue. The process renders snapshots to frames and calls the back end. If the process dies, it is
restarted and its batch is sent again; if that does not help, scoring has failed and `drain` raises. The clips left then keep
their places in `pending`, so that a resumed run can have them scored.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from vlmrb import errors
from vlmrb.errors import ScorerDiedError, ScorerError
from vlmrb.scoring.reasons import UnknownAnswers, checked, silent_members
from vlmrb.scoring.transcripts import spell_out
from vlmrb.types import (
    Clip,
    ClipScore,
    ClipScorer,
    FrameRenderer,
    LaysSquares,
    LooksAhead,
    OtherMissions,
    Prompt,
    ScoringRequest,
    TextRenderer,
)

STARTS = 4
"""Tries per batch, each in a new process after the last one died, before scoring fails."""

START_TIMEOUT_S = 1_800.0
"""Seconds that a scoring process has to load its model."""

_PROCESSES = multiprocessing.get_context("spawn")

_LAST_SECONDS = 10.0
"""How long a scoring process may take to end after its trainer has died."""


class ScoringWorker:
    """Scores clips in a separate process.

    Args:
        make_backend: creates the back end; picklable, called in the process.
        make_renderer: creates the renderer of the clips' snapshots; picklable, called in the process.
        prompt: the question; `set_prompt` changes it for clips submitted later.
        batch_size: maximum number of clips per call of the back end.
        queue_size: maximum number of queued clips; beyond it the oldest is dropped and counted.
        hang_timeout_s: a process that takes longer for a batch is considered dead; each member of a vote or cascade has as long.
        start_timeout_s: the same for creating the back end, which may load or download a large model.

    Raises:
        ScorerError: the back end cannot be created; as reported by the process, or because it took too long.
    """

    def __init__(
        self,
        make_backend: Callable[[], ClipScorer],
        make_renderer: Callable[[], FrameRenderer],
        prompt: Prompt,
        *,
        batch_size: int = 8,
        queue_size: int = 256,
        hang_timeout_s: float = 600.0,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._recipe = (make_backend, make_renderer)
        self._prompt = prompt  # with other missions, if any
        self._batch_size, self._queue_size = batch_size, queue_size
        self._hang_timeout_s, self._start_timeout_s = hang_timeout_s, start_timeout_s
        self._parts = 1  # of the back end: members that are asked one after another
        self._waiting: deque[tuple[Clip, Prompt]] = deque()
        self._in_flight: list[tuple[Clip, Prompt]] = []
        self._unscored: list[int] = []  # ids of the clips that scoring, once it had failed for good, left
        self._answers: deque[tuple[Clip, ClipScore]] = deque()
        self._changed = threading.Condition()
        self._failure: ScorerError | None = None
        self._closing = False
        self.unknown = UnknownAnswers()
        self._silences = UnknownAnswers()  # of members
        self.silence = ""
        """Which members of a vote or cascade did not answer last time, and why; or ''."""
        self.dropped = 0
        self.restarts = 0
        try:
            self._start_process()
        except _NO_ANSWER as error:
            reason = self._why(error)
            self._end_process()
            raise ScorerDiedError(f"the scoring process did not start: {reason}") from None
        self._thread = threading.Thread(target=self._serve, name="vlmrb-scoring", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Number of clips submitted but not yet scored; after a failure, those that are left."""
        return len(self._waiting) + len(self._in_flight) + len(self._unscored)

    @property
    def pid(self) -> int | None:
        """Process id of the scoring process."""
        return self._process.pid

    @property
    def pending(self) -> list[int]:
        """Ids of the submitted clips whose score has not been drained, oldest first."""
        with self._changed:
            entries = [clip for clip, _ in self._answers] + [clip for clip, _ in [*self._in_flight, *self._waiting]]
            return [clip.clip_id for clip in entries] + self._unscored

    def give_up(self) -> None:
        """Count the clips that a failure left unscored as dropped: the run has finished, and nobody will score them."""
        with self._changed:
            self.dropped += len(self._unscored)
            self._unscored.clear()

    def set_prompt(self, prompt: Prompt) -> None:
        """Use this prompt for clips submitted from now on."""
        self._prompt = prompt

    def submit(self, clip: Clip, others: OtherMissions | None = None) -> None:
        """Queue a clip without waiting; clips that follow each other with the same other missions may become one batch."""
        if self._prompt.others != others:
            self._prompt = replace(self._prompt, others=others)
        with self._changed:
            if self._failure is not None:
                self._unscored.append(clip.clip_id)
                return
            if len(self._waiting) >= self._queue_size:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append((clip, self._prompt))
            self._changed.notify_all()

    def drain(self, wait: bool = False, timeout_s: float | None = None) -> list[tuple[Clip, ClipScore]]:
        """Scores received since the last call, in the order of submission.

        Args:
            wait: wait until all submitted clips are scored (synchronous scoring).
            timeout_s: maximum time to wait.

        Raises:
            ScorerError: scoring has failed for good; raised once, later calls return what is left.
        """
        if not wait and not self._answers and self._failure is None:
            return []
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self.backlog == 0 or self._failure is not None, timeout_s)
            answers = list(self._answers)
            self._answers.clear()
            if self._failure is not None and not answers and not self._closing:
                self._closing = True
                raise self._failure
        return answers

    def close(self) -> None:
        """End the process; clips still queued are dropped."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            self._changed.notify_all()
        self._end_process()
        self._thread.join(timeout=5)

    # -- the thread that talks to the process

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                self._in_flight = self._take_batch()
            try:
                scores = self._ask_until_answered(self._in_flight)
            except ScorerError as error:
                self._fail(error)
                return
            self.unknown.warn(scores)
            self._silences.warn([replace(s, error=f"{v.member}: {v.error}") for s in scores for v in s.votes if v.error])
            self.silence = silent_members(scores)
            with self._changed:
                self._answers.extend(zip([clip for clip, _ in self._in_flight], scores, strict=True))
                self._in_flight = []
                self._changed.notify_all()

    def _take_batch(self) -> list[tuple[Clip, Prompt]]:
        prompt = self._waiting[0][1]
        batch: list[tuple[Clip, Prompt]] = []
        while self._waiting and len(batch) < self._batch_size and self._waiting[0][1] is prompt:
            batch.append(self._waiting.popleft())
        return batch

    def _fail(self, error: ScorerError) -> None:
        with self._changed:
            self._failure = error
            self._unscored += [clip.clip_id for clip, _ in [*self._in_flight, *self._waiting]]
            self._waiting.clear()
            self._in_flight = []
            self._changed.notify_all()

    def _ask_until_answered(self, batch: list[tuple[Clip, Prompt]]) -> list[ClipScore]:
        reason = ""
        for start in range(STARTS):
            if self._closing:
                break
            try:
                if start:
                    self.restarts += 1
                    self._end_process()
                    self._start_process()
                return self._ask([clip for clip, _ in batch], batch[0][1])
            except _NO_ANSWER as error:
                reason = self._why(error)
            time.sleep(0.1 * 2**start)
        raise ScorerDiedError(f"the scoring process could not be restarted ({STARTS} tries): {reason}")

    def _ask(self, clips: list[Clip], prompt: Prompt) -> list[ClipScore]:
        self._connection.send((clips, prompt))
        patience_s = self._hang_timeout_s * self._parts
        if not self._connection.poll(patience_s):
            raise TimeoutError(f"no answer within {patience_s:g} s")
        return _unwrap(self._connection.recv())

    def _start_process(self) -> None:
        self._connection, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_run, args=(theirs, *self._recipe), name="vlmrb-scoring", daemon=True)
        self._process.start()
        theirs.close()
        if not self._connection.poll(self._start_timeout_s):
            raise TimeoutError(
                f"it was not ready within {self._start_timeout_s:g} s and was ended; check that its model's files and chat "
                "template can be read to the end, or download a large model beforehand"
            )
        self._parts = _unwrap(self._connection.recv())  # or an error

    def _why(self, error: BaseException) -> str:
        """Why the process did not answer."""
        if isinstance(error, EOFError):
            self._process.join(timeout=5)
        code = self._process.exitcode
        return f"it ended with exit code {code}" if code is not None else str(error) or type(error).__name__

    def _end_process(self) -> None:
        self._connection.close()
        self._process.join(timeout=1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(timeout=5)


_NO_ANSWER = (EOFError, OSError)  # TimeoutError is an OSError


def _unwrap(message: tuple[str, Any]) -> Any:
    kind, value = message
    if kind == "error":
        name, text = value
        error_class = getattr(errors, name, ScorerError)
        raise (error_class if issubclass(error_class, ScorerError) else ScorerError)(text)
    return value


# -- in the scoring process


def _run(connection: Connection, make_backend: Callable[[], ClipScorer], make_renderer: Callable[[], FrameRenderer]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer handles Ctrl-C
    threading.Thread(target=_end_with_the_trainer, name="vlmrb-orphan", daemon=True).start()
    leave_the_learner_a_core()
    try:
        backend, renderer = make_backend(), make_renderer()
    except Exception as error:  # noqa: BLE001  (the trainer raises it again)
        connection.send(("error", (type(error).__name__, str(error))))
        return
    connection.send(("ready", getattr(backend, "parts", 1)))
    while True:
        try:
            clips, prompt = connection.recv()
        except (EOFError, OSError):  # the trainer is gone or has closed the connection
            backend.close()
            return
        try:
            message: tuple[str, Any] = ("scores", _score(backend, renderer, clips, prompt))
        except Exception as error:  # noqa: BLE001  (the trainer raises it again)
            message = (
                "error",
                (type(error).__name__, f"{type(error).__name__}: {error}" if not isinstance(error, ScorerError) else str(error)),
            )
        try:
            connection.send(message)
        except OSError:
            return


def _end_with_the_trainer() -> None:
    """End this process after the trainer's death, even if something that never ends (a template) keeps it from noticing."""
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        trainer.join()
        time.sleep(_LAST_SECONDS)
        os._exit(1)


def leave_the_learner_a_core() -> None:
    """Limit the threads of the networks and of Mesa's software renderer, unless the user has set their number.

    The renderer's count excludes the calling thread, which does the drawing if there are no others.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    spare = max(1, cores - 1)
    os.environ.setdefault("OMP_NUM_THREADS", str(spare))
    os.environ.setdefault("LP_NUM_THREADS", str(spare - 1))


def _score(backend: ClipScorer, renderer: FrameRenderer, clips: list[Clip], prompt: Prompt) -> list[ClipScore]:
    started = time.perf_counter()
    samplings = getattr(backend, "samplings", (backend.frames_per_clip,))
    mosaics = bool(getattr(backend, "reads_mosaics", False))
    requests = [make_request(clip, renderer, *samplings, mosaics=mosaics) for clip in clips]
    if prompt.others is not None and isinstance(renderer, LooksAhead):
        requests = [replace(request, ahead=renderer.ahead(request.clip.snapshots[-1])) for request in requests]
    scores = _answer(backend, requests, prompt)
    latency_s = (time.perf_counter() - started) / len(clips)
    return [replace(score, latency_s=latency_s) for score in scores]


def _answer(backend: ClipScorer, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
    """Ask about all clips at once, or, if the prompt has a placeholder, about those of one mission at a time."""
    if not prompt.needs_mission:
        return [_apart(score, prompt) for score in checked(backend.score(requests, prompt), len(requests), prompt)]
    by_mission: dict[str, list[int]] = {}
    for index, request in enumerate(requests):
        by_mission.setdefault(request.clip.mission, []).append(index)
    found: dict[int, ClipScore] = {}
    for mission, indices in by_mission.items():
        asked = prompt.filled(mission)
        scores = checked(backend.score([requests[index] for index in indices], asked), len(indices), asked)
        for index, each in zip(indices, scores, strict=True):
            score = _apart(each, prompt)
            found[index] = score if score.prompt_id is None else replace(score, asked=asked.text)  # control scorers read none
    return [found[index] for index in range(len(requests))]


def _apart(score: ClipScore, prompt: Prompt) -> ClipScore:
    """The score of the prompt's own questions, with the answers about other missions as a score of their own."""
    if prompt.others is None:
        return score
    count = len(prompt.others.missions)
    own, others = score.answers[:-count], score.answers[-count:]
    logits = score.logits[-count:]
    alone = logits[0] if len(logits) == 1 else (None, None)
    missing = others.count(None)
    aside = ClipScore(
        score.clip_id,
        max((answer for answer in others if answer is not None), default=None),
        *alone,
        score.threshold,
        score.scorer,
        score.model,
        score.revision,
        prompt.others.question.prompt_id,
        score.frame_indices,
        error=f"{missing} of {count} questions about other missions have no usable answer" if missing else "",
        answers=others,
        asked="\n".join(f"- {question}" for question in prompt.others.questions),
        logits=logits if count > 1 else (),
        votes=tuple(replace(vote, answers=vote.answers[-count:]) for vote in score.votes),
    )
    return replace(
        score,
        answers=own,
        logits=score.logits[:-count] if len(own) > 1 else (),
        votes=tuple(replace(vote, answers=vote.answers[:-count]) for vote in score.votes),
        others=aside,
    )


def make_request(clip: Clip, renderer: FrameRenderer, *frames_per_clip: int, mosaics: bool = False) -> ScoringRequest:
    """Render evenly spaced frames of the clip (`frames_at`); of several numbers, the frames of each, and each frame once.

    Of text, it writes as many steps as the largest number. With `mosaics`, frames come as such if the renderer can.
    """
    if isinstance(renderer, TextRenderer) and (most := min(max(frames_per_clip), len(clip))):
        transcript, steps = spell_out(renderer.texts(clip.snapshots), most)
        return ScoringRequest(clip, np.zeros((0, 0, 0, 3), np.uint8), steps, transcript)
    indices = sorted({at for frames in frames_per_clip for at in frames_at(len(clip), frames)})
    if not indices:
        return ScoringRequest(clip, np.zeros((0, 0, 0, 3), np.uint8), ())
    draw = renderer.mosaic if mosaics and isinstance(renderer, LaysSquares) else renderer.render
    return ScoringRequest(clip, draw(clip.snapshots[indices]), tuple(indices))


def frames_at(length: int, frames: int) -> tuple[int, ...]:
    """Which of a clip's frames a scorer of so many sees: evenly spaced, always including the last one."""
    count = min(frames, length)
    return tuple(int(at) for at in np.unique(np.linspace(length - 1, 0, count).round().astype(int)))
