"""What a shared scorer saves: N clients with a model each against N clients of one server.

    python -m tests.bench.shared_scorer [--clients 8] [--clips 160] [--batch 8]

Prints, for each way, clips per CPU second of all processes together (frames ready, models loaded) and what the processes add to
memory (proportional set size). The ways take turns, three times.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil

ROUNDS = 3
QUESTION = "Does this clip show meaningful progress?"


def client(connection: Any, scorer: str, some: list[Any], clips: int, batch: int) -> None:
    """Load, wait for the start, score, and say what it took."""
    from vlmrb.envs.rendering import MiniGridRenderer
    from vlmrb.scoring import ScorerOptions, make_scorer
    from vlmrb.scoring.worker import make_request
    from vlmrb.types import Prompt

    made = make_scorer(scorer, ScorerOptions())
    renderer = MiniGridRenderer()
    requests = [make_request(clip, renderer, made.frames_per_clip) for clip in some]
    made.score(requests[:batch], Prompt("bench", 1, QUESTION))
    connection.send("ready")
    connection.recv()
    began = time.process_time()
    for first in range(0, clips, batch):
        rows = [requests[(first + at) % len(requests)] for at in range(batch)]
        made.score(rows, Prompt("bench", 1, QUESTION))
    connection.send(time.process_time() - began)
    connection.recv()
    made.close()


@contextmanager
def server() -> Iterator[tuple[str, psutil.Process]]:
    """A shared scorer."""
    command = [sys.executable, "-m", "vlmrb", "serve-scorer", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], psutil.Process(process.pid)
        finally:
            process.terminate()


def cpu(process: psutil.Process) -> float:
    """Seconds of CPU so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def memory(process: psutil.Process) -> int:
    """Proportional set size, bytes."""
    return int(process.memory_full_info().pss)


def go(scorer: str, served: psutil.Process | None, options: argparse.Namespace) -> dict[str, float]:
    """One round."""
    from tests.doorkey import record_clips

    context = multiprocessing.get_context("spawn")
    clients = []
    some = record_clips("DoorKey-8x8", 32, lambda _: 0.5, np.random.default_rng(0))
    for _ in range(options.clients):
        ours, theirs = context.Pipe()
        process = context.Process(target=client, args=(theirs, scorer, some, options.clips, options.batch))
        process.start()
        clients.append((process, ours))
    for _, connection in clients:
        connection.recv()
    used = cpu(served) if served else 0.0
    began = time.monotonic()
    for _, connection in clients:
        connection.send("go")
    seconds = sum(connection.recv() for _, connection in clients)
    wall = time.monotonic() - began
    seconds += cpu(served) - used if served else 0.0
    size = sum(memory(psutil.Process(process.pid)) for process, _ in clients) + (memory(served) if served else 0)
    for process, connection in clients:
        connection.send("end")
        process.join()
    total = options.clients * options.clips
    return {"clips_per_cpu_s": total / seconds, "clips_per_s": total / wall, "memory_mb": size / 1e6}


def main() -> None:
    """Take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("clients", 8), ("clips", 160), ("batch", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"own": [], "shared": []}
    with server() as (url, process):
        for _ in range(ROUNDS):
            found["own"].append(go("embedded", None, options))
            found["shared"].append(go(f"shared:{url}", process, options))
            print(json.dumps({way: rows[-1] for way, rows in found.items()}), flush=True)
    for name in ("clips_per_cpu_s", "clips_per_s", "memory_mb"):
        ratios = [shared[name] / own[name] for shared, own in zip(found["shared"], found["own"], strict=True)]
        print(f"{name}: shared / own = {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
