"""Batches to train on: scenes and questions as arrays, made by worker processes, always the same for the same seed."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from vlmrb.errors import VlmrbError
from vlmrb.pretrain.model import ANSWER, build_tokenizer
from vlmrb.pretrain.questions import Question, all_matters, answer, ask_balanced, vocabulary
from vlmrb.pretrain.worlds import Scene, SceneMaker

_MATTERS, _ANSWERS = all_matters(), {True: 1, False: 0, None: -1}
_NUMBER = {matter: number for number, matter in enumerate(_MATTERS)}
_AHEAD = 2  # batches that each worker may be ahead


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """Which batch to make.

    Attributes:
        seed: of the whole training.
        index: number of the batch.
        clips: B.
        frames: F of each clip; where a clip has fewer, its last one is repeated.
        questions: of each clip at most; 0 for none.
        plain: questions are one short sentence each, and worlds are small.
    """

    seed: int
    index: int
    clips: int
    frames: int
    questions: int
    plain: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """B clips of F frames with N cells in all, each with its questions one behind the other (Q tokens, K questions at most).

    Attributes:
        grids: int64 [B, 2], height and width of each clip's grid.
        tiles: int64 [N, F], key of the tile that a cell shows in each frame; the cells of all clips, row by row.
        before, after: uint8 [N], index into CONTENTS of a cell in the first and in the last frame.
        agents: bool [N, F], whether the agent is there.
        happened: bool [N, len(HAPPENINGS)], what happened to a cell.
        known: int8 [B, len(all_matters())], the answer to everything that can be asked: 1 yes, 0 no, -1 nobody can tell.
        tokens: int64 [B, Q], the questions' tokens, each question with ANSWER at its end; 0 behind the last.
        question_of: int64 [B, Q], number of the question that a token belongs to, -1 behind the last.
        offsets: int64 [B, Q], place of a token within its question.
        answer_at: int64 [B, K], where a question's ANSWER stands among the tokens.
        answers: int64 [B, K], 1 yes, 0 no, -1 no such question.
        matters: int64 [B, K], index into all_matters() of what a question is about; 0 for no such question.
    """

    grids: np.ndarray
    tiles: np.ndarray
    before: np.ndarray
    after: np.ndarray
    agents: np.ndarray
    happened: np.ndarray
    known: np.ndarray
    tokens: np.ndarray
    question_of: np.ndarray
    offsets: np.ndarray
    answer_at: np.ndarray
    answers: np.ndarray
    matters: np.ndarray


class BatchMaker:
    """Makes batches in this process."""

    def __init__(self) -> None:
        self._scenes = SceneMaker()
        self._tokenizer = build_tokenizer(vocabulary())

    def make(self, order: BatchOrder) -> PackedBatch:
        """The batch of this order: always the same one."""
        scenes = self._scenes.balanced((order.seed, order.index), order.clips, order.frames, small=order.plain)
        rng = np.random.default_rng([order.seed, order.index, 1])
        asked: Sequence[Sequence[Question]] = [[]] * len(scenes)
        if order.questions:
            asked = ask_balanced([scene.truth for scene in scenes], order.questions, rng, plain=order.plain)
        return pack(scenes, asked, order.frames, self._tokenizer)


def pack(scenes: Sequence[Scene], asked: Sequence[Sequence[Question]], frames: int, tokenizer: Any) -> PackedBatch:
    """Lay scenes and their questions out as arrays."""
    truths = [scene.truth for scene in scenes]

    def by_cell(arrays: Sequence[np.ndarray]) -> np.ndarray:
        """[F, H, W] of each clip, the last frame repeated up to `frames` → [N, frames]."""
        full = [np.concatenate([array, np.repeat(array[-1:], frames - len(array), axis=0)]) for array in arrays]
        return np.concatenate([array.reshape(frames, -1).T for array in full])

    return PackedBatch(
        np.array([scene.tiles.shape[1:] for scene in scenes]),
        by_cell([scene.tiles for scene in scenes]),
        np.concatenate([truth.before.ravel() for truth in truths]),
        np.concatenate([truth.after.ravel() for truth in truths]),
        by_cell([truth.agents for truth in truths]),
        np.concatenate([truth.happened.reshape(-1, truth.happened.shape[-1]) for truth in truths]),
        np.array([[_ANSWERS[answer(matter, truth)] for matter in _MATTERS] for truth in truths], np.int8),
        *_pack_questions(asked, tokenizer),
    )


def _pack_questions(asked: Sequence[Sequence[Question]], tokenizer: Any) -> tuple[np.ndarray, ...]:
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
            matters[row, number] = _NUMBER[asked[row][number].matter]
    return tokens, question_of, offsets, answer_at, answers, matters


class BatchStream:
    """Batches in order, made ahead by worker processes.

    Args:
        next_order: gives the order of the next batch, or None at the end; called in order, a little ahead of use.
        workers: processes; 0 makes each batch here, when it is asked for.
    """

    def __init__(self, next_order: Callable[[], BatchOrder | None], workers: int) -> None:
        self._next_order = next_order
        self._maker = BatchMaker() if workers == 0 else None
        context = multiprocessing.get_context("spawn")
        self._workers: list[tuple[Any, Connection]] = []
        for number in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), name=f"vlmrb-worlds-{number}", daemon=True)
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
            VlmrbError: a worker process has failed.
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
        raise VlmrbError("a process that makes clips has ended; is there enough memory? Go on with --resume") from error
    if isinstance(outcome, str):
        raise VlmrbError(f"a process that makes clips has failed: {outcome}")
    assert isinstance(outcome, PackedBatch)
    return outcome


def _work(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's to handle
    maker = BatchMaker()
    while True:
        try:
            order = connection.recv()
        except (EOFError, OSError):  # the trainer has gone
            return
        try:
            outcome: PackedBatch | str = maker.make(order)
        except Exception as error:  # noqa: BLE001 - the trainer raises it again
            outcome = f"{type(error).__name__}: {error}"
        try:
            connection.send(outcome)
        except OSError:
            return
