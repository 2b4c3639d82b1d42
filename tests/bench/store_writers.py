"""How many runs can write to one store: `python -m tests.bench.store_writers STORE --writers 64 --seconds 180 --speed 1000`.

Each writer is a process that does what a trainer does once a second: in one transaction it writes a second's rows of all kinds
and a heartbeat, and reads live changes. The rows per step are those of a DoorKey-8x8 run with the default settings
(`--scorer oracle`). Prints how long that took, at each writer's start and afterwards, what failed, and whether every row
arrived. Runs take seconds of CPU to start, so that they do not all begin at once; with `--ramp 0` these writers do.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
from sqlalchemy import func, select

from tests.doorkey import record_clips
from tests.store.samples import draws, new_run, score
from vlmrb.errors import StoreError
from vlmrb.store import RunWriter, Store, patiently
from vlmrb.store import tables as t
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipReplay, Episode, Event

STEPS_PER_CLIP, STEPS_PER_EVENT, STEPS_PER_EPISODE, STEPS_PER_LOG, STEPS_PER_DRAWS = 32, 86, 800, 2_000, 3_000
METRICS, DRAWN_CLIPS = 27, 24
START_S = 20
COUNTED = (t.metrics, t.episodes, t.events, t.clips, t.scores, t.draws, t.drawn_clips)


class Run:
    """The rows of one run, by step."""

    def __init__(self, run_id: int, templates: list[Clip]) -> None:
        self.run_id, self.step, self._templates = run_id, 0, templates
        self.rows = dict.fromkeys((table.name for table in COUNTED), 0)

    def add(self, writer: RunWriter, steps: int) -> None:
        """What the next `steps` steps leave."""
        for _ in self._due(steps, STEPS_PER_CLIP, "clips"):
            number = self.rows["clips"]
            recorded = self._templates[number % len(self._templates)]
            clip_id = self.run_id * CLIPS_PER_RUN + number
            item_ids = number % 8 + 256 * (number // 8) + 8 * np.arange(len(recorded))
            writer.add_clip(
                Clip(clip_id, number % 8, number // 4, item_ids, recorded.snapshots, recorded.rewards, recorded.events, "length")
            )
            writer.add_score(score(clip_id, 0.75))
            writer.add_clip_replay(ClipReplay(clip_id, self.step, 0.01, 0.5, 1e-3, 1e-4))
            self.rows["scores"] += 1
        for at in self._due(steps, STEPS_PER_EVENT, "events"):
            writer.add_event(at, at % 8, Event("opened", "door", "yellow"))
        for at in self._due(steps, STEPS_PER_EPISODE, "episodes"):
            writer.add_episode(Episode(at, at % 8, at, at, 100, 0.5, True))
        for at in self._due(steps, STEPS_PER_LOG, "metrics", METRICS):
            for name in range(METRICS):
                writer.add_metric(f"train/metric_{name}", at, 0.123)
        for at in self._due(steps, STEPS_PER_DRAWS, "draws"):
            writer.add_draws(draws(at, [self.run_id * CLIPS_PER_RUN + number for number in range(DRAWN_CLIPS)], by_labels=3))
            self.rows["drawn_clips"] += DRAWN_CLIPS
        self.step += steps

    def _due(self, steps: int, every: int, table: str, rows: int = 1) -> Iterator[int]:
        for at in range(self.step, self.step + steps):
            if at % every == 0:
                yield at
                self.rows[table] += rows


def write(url: str, run_id: int, templates: list[Clip], options: argparse.Namespace, begins_at: float, out: Any) -> None:
    """One writer, once a second from `begins_at` on: seconds since the epoch."""
    run, took, errors = Run(run_id, templates), [], []
    time.sleep(max(0.0, begins_at - time.time()))
    with Store(url) as store:
        writer = store.writer(run_id)
        phase = np.random.default_rng(run_id).random()
        for second in range(options.seconds):
            time.sleep(max(0.0, begins_at + phase + second - time.time()))
            run.add(writer, options.speed)
            began = time.perf_counter()
            try:
                store.exchange(writer, run.step, status="running", steps_per_second=float(options.speed))
                took.append((second, time.perf_counter() - began))
            except StoreError as error:
                errors.append(str(error))
        cpu = psutil.Process().cpu_times()
        patiently(writer.flush)
    out.put((run.rows, took, errors, cpu.user + cpu.system))


def main() -> None:
    """Run the writers and print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--speed", type=int, default=1_000, help="steps per second of each run")
    parser.add_argument("--ramp", type=float, default=0.5, metavar="S", help="seconds from the start of one to that of the next")
    options = parser.parse_args()
    with Store(options.store) as store:
        run_ids = [new_run(store) for _ in range(options.writers)]
    templates = record_clips("DoorKey-8x8", 64, lambda episode: 0.3, np.random.default_rng(0))
    context = multiprocessing.get_context("fork")
    out, begins_at = context.Queue(), time.time() + 2.0
    cpu_before = psutil.cpu_times()
    writers = [
        context.Process(target=write, args=(options.store, run_id, templates, options, begins_at + number * options.ramp, out))
        for number, run_id in enumerate(run_ids)
    ]
    for process in writers:
        process.start()
    found = [out.get() for _ in writers]
    for process in writers:
        process.join()
    cpu = psutil.cpu_times()
    rows = {name: sum(each[0][name] for each in found) for name in found[0][0]}
    with Store(options.store) as store, store._read() as connection:
        for table in COUNTED:
            there = connection.scalar(select(func.count()).select_from(table).where(table.c.run_id.in_(run_ids)))
            assert there == rows[table.name], (table.name, there, rows[table.name])
    seconds, ms = np.concatenate([each[1] for each in found]).T * [[1], [1_000]]
    errors = [error for each in found for error in each[2]]
    total = sum(rows.values()) + 2 * rows["clips"]  # clip_data and clip_replay
    print(
        json.dumps(
            {
                "writers": options.writers,
                "steps_per_second": options.speed,
                "rows_per_second": round(total / options.seconds),
                "ms": _quantiles(ms),
                f"ms_first_{START_S}_s": _quantiles(ms[seconds < START_S]),
                "ms_afterwards": _quantiles(ms[seconds >= START_S]) if options.seconds > START_S else {},
                "errors": len(errors),
                "first_error": errors[0] if errors else "",
                "cpu_s_of_writers": round(sum(each[3] for each in found), 1),
                "cpu_s_of_machine": round(sum(getattr(cpu, k) - getattr(cpu_before, k) for k in ("user", "system", "nice")), 1),
                "load": os.getloadavg(),
            }
        )
    )


def _quantiles(ms: np.ndarray) -> dict[str, float]:
    return {name: round(float(np.quantile(ms, q)), 1) for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))}


if __name__ == "__main__":
    main()
