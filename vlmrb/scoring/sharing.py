"""One model for many runs: batches are made across its clients, who take turns.

Each request waits in its client's own queue. A batch takes one clip of each client in turn, of those whose questions and frames
are like the first one's, until it is full or nobody has any. A client gets no more of a batch than a quarter, or than the largest
of the others, while others are active: one with a thousand clips delays them by about as many clips as they have themselves.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from vlmrb.errors import ScorerError, ScorerUnavailableError
from vlmrb.scoring.wire import Asked
from vlmrb.scoring.yes_no import Answer
from vlmrb.types import ClipScore, ClipScorer, Prompt, ScoringRequest

_RECENT_S = 60.0
_REMEMBERED_S = 600.0
_MOST_CLIENTS = 1000
_ACTIVE_S = 1.0
_PART = 4

Models = Mapping[str, ClipScorer]
"""Back ends by the kind of pictures that they are for (a run's `render_spec`); '' for all others."""


class Whose(NamedTuple):
    """A client.

    Attributes:
        key: tells it from the others.
        run: number of its run; None if it is none.
        name: of that run; untrusted.
    """

    key: str
    run: int | None = None
    name: str = ""


@dataclass(slots=True)
class _Client:
    whose: Whose
    seen: float  # when it has last sent something
    waiting: int = 0
    answered: int = 0
    refused: int = 0
    given_up: int = 0
    recent: deque[tuple[float, int]] = field(default_factory=deque)  # when how many clips were answered


@dataclass(slots=True, eq=False)
class _Job:
    """A request and what has been answered of it."""

    client: _Client
    asked: Asked
    future: Future[list[list[Answer]]]
    next: int = 0  # the first clip that no batch has taken
    answers: dict[int, list[Answer]] = field(default_factory=dict)

    def key(self) -> tuple[Any, ...]:
        """What clips must have in common to be answered in one batch."""
        request = self.asked.requests[self.next]
        return self.asked.pictures, self.asked.questions, request.frames.shape[1:], bool(request.transcript)


@dataclass(frozen=True, slots=True)
class ClientHealth:
    """How a client is served.

    Attributes:
        run: number of its run; None if it is none.
        name: of that run; untrusted.
        waiting: its clips in the queue.
        answered: its clips that have been answered.
        refused: its clips that were turned away because the queue was full. It tries those again.
        given_up: its clips that it no longer waited for.
        clips_per_second: answered over the last minute.
        quiet_s: seconds since it has last sent something.
    """

    run: int | None
    name: str
    waiting: int
    answered: int
    refused: int
    given_up: int
    clips_per_second: float
    quiet_s: float


@dataclass(frozen=True, slots=True)
class Health:
    """How a shared scorer is doing.

    Attributes:
        waiting: clips in all queues.
        max_waiting: how many may wait.
        scored: clips since the start.
        refused: clips turned away since the start because the queue was full.
        given_up: clips since the start whose client no longer waited for them.
        clips_per_second: over the last minute, or since the start if that is shorter.
        clips_per_batch: the mean over the same time; 0 without any.
        ms_per_batch: milliseconds, likewise.
        batch_size: the maximum.
        busy: share of that time in which the model worked, in [0, 1].
        uptime_s: seconds since the start.
        clients: that have sent something in the last ten minutes, the busiest first.
    """

    waiting: int
    max_waiting: int
    scored: int
    refused: int
    given_up: int
    clips_per_second: float
    clips_per_batch: float
    ms_per_batch: float
    batch_size: int
    busy: float
    uptime_s: float
    clients: tuple[ClientHealth, ...]


class SharedBatches:
    """Scores the requests of many clients with one back end (or one for each kind of pictures), in threads of its own.

    Args:
        make_models: creates the back ends; called in such a thread.
        batch_size: maximum number of clips per call of a back end.
        gather_s: how long a batch that is not full waits for more, in seconds; not if all clients of the last second wait.
        at_once: batches at the same time; more than one only for back ends that several threads may use.
        max_waiting: clips in all queues beyond which a client that has more than its share of them is turned away. So a flood
            fills up its own share, and at most twice as many clips wait.

    Raises:
        ScorerError: a back end cannot be created.
    """

    def __init__(
        self,
        make_models: Callable[[], Models],
        *,
        batch_size: int = 32,
        gather_s: float = 0.02,
        max_waiting: int = 4096,
        at_once: int = 1,
    ) -> None:
        self._batch_size, self._gather_s, self._max_waiting = batch_size, gather_s, max_waiting
        self._queues: OrderedDict[str, deque[_Job]] = OrderedDict()  # the next client's turn comes first
        self._clients: dict[str, _Client] = {}
        self._changed = threading.Condition()
        self._waiting = self._scored = self._refused = self._given_up = 0
        self._closing = False
        self._started = time.monotonic()
        self._recent: deque[tuple[float, int, float]] = deque()  # end, clips and seconds of each batch
        ready: Future[Models] = Future()
        self._threads = [
            threading.Thread(target=self._serve, args=(make_models if first else None, ready), name="vlmrb-shared", daemon=True)
            for first in [True, *[False] * (at_once - 1)]
        ]
        for thread in self._threads:
            thread.start()
        self._models = ready.result()

    def model(self, pictures: str = "") -> ClipScorer:
        """The back end for this kind of pictures."""
        return self._models.get(pictures, self._models[""])

    def submit(self, whose: Whose, asked: Asked) -> Future[list[list[Answer]]]:
        """Queue a request; its result is the answers per clip and question. Whoever gives up cancels it.

        Raises:
            ScorerUnavailableError: too many clips wait, or this is closed.
        """
        with self._changed:
            if self._closing:
                raise ScorerUnavailableError("the shared scorer is ending")
            client, count = self._client(whose), len(asked.requests)
            share = self._max_waiting / len({whose.key, *self._queues})
            if client.waiting and self._waiting + count > self._max_waiting and client.waiting + count > share:
                client.refused += count
                self._refused += count
                raise ScorerUnavailableError(
                    f"{self._waiting} of {self._max_waiting} clips wait already, {client.waiting} of them yours; try again later"
                )
            job = _Job(client, asked, Future())
            self._queues.setdefault(whose.key, deque()).append(job)
            self._waiting += count
            client.waiting += count
            self._changed.notify_all()
        job.future.add_done_callback(lambda future: self._leave(job) if future.cancelled() else None)
        return job.future

    def health(self) -> Health:
        """How it is doing."""
        with self._changed:
            now = time.monotonic()
            span = min(_RECENT_S, max(now - self._started, 1e-9))
            self._forget(now)
            clips, batches = sum(clips for _, clips, _ in self._recent), len(self._recent)
            seconds = sum(seconds for _, _, seconds in self._recent)
            clients = [_health_of(client, now, span) for client in self._clients.values()]
            return Health(
                waiting=self._waiting,
                max_waiting=self._max_waiting,
                scored=self._scored,
                refused=self._refused,
                given_up=self._given_up,
                clips_per_second=clips / span,
                clips_per_batch=clips / batches if batches else 0.0,
                ms_per_batch=1000 * seconds / batches if batches else 0.0,
                batch_size=self._batch_size,
                busy=min(1.0, seconds / span),
                uptime_s=now - self._started,
                clients=tuple(sorted(clients, key=lambda client: -client.clips_per_second)),
            )

    def close(self) -> None:
        """Turn away what waits, and release the back ends."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for scorer in self._models.values():
            scorer.close()

    def _client(self, whose: Whose) -> _Client:
        now = time.monotonic()
        if whose.key not in self._clients and len(self._clients) >= _MOST_CLIENTS:
            idle = [key for key in self._clients if key not in self._queues]
            for key in sorted(idle, key=lambda key: self._clients[key].seen)[: len(idle) // 2]:
                del self._clients[key]
        client = self._clients.setdefault(whose.key, _Client(whose, now))
        client.seen = now
        return client

    # -- the thread that uses the back ends

    def _serve(self, make_models: Callable[[], Models] | None, ready: Future[Models]) -> None:
        try:
            if make_models is not None:
                ready.set_result(make_models())
            models = ready.result()
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            if make_models is not None:
                ready.set_exception(error)
            return
        while (batch := self._next_batch()) is not None:
            started = time.monotonic()
            self._answer(models.get(batch[0][0].asked.pictures, models[""]), batch)
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

    def _next_batch(self) -> list[tuple[_Job, int]] | None:
        """Clips with their numbers in their jobs; None at the end."""
        with self._changed:
            while not self._closing:
                self._changed.wait_for(lambda: self._queues or self._closing)
                if self._gather_s:
                    self._changed.wait_for(self._is_gathered, self._gather_s)
                if self._queues and not self._closing:  # what was there may have been given up
                    return self._take_turns()
            return None

    def _is_gathered(self) -> bool:
        """Whether there is nothing to wait for: the batch is full, or whoever has sent something lately waits already."""
        active = self._active()
        if self._closing or all(key in self._queues for key in active):
            return True
        return sum(min(self._clients[key].waiting, self._batch_size // _PART) for key in self._queues) >= self._batch_size

    def _active(self) -> list[str]:
        since = time.monotonic() - _ACTIVE_S
        return [key for key, client in self._clients.items() if client.seen >= since or key in self._queues]

    def _take_turns(self) -> list[tuple[_Job, int]]:
        first = next(iter(self._queues))
        key, batch = self._queues[first][0].key(), list[tuple[_Job, int]]()
        taken: Counter[str] = Counter()
        most, second = (*sorted((self._clients[key].waiting for key in self._queues), reverse=True), 0)[:2]
        least = self._batch_size if len(self._active()) == 1 else max(1, self._batch_size // _PART)
        idle = 0  # clients in a row that have nothing for this batch
        while self._queues and len(batch) < self._batch_size and idle < len(self._queues):
            client, queue = next(iter(self._queues.items()))
            self._queues.move_to_end(client)
            job = queue[0]
            if job.key() != key or taken[client] >= max(least, second if job.client.waiting + taken[client] > second else most):
                idle += 1
                continue
            idle = 0
            taken[client] += 1
            batch.append((job, job.next))
            job.next += 1
            job.client.waiting -= 1
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
            clients = list(dict.fromkeys(job.client.whose.key for job, _ in batch))
            if len(clients) > 1:
                for client in clients:
                    self._answer(scorer, [each for each in batch if each[0].client.whose.key == client])
                return
            for job in {id(job): job for job, _ in batch}.values():
                with self._changed:
                    self._drop(job)
                _fail(job, error if isinstance(error, ScorerError) else ScorerError(f"{type(error).__name__}: {error}"))
            return
        now = time.monotonic()
        for (job, number), given in zip(batch, answers, strict=True):
            job.answers[number] = given
            if len(job.answers) == len(job.asked.requests):
                _finish(job)
        with self._changed:
            for job in {id(job): job for job, _ in batch}.values():
                count = sum(each is job for each, _ in batch)
                job.client.answered += count
                job.client.recent.append((now, count))

    def _leave(self, job: _Job) -> None:
        """Nobody waits for this job any more."""
        with self._changed:
            left = len(job.asked.requests) - len(job.answers)
            self._given_up += left
            job.client.given_up += left
            self._drop(job)

    def _drop(self, job: _Job) -> None:
        """Take what is left of a job out of its queue."""
        key = job.client.whose.key
        queue = self._queues.get(key)
        if queue is not None and job in queue:
            queue.remove(job)
            left = len(job.asked.requests) - job.next
            self._waiting -= left
            job.client.waiting -= left
            if not queue:
                del self._queues[key]

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - _RECENT_S:
            self._recent.popleft()
        for key, client in list(self._clients.items()):
            while client.recent and client.recent[0][0] < now - _RECENT_S:
                client.recent.popleft()
            if client.seen < now - _REMEMBERED_S and key not in self._queues:
                del self._clients[key]


def _health_of(client: _Client, now: float, span: float) -> ClientHealth:
    return ClientHealth(
        run=client.whose.run,
        name=client.whose.name,
        waiting=client.waiting,
        answered=client.answered,
        refused=client.refused,
        given_up=client.given_up,
        clips_per_second=sum(count for _, count in client.recent) / span,
        quiet_s=now - client.seen,
    )


def _finish(job: _Job) -> None:
    try:
        job.future.set_result([job.answers[each] for each in range(len(job.answers))])
    except InvalidStateError:  # it has failed, or was given up
        return


def _fail(job: _Job, error: Exception) -> None:
    try:
        job.future.set_exception(error)
    except InvalidStateError:
        return


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
