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
from vlmrb.pretrain.model import ANSWER, END, END_OF_UTTERANCE, build_tokenizer
from vlmrb.pretrain.questions import Question, ask_balanced, caption, vocabulary
from vlmrb.pretrain.truth import HAPPENINGS, MAP_SIDE
from vlmrb.pretrain.worlds import SIDE, Scene, SceneMaker

_AHEAD = 2  # batches that each worker may be ahead


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """Which batch to make.

    Attributes:
        seed: of the whole training.
        index: number of the batch.
        clips: B.
        frames: F, at most, of each clip.
        questions: of each clip at most; 0 for none.
        mosaics: frames full of objects in place of clips, and no questions.
    """

    seed: int
    index: int
    clips: int
    frames: int
    questions: int
    mosaics: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """B clips of at most F frames, each with its questions one behind the other (Q tokens, K questions at most).

    Attributes:
        frames: uint8 [B, F, SIDE, SIDE, 3]; a clip with fewer has them at the end.
        present: bool [B, F], which of them there are.
        contents, agents: uint8 [B, F, MAP_SIDE, MAP_SIDE], as in `Truth`.
        happened: uint8 [B, F, len(HAPPENINGS)].
        tokens: int64 [B, Q], the questions' tokens, each question with ANSWER at its end; 0 behind the last.
        question_of: int64 [B, Q], number of the question that a token belongs to, -1 behind the last.
        offsets: int64 [B, Q], place of a token within its question.
        answer_at: int64 [B, K], where a question's ANSWER stands among the tokens.
        answers: int64 [B, K], 1 yes, 0 no, -1 no such question.
        told: int64 [B, Q], where a caption's next token is to be told: that token; else -1. Captions stand among the questions.
    """

    frames: np.ndarray
    present: np.ndarray
    contents: np.ndarray
    agents: np.ndarray
    happened: np.ndarray
    tokens: np.ndarray
    question_of: np.ndarray
    offsets: np.ndarray
    answer_at: np.ndarray
    answers: np.ndarray
    told: np.ndarray


class BatchMaker:
    """Makes batches in this process."""

    def __init__(self) -> None:
        self._scenes = SceneMaker()
        self._tokenizer = build_tokenizer(vocabulary())

    def make(self, order: BatchOrder) -> PackedBatch:
        """The batch of this order: always the same one."""
        make = self._scenes.mosaics if order.mosaics else self._scenes.balanced
        scenes = make((order.seed, order.index), order.clips, order.frames)
        rng = np.random.default_rng([order.seed, order.index, 1])
        asked = ask_balanced([scene.truth for scene in scenes], order.questions, rng) if order.questions else [[]] * len(scenes)
        captions = [caption(scene.truth) for scene in scenes] if order.questions else []
        return pack(scenes, asked, order.frames, self._tokenizer, captions)


def pack(
    scenes: Sequence[Scene], asked: Sequence[Sequence[Question]], frames: int, tokenizer: Any, captions: Sequence[str] = ()
) -> PackedBatch:
    """Lay scenes, their questions and (where there are any) their captions out as arrays."""
    count = len(scenes)
    pictures = np.zeros((count, frames, SIDE, SIDE, 3), np.uint8)
    present = np.zeros((count, frames), bool)
    contents, agents = np.zeros((2, count, frames, MAP_SIDE, MAP_SIDE), np.uint8)
    happened = np.zeros((count, frames, len(HAPPENINGS)), np.uint8)
    for row, scene in enumerate(scenes):
        start = frames - len(scene.frames)
        pictures[row, start:], present[row, start:] = scene.frames, True
        contents[row, start:], agents[row, start:] = scene.truth.contents, scene.truth.agents
        happened[row, start:] = scene.truth.happened
    return PackedBatch(pictures, present, contents, agents, happened, *_pack_questions(asked, tokenizer, captions))


def _pack_questions(asked: Sequence[Sequence[Question]], tokenizer: Any, captions: Sequence[str]) -> tuple[np.ndarray, ...]:
    end, tell, done = tokenizer.convert_tokens_to_ids([ANSWER, END_OF_UTTERANCE, END])
    encoded = [[[*tokenizer.encode(question.text), end] for question in questions] for questions in asked]
    spoken = [[tell, *tokenizer.encode(text), done] for text in captions] or [[]] * len(asked)
    longest = max((sum(map(len, rows)) + len(ids) for rows, ids in zip(encoded, spoken, strict=True)), default=0)
    most = max(map(len, encoded), default=0)
    tokens, offsets = np.zeros((2, len(asked), longest), np.int64)
    question_of, told = np.full((2, len(asked), longest), -1, np.int64)
    answer_at, answers = np.zeros((len(asked), most), np.int64), np.full((len(asked), most), -1, np.int64)
    for row, questions in enumerate(encoded):
        at = 0
        for number, ids in enumerate(questions):
            stretch = slice(at, at + len(ids))
            tokens[row, stretch], offsets[row, stretch], question_of[row, stretch] = ids, np.arange(len(ids)), number
            at += len(ids)
            answer_at[row, number], answers[row, number] = at - 1, asked[row][number].answer
        ids = spoken[row]
        stretch = slice(at, at + len(ids))
        tokens[row, stretch], offsets[row, stretch], question_of[row, stretch] = ids, np.arange(len(ids)), len(questions)
        told[row, at : at + len(ids) - 1] = ids[1:]
    return tokens, question_of, offsets, answer_at, answers, told


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
