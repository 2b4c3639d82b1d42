"""One model for many runs: batches are made across its clients, who take turns.

Each request waits in its client's own queue. A batch takes one clip of each client in turn, of those whose questions and frames
are like the first one's, until it is full or nobody has any. So a client with a thousand clips delays the others by a batch.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from vlmrb.errors import ScorerError, ScorerUnavailableError
from vlmrb.scoring.wire import Asked
from vlmrb.scoring.yes_no import Answer
from vlmrb.types import ClipScore, ClipScorer, Prompt, ScoringRequest

_RECENT_S = 60.0


@dataclass(slots=True)
class _Job:
    """A request and what has been answered of it."""

    client: str
    asked: Asked
    future: Future[list[list[Answer]]]
    next: int = 0  # the first clip that no batch has taken
    answers: dict[int, list[Answer]] = field(default_factory=dict)

    def key(self) -> tuple[Any, ...]:
        """What clips must have in common to be answered in one batch."""
        request = self.asked.requests[self.next]
        return self.asked.questions, request.frames.shape[1:], bool(request.transcript)


@dataclass(frozen=True, slots=True)
class Health:
    """How a shared scorer is doing.

    Attributes:
        clients: that have sent something in the last minute.
        waiting: clips in all queues.
        scored: clips since the start.
        clips_per_second: over the last minute, or since the start if that is shorter.
        clips_per_batch: the mean over the same time; 0 without any.
        busy: share of that time in which the model worked, in [0, 1].
        uptime_s: seconds since the start.
    """

    clients: int
    waiting: int
    scored: int
    clips_per_second: float
    clips_per_batch: float
    busy: float
    uptime_s: float


class SharedBatches:
    """Scores the requests of many clients with one back end, in a thread of its own.

    Args:
        make_scorer: creates the back end; called in that thread, which alone uses it.
        batch_size: maximum number of clips per call of the back end.
        gather_s: how long a batch that is not full waits for more, in seconds.
        max_waiting: clips in all queues beyond which a request is turned away.

    Raises:
        ScorerError: the back end cannot be created.
    """

    def __init__(
        self, make_scorer: Callable[[], ClipScorer], *, batch_size: int = 32, gather_s: float = 0.005, max_waiting: int = 4096
    ) -> None:
        self._batch_size, self._gather_s, self._max_waiting = batch_size, gather_s, max_waiting
        self._queues: OrderedDict[str, deque[_Job]] = OrderedDict()  # the next client's turn comes first
        self._changed = threading.Condition()
        self._waiting = self._scored = 0
        self._closing = False
        self._started = time.monotonic()
        self._recent: deque[tuple[float, int, float]] = deque()  # end, clips and seconds of each batch
        self._seen: dict[str, float] = {}  # when a client has last sent something
        ready: Future[ClipScorer] = Future()
        self._thread = threading.Thread(target=self._serve, args=(make_scorer, ready), name="vlmrb-shared", daemon=True)
        self._thread.start()
        self.scorer = ready.result()

    def submit(self, client: str, asked: Asked) -> Future[list[list[Answer]]]:
        """Queue a request; its result is the answers per clip and question.

        Raises:
            ScorerUnavailableError: too many clips wait, or this is closed.
        """
        with self._changed:
            if self._closing:
                raise ScorerUnavailableError("the shared scorer is ending")
            if self._waiting and self._waiting + len(asked.requests) > self._max_waiting:
                raise ScorerUnavailableError(
                    f"{self._waiting} of at most {self._max_waiting} clips wait already; try again later"
                )
            job = _Job(client, asked, Future())
            self._queues.setdefault(client, deque()).append(job)
            self._waiting += len(asked.requests)
            self._seen[client] = time.monotonic()
            self._changed.notify_all()
        return job.future

    def health(self) -> Health:
        """How it is doing."""
        with self._changed:
            now = time.monotonic()
            span = min(_RECENT_S, max(now - self._started, 1e-9))
            self._forget(now)
            clips, batches = sum(clips for _, clips, _ in self._recent), len(self._recent)
            return Health(
                clients=len(self._seen),
                waiting=self._waiting,
                scored=self._scored,
                clips_per_second=clips / span,
                clips_per_batch=clips / batches if batches else 0.0,
                busy=min(1.0, sum(seconds for _, _, seconds in self._recent) / span),
                uptime_s=now - self._started,
            )

    def close(self) -> None:
        """Turn away what waits, and release the back end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    # -- the thread that uses the back end

    def _serve(self, make_scorer: Callable[[], ClipScorer], ready: Future[ClipScorer]) -> None:
        try:
            scorer = make_scorer()
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            ready.set_exception(error)
            return
        ready.set_result(scorer)
        while (batch := self._next_batch()) is not None:
            started = time.monotonic()
            self._answer(scorer, batch)
            ended = time.monotonic()
            with self._changed:
                self._scored += len(batch)
                self._recent.append((ended, len(batch), ended - started))
                self._forget(ended)
        with self._changed:
            left = [job for queue in self._queues.values() for job in queue]
            self._queues.clear()
        for job in left:
            _fail(job, ScorerUnavailableError("the shared scorer has ended"))
        scorer.close()

    def _next_batch(self) -> list[tuple[_Job, int]] | None:
        """Clips with their numbers in their jobs; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queues or self._closing)
            if self._gather_s and self._waiting < self._batch_size and not self._closing:
                self._changed.wait_for(lambda: self._waiting >= self._batch_size or self._closing, self._gather_s)
            return None if self._closing else self._take_turns()

    def _take_turns(self) -> list[tuple[_Job, int]]:
        first = next(iter(self._queues))
        key, batch = self._queues[first][0].key(), list[tuple[_Job, int]]()
        idle = 0  # clients in a row that have nothing for this batch
        while self._queues and len(batch) < self._batch_size and idle < len(self._queues):
            client, queue = next(iter(self._queues.items()))
            self._queues.move_to_end(client)
            job = queue[0]
            if job.key() != key:
                idle += 1
                continue
            idle = 0
            batch.append((job, job.next))
            job.next += 1
            if job.next == len(job.asked.requests):
                queue.popleft()
                if not queue:
                    del self._queues[client]
        self._waiting -= len(batch)
        return batch

    def _answer(self, scorer: ClipScorer, batch: list[tuple[_Job, int]]) -> None:
        try:
            answers = _ask(scorer, batch)
        except Exception as error:  # noqa: BLE001 - clips of one client may be why, which the others must not feel
            clients = list(dict.fromkeys(job.client for job, _ in batch))
            if len(clients) > 1:
                for client in clients:
                    self._answer(scorer, [each for each in batch if each[0].client == client])
                return
            for job in {id(job): job for job, _ in batch}.values():
                self._drop(job)
                _fail(job, error if isinstance(error, ScorerError) else ScorerError(f"{type(error).__name__}: {error}"))
            return
        for (job, number), given in zip(batch, answers, strict=True):
            job.answers[number] = given
            if len(job.answers) == len(job.asked.requests) and not job.future.done():
                job.future.set_result([job.answers[each] for each in range(len(job.answers))])

    def _drop(self, job: _Job) -> None:
        """Take what is left of a job that has failed out of its queue."""
        with self._changed:
            queue = self._queues.get(job.client)
            if queue is not None and job in queue:
                queue.remove(job)
                self._waiting -= len(job.asked.requests) - job.next
                if not queue:
                    del self._queues[job.client]

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - _RECENT_S:
            self._recent.popleft()
        self._seen = {client: at for client, at in self._seen.items() if at >= now - _RECENT_S or client in self._queues}


def _fail(job: _Job, error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)


def _ask(scorer: ClipScorer, batch: list[tuple[_Job, int]]) -> list[list[Answer]]:
    requests = [_numbered(job.asked.requests[number], place) for place, (job, number) in enumerate(batch)]
    questions = batch[0][0].asked.questions
    scores = scorer.score(requests, _prompt(questions))
    if len(scores) != len(requests):
        raise ScorerError(f"the model gave {len(scores)} scores for {len(requests)} clips")
    return [_answers(score, len(questions)) for score in scores]


def _numbered(request: ScoringRequest, number: int) -> ScoringRequest:
    return replace(request, clip=replace(request.clip, clip_id=number))


def _prompt(questions: Sequence[str]) -> Prompt:
    """A prompt that asks just these."""
    if len(questions) == 1:
        return Prompt("shared", 1, questions[0])
    return Prompt("shared", 1, "\n".join(f"- [1] {' '.join(question.split())}" for question in questions))


def _answers(score: ClipScore, questions: int) -> list[Answer]:
    given = score.answers or (score.probability,)
    logits = score.logits or ((score.yes_logit, score.no_logit),) * len(given)
    if len(given) != questions:
        raise ScorerError(f"the model answered {len(given)} of {questions} questions")
    return [
        Answer(probability, yes, no, score.error if probability is None else "")
        for probability, (yes, no) in zip(given, logits, strict=True)
    ]
