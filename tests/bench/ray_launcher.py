"""The same short runs by the launchers 'local' and 'ray', two at a time on this machine (a script, not a test).

    python -m tests.bench.ray_launcher --runs 12 --rounds 1

Prints a table: seconds from the launch to the last run's end, and seconds from a slot becoming free to the start of the next
process. A cluster that is already running is measured; starting one takes some seconds more, once. Needs the extra [ray].
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from tests.ray_nodes import Nodes
from vlmrb import jobs
from vlmrb.store import Store
from vlmrb.types import Job

SLOTS = 2
RUN = {"env": "DoorKey-5x5", "scorer": "oracle", "hidden_size": 16, "train_freq": 64, "learning_starts": 500,
       "eval_interval": 2_000, "eval_episodes": 1, "keep_clips": False}  # fmt: skip
POLL_S = 0.2


def measure(on: str, runs: int, steps: int) -> tuple[float, list[float]]:
    """Seconds until all runs have finished, and from each free slot to the process that took it."""
    configs = jobs.matched_set(RUN | {"total_steps": steps}, [{"replay": "uniform"}], range(runs))
    with tempfile.TemporaryDirectory() as folder, Store(str(Path(folder) / "runs.db")) as store:
        jobs.set_job_limit(store, SLOTS)
        began = time.time()
        jobs.launch(store, configs, destination=jobs.destination(on))
        starts: dict[int, float] = {}
        now: list[Job] = []
        while not now or any(job.status != "finished" for job in now):
            now = store.jobs()
            for job in now:
                starts |= {job.job_id: at} if job.job_id not in starts and (at := _started(job)) else {}
                assert job.status not in ("failed", "interrupted"), job
            time.sleep(POLL_S)
        ended = sorted(job.ended_at or 0.0 for job in now)
        return ended[-1] - began, [start - end for start, end in zip(sorted(starts.values())[SLOTS:], ended, strict=False)]


def _started(job: Job) -> float | None:
    try:
        return psutil.Process(job.pid).create_time() if job.pid else None
    except psutil.NoSuchProcess:
        return None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=1, help="how often both are measured, in turn")
    arguments = parser.parse_args()
    print("| launcher | total, s | free slot to start, s: median | largest |\n|---|---|---|---|")
    with Nodes() as nodes:
        nodes.add(SLOTS)
        for number in range(arguments.rounds):
            order = ["local", f"ray:{nodes.address}"]
            for on in order if number % 2 == 0 else reversed(order):
                total, delays = measure(on, arguments.runs, arguments.steps)
                words = f"{statistics.median(delays):.1f} | {max(delays):.1f}" if delays else "– | –"
                print(f"| {on.partition(':')[0]} | {total:.0f} | {words} |", flush=True)


if __name__ == "__main__":
    main()
