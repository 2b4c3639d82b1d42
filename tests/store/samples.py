"""Sample rows for a store, and child processes that use it concurrently."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable

import numpy as np

from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore, DrawnClip, Draws, Event, Kinds, Vote

CONFIG = {"env": "MiniGrid-DoorKey-8x8-v0", "algo": "dqn", "replay": "vlm", "scorer": "oracle", "seed": 3, "total_steps": 1000}


def new_run(store: Store, **settings: object) -> int:
    return store.create_run({**CONFIG, **settings}, render_spec={"kind": "frames"}, success_rule="by rule")


def clip(run_id: int, number: int, *, start: int | None = None, length: int = 4, stride: int = 8, frames: bool = False) -> Clip:
    rng = np.random.default_rng(number)
    first = number * 32 if start is None else start
    snapshots = rng.integers(0, 256, (length, 6, 5, 3) if frames else (length, 20), dtype=np.uint8)
    events = ((0, Event("picked_up", "key", "red")), (length - 1, Event("success"))) if number % 2 else ()
    return Clip(
        run_id * CLIPS_PER_RUN + number,
        number % 8,
        number,
        first + stride * np.arange(length),
        snapshots,
        rng.random(length).astype(np.float32),
        events,
        "length",
    )


def score(clip_id: int, probability: float | None, *, scorer: str = "oracle", prompt_id: int | None = None) -> ClipScore:
    return ClipScore(
        clip_id, probability, 1.5, -0.5, 0.5, scorer, "model", "rev", prompt_id, (0, 3), 0.25, "" if probability else "why"
    )


def draws(step: int, clip_ids: list[int], *, by_labels: int | None = None) -> Draws:
    """A record of draws, with these clips by rank."""
    sample = [DrawnClip(clip_id, rank + 1, 100 - rank, 40, 0.25, 4) for rank, clip_id in enumerate(clip_ids)]
    return Draws(step, 8, 1_000, by_labels, 0.5, 60, 400, 90, Kinds(900, 800, 600, 300), Kinds(390, 380, 200, 40), tuple(sample))


def voted(clip_id: int, *answers: tuple[float | None, ...]) -> ClipScore:
    """A score of a vote by mean: what each voter says, one answer per question."""
    votes = tuple(Vote(f"voter {at}", each, 0.125 * at, "" if None not in each else "why") for at, each in enumerate(answers))
    means = []
    for each in zip(*answers, strict=True):
        known = [answer for answer in each if answer is not None]
        means.append(sum(known) / len(known) if known else None)
    largest = max((mean for mean in means if mean is not None), default=None)
    return ClipScore(
        clip_id,
        largest,
        None,
        None,
        0.5,
        "vote:mean:…",
        "vote:mean:…",
        "rev|rev",
        None,
        (0, 3),
        0.25,
        answers=tuple(means),
        votes=votes,
    )


def filled(store: Store, clips: int = 6) -> int:
    """A run with clips: every odd one with events, scored yes, no and unknown in turn."""
    run_id = new_run(store)
    writer = store.writer(run_id)
    for number in range(clips):
        writer.add_clip(clip(run_id, number))
        writer.add_score(score(run_id * CLIPS_PER_RUN + number, [0.9, 0.1, None][number % 3]))
    writer.flush()
    return run_id


class Child:
    """A forked process that runs a function; `lines` returns what it reports."""

    def __init__(self, work: Callable[[Callable[[object], None]], None]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            status = 1
            try:
                work(lambda words: os.write(writing, f"{words}\n".encode()))
                status = 0
            except BaseException:  # noqa: BLE001 - it must not continue in the test's frames
                os.write(writing, traceback.format_exc().encode())
            finally:
                os._exit(status)
        os.close(writing)
        self._pipe = os.fdopen(reading)

    def lines(self) -> list[str]:
        """What it reported; waits for its end."""
        with self._pipe:
            text = self._pipe.read()
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return text.splitlines()

    def result(self) -> list[str]:
        """Like `lines`, for a child that must succeed."""
        lines = self.lines()
        assert self.status == 0, "\n".join(lines)
        return lines

    def kill(self) -> list[str]:
        """Kill it with SIGKILL and return the lines it had reported."""
        os.kill(self.pid, signal.SIGKILL)
        lines = self.lines()
        assert self.status == -signal.SIGKILL, "\n".join(lines)
        return lines
