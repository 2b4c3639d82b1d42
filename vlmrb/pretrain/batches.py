"""Training batches: clips and questions as arrays, made by worker processes, the same for the same seed."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from vlmrb.errors import VlmrbError
from vlmrb.pretrain.model import ANSWER, build_tokenizer
from vlmrb.pretrain.questions import Catalogue, Matter, Question

_ANSWERS = {True: 1, False: 0, None: -1}
_AHEAD = 2  # batches that each worker may have in flight


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """Which batch to make.

    Attributes:
        seed: of the whole training.
        index: number of the batch.
        clips: B.
        frames: F, per clip; a shorter clip repeats its last frame.
        questions: maximum per clip; 0 for none.
        plain: use short questions and, where there are any, small worlds.
    """

    seed: int
    index: int
    clips: int
    frames: int
    questions: int
    plain: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """B clips with N patches in all, each with its questions concatenated (at most K questions, Q tokens).

    Attributes:
        grids: int64 [B, 2], height and width of each clip's grid of patches.
        view: what the eye is shown and what it is taught, by name; the patches of all clips, row by row.
        known: int8 [B, matters], the answer to every matter: 1 yes, 0 no, -1 the frames cannot tell.
        tokens: int64 [B, Q], the questions' tokens, each question ending in ANSWER; padded with 0.
        question_of: int64 [B, Q], the question that a token belongs to; padded with -1.
        offsets: int64 [B, Q], position of a token within its question.
        answer_at: int64 [B, K], position of a question's ANSWER among the tokens.
        answers: int64 [B, K], 1 yes, 0 no; padded with -1.
        matters: int64 [B, K], what a question is about, as index into the catalogue's matters; padded with 0.
    """

    grids: np.ndarray
    view: dict[str, np.ndarray]
    known: np.ndarray
    tokens: np.ndarray
    question_of: np.ndarray
    offsets: np.ndarray
    answer_at: np.ndarray
    answers: np.ndarray
    matters: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """B clips as the eye sees them.

    Attributes:
        grids, view: as in PackedBatch.
        truths: one per clip, for the catalogue's answers.
    """

    grids: np.ndarray
    view: dict[str, np.ndarray]
    truths: Sequence[Any]


class SceneSource(Protocol):
    """Where clips come from; each process that makes batches has its own."""

    def scenes(self, order: BatchOrder) -> Scenes:
        """The clips of this order, the same ones every time."""
        ...


class BatchMaker:
    """Makes batches in this process.

    Args:
        source: of the clips.
        catalogue: of questions about them.
    """

    def __init__(self, source: SceneSource, catalogue: Catalogue) -> None:
        self._source, self._catalogue = source, catalogue
        self._tokenizer = build_tokenizer(catalogue.vocabulary())

    def make(self, order: BatchOrder) -> PackedBatch:
        """The batch of this order, the same one every time."""
        scenes = self._source.scenes(order)
        rng = np.random.default_rng([order.seed, order.index, 1])
        asked: Sequence[Sequence[Question]] = [[]] * len(scenes.truths)
        if order.questions:
            asked = self._catalogue.ask_balanced(scenes.truths, order.questions, rng, plain=order.plain)
        return pack(scenes, asked, self._catalogue, self._tokenizer)


def pack(scenes: Scenes, asked: Sequence[Sequence[Question]], catalogue: Catalogue, tokenizer: Any) -> PackedBatch:
    """Combine clips and the questions about them."""
    known = [[_ANSWERS[catalogue.answer(matter, truth)] for matter in catalogue.matters] for truth in scenes.truths]
    numbers = {matter: number for number, matter in enumerate(catalogue.matters)}
    return PackedBatch(scenes.grids, scenes.view, np.array(known, np.int8), *_pack_questions(asked, numbers, tokenizer))


def _pack_questions(asked: Sequence[Sequence[Question]], numbers: Mapping[Matter, int], tokenizer: Any) -> tuple[np.ndarray, ...]:
    end = tokenizer.convert_tokens_to_ids(ANSWER)
    encoded = [[[*tokenizer.encode(question.text), end] for question in questions] for questions in asked]
    longest = max((sum(map(len, rows)) for rows in encoded), default=0)
    most = max(map(len, encoded), default=0)
    tokens, offsets = np.zeros((2, len(asked), longest), np.int64)
    question_of = np.full((len(asked), longest), -1, np.int64)
    answer_at, answers, matters = np.zeros((3, len(asked), most), np.int64)
    answers -= 1
    for row, questions in enumerate(encoded):
        at = 0
        for number, ids in enumerate(questions):
            stretch = slice(at, at + len(ids))
            tokens[row, stretch], offsets[row, stretch], question_of[row, stretch] = ids, np.arange(len(ids)), number
            at += len(ids)
            answer_at[row, number], answers[row, number] = at - 1, asked[row][number].answer
            matters[row, number] = numbers[asked[row][number].matter]
    return tokens, question_of, offsets, answer_at, answers, matters


class BatchStream:
    """Batches in order, prefetched by worker processes.

    Args:
        next_order: returns the order of the next batch, or None at the end; called a little ahead of use.
        make_maker: makes a BatchMaker; must be picklable.
        workers: number of processes; with 0, each batch is made in this one when it is needed.
    """

    def __init__(self, next_order: Callable[[], BatchOrder | None], make_maker: Callable[[], BatchMaker], workers: int) -> None:
        self._next_order = next_order
        self._maker = make_maker() if workers == 0 else None
        context = multiprocessing.get_context("spawn")
        self._workers: list[tuple[Any, Connection]] = []
        for number in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, make_maker), name=f"vlmrb-worlds-{number}", daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))

    def __enter__(self) -> BatchStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[PackedBatch]:
        """The batches.

        Raises:
            VlmrbError: a worker process failed.
        """
        if self._maker is not None:
            while (order := self._next_order()) is not None:
                yield self._maker.make(order)
            return
        waiting: deque[Connection] = deque()
        given = 0
        order = self._next_order()
        while order is not None or waiting:
            while order is not None and len(waiting) < _AHEAD * len(self._workers):
                connection = self._workers[given % len(self._workers)][1]
                connection.send(order)
                waiting.append(connection)
                given += 1
                order = self._next_order()
            yield _receive(waiting.popleft())

    def close(self) -> None:
        """End the worker processes."""
        for process, connection in self._workers:
            connection.close()
            process.join(timeout=2)
            if process.is_alive():
                process.kill()
                process.join(timeout=5)
        self._workers = []


def _receive(connection: Connection) -> PackedBatch:
    try:
        outcome = connection.recv()
    except (EOFError, OSError) as error:
        raise VlmrbError("a worker process that makes clips died, perhaps out of memory; continue with --resume") from error
    if isinstance(outcome, str):
        raise VlmrbError(f"a worker process that makes clips failed: {outcome}")
    assert isinstance(outcome, PackedBatch)
    return outcome


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that trains; called in workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(connection: Connection, make_maker: Callable[[], BatchMaker]) -> None:
    ignore_interrupts()
    maker = make_maker()
    while True:
        try:
            order = connection.recv()
        except (EOFError, OSError):  # the trainer is gone
            return
        try:
            outcome: PackedBatch | str = maker.make(order)
        except Exception as error:  # noqa: BLE001 - the trainer re-raises it
            outcome = f"{type(error).__name__}: {error}"
        try:
            connection.send(outcome)
        except OSError:
            return
