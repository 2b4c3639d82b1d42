"""What a shared scorer saves: N clients with a model each against N clients of one server.

    python -m tests.bench.shared_scorer [--clients 8] [--clips 160] [--batch 8] [--own N] [--rate 0] [--flood | --train STEPS]

Prints, for each way, clips per CPU second of all processes together (models loaded), drawing or laying out frames included, and
what the processes add to memory (proportional set size). The ways take turns, three times. With `--rate`, each client gets so
many clips a second, as from a run, and scores what has come, at most `--batch`; otherwise it always has a full batch. With
`--flood`, only the server: how long a client with batches of its own waits alone, and beside one that floods. With `--train`, the
clients are runs (DoorKey-8x8, DQN, VLM replay) of so many steps at once: the learners' steps per second while all of them train,
all CPU time of runs and server, and what became of their clips.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil

from vlmrb.store import Store
from vlmrb.types import CLOCK_S

ROUNDS = 3
LEARNING_STARTS = 500
QUESTION = "Does this clip show meaningful progress?"


def client(connection: Any, scorer: str, some: list[Any], clips: int, batch: int, rate: float) -> None:
    """Load, wait for the start, score, and say what it took: CPU seconds, and the median of seconds per batch."""
    from vlmrb.envs.rendering import MiniGridRenderer
    from vlmrb.scoring import ScorerOptions, make_scorer
    from vlmrb.scoring.worker import make_request
    from vlmrb.types import Prompt

    prompt, renderer = Prompt("bench", 1, QUESTION), MiniGridRenderer()
    made: Any = make_scorer(scorer, ScorerOptions())

    def score(first: int, count: int) -> float:
        began = time.monotonic()
        mosaics = getattr(made, "reads_mosaics", False)
        chosen = (some[(first + at) % len(some)] for at in range(count))
        made.score([make_request(clip, renderer, made.frames_per_clip, mosaics=mosaics) for clip in chosen], prompt)
        return time.monotonic() - began

    score(0, len(some))  # tiles are drawn, and squares known
    connection.send("ready")
    connection.recv()
    cpu_began, began, done, waits = time.process_time(), time.monotonic(), 0, []
    while done < clips:
        come = min(clips, int(rate * (time.monotonic() - began))) if rate else clips
        if come <= done:
            time.sleep(max(0.0, (done + 1) / rate - (time.monotonic() - began)))
            continue
        count = min(batch, come - done)
        waits.append(score(done, count))
        done += count
    connection.send((time.process_time() - cpu_began, statistics.median(waits), clips / len(waits)))
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


def flood(url: str, options: argparse.Namespace) -> None:
    """How long a batch of one client takes alone, and beside a client with very many at once."""
    from tests.doorkey import record_clips

    some = record_clips("DoorKey-8x8", 32, lambda _: 0.5, np.random.default_rng(0))
    context, found = multiprocessing.get_context("spawn"), []
    for floods in (0, 1):
        processes = []
        for batch, clips in [(options.batch, options.clips), *[(64, 64 * 40)] * floods]:
            ours, theirs = context.Pipe()
            process = context.Process(target=client, args=(theirs, f"shared:{url}", some, clips, batch, 0.0), daemon=True)
            process.start()
            processes.append((process, ours))
        for _, connection in processes:
            connection.recv()
        for _, connection in reversed(processes):
            connection.send("go")
        found.append(processes[0][1].recv()[1])
        for process, _ in processes:
            process.kill()
    alone, beside = found
    print(f"seconds per batch of {options.batch}: alone {alone:.3f}, beside a flood {beside:.3f}: {beside / alone:.2f} times")


def go(scorer: str, served: psutil.Process | None, options: argparse.Namespace) -> dict[str, float]:
    """One round."""
    from tests.doorkey import record_clips

    context = multiprocessing.get_context("spawn")
    clients = []
    some = record_clips("DoorKey-8x8", 32, lambda _: 0.5, np.random.default_rng(0))
    count = options.clients if served else options.own or options.clients
    for _ in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(target=client, args=(theirs, scorer, some, options.clips, options.batch, options.rate))
        process.start()
        clients.append((process, ours))
    for _, connection in clients:
        connection.recv()
    used = cpu(served) if served else 0.0
    began = time.monotonic()
    for _, connection in clients:
        connection.send("go")
    told = [connection.recv() for _, connection in clients]
    seconds = sum(cpu_s for cpu_s, _, _ in told)
    wall = time.monotonic() - began
    seconds += cpu(served) - used if served else 0.0
    size = sum(memory(psutil.Process(process.pid)) for process, _ in clients) + (memory(served) if served else 0)
    for process, connection in clients:
        connection.send("end")
        process.join()
    total = count * options.clips
    return {
        "clips_per_cpu_s": total / seconds,
        "clips_per_s": total / wall,
        "clips_per_request": told[0][2],
        "memory_mb": size / 1e6,
    }


def runs(scorer: str, served: psutil.Process | None, options: argparse.Namespace) -> dict[str, float]:
    """One round of real runs, all at once."""
    used = cpu(served) if served else 0.0
    with tempfile.TemporaryDirectory() as folder:
        stores = [f"{folder}/{number}.db" for number in range(options.clients)]
        settings = {"env": "DoorKey-8x8", "algo": "dqn", "replay": "vlm", "scorer": scorer, "eval-episodes": 1,
                    "total-steps": options.train, "learning-starts": LEARNING_STARTS,
                    "buffer-size": options.train, "log-interval": LEARNING_STARTS}  # fmt: skip
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "vlmrb", "train", "--quiet", "--json", *words, "--seed"]
        began = time.monotonic()
        processes = [
            subprocess.Popen([*command, str(seed), "--store", store], stdout=subprocess.DEVNULL)
            for seed, store in enumerate(stores)
        ]
        seconds = 0.0
        for process in processes:
            _, status, resources = os.wait4(process.pid, 0)  # with its scoring process
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0, f"a run failed: {process.args}"
            seconds += resources.ru_utime + resources.ru_stime
        wall = time.monotonic() - began
        curves, scored, clips = [], 0, 0
        for path in stores:
            with Store(path) as store:
                curves.append(store.metrics(1, CLOCK_S))
                counters = store.run(1).counters
                scored, clips = scored + counters.clips_scored, clips + counters.clips
    seconds += cpu(served) - used if served else 0.0
    together = (max(at[steps > LEARNING_STARTS][0] for steps, at in curves), min(at[-1] for _, at in curves))
    done = sum(float(np.diff(np.interp(together, at, steps))[0]) for steps, at in curves)
    return {
        "learners_steps_per_s": done / (together[1] - together[0]),
        "seconds": wall,
        "cpu_s": seconds,
        "scored": scored / clips,
    }


def main() -> None:
    """Take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("clients", 8), ("clips", 160), ("batch", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--own", type=int, help="clients with a model of their own (default: as many)")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--flood", action="store_true")
    parser.add_argument("--train", type=int, default=0, metavar="STEPS")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"own": [], "shared": []}
    with server() as (url, process):
        if options.flood:
            flood(url, options)
        for _ in range(0 if options.flood else options.rounds):
            measure = runs if options.train else go
            found["own"].append(measure("embedded", None, options))
            found["shared"].append(measure(f"shared:{url}", process, options))
            print(json.dumps({way: rows[-1] for way, rows in found.items()}), flush=True)
    if options.flood:
        return
    for name in found["own"][0]:
        ratios = [shared[name] / own[name] for shared, own in zip(found["shared"], found["own"], strict=True)]
        print(f"{name}: shared / own = {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
