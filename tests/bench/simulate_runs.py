"""Many simulated trainers on one PostgreSQL, with a studio that people look at (a script, not a test).

    python -m tests.bench.simulate_runs --runs 10 100 1000 --seconds 60 --speed 60

A simulated trainer does to the store what a real one does, through the same code: about once a second it writes the rows of
the steps since (clips of DoorKey with scores and replay records, metrics, episodes, events, draws) and a heartbeat, and reads
live changes. It learns nothing: 1,000 processes of torch do not fit on a small machine, so that many trainers share a
process, which has a thread for each exchange in progress. A trainer that is late has more rows next time, as in reality. Each
has connections of its own, as in reality, unless --shared. Meanwhile a studio in a process of its own answers --viewers
readers, each of whom asks for the table of runs every two seconds and for the activity every three, as the page does.

The server is Debian's, in a folder under /tmp, with fsync off as in CI: commits do not wait for a disk. Prints a table in
Markdown; CPU is in cores, of the server's processes, the studio and the simulator.
"""

from __future__ import annotations

import argparse
import heapq
import http.client
import json
import multiprocessing
import os
import queue
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from sqlalchemy import text

from tests.bench.store_writers import Run
from tests.doorkey import record_clips
from tests.postgres import Server
from tests.store.samples import new_run
from tests.studio_process import studio
from vlmrb.errors import StoreError
from vlmrb.store import Store
from vlmrb.types import Clip, RunCounters

TICK_S = 1.0
THREADS = 24  # exchanges of one process that can be in progress


@dataclass
class Measured:
    """What the trainers of a process saw, in seconds."""

    exchange: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    rows: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: Measured) -> None:
        for name in ("exchange", "late"):
            getattr(self, name).extend(getattr(other, name))
        self.rows += other.rows
        self.errors.update(other.errors)


class Trainer:
    """What one run leaves in the store."""

    def __init__(self, store: Store, run_id: int, speed: float, templates: list[Clip], began: float) -> None:
        self.store, self._run_id, self._speed, self._began = store, run_id, speed, began
        self._run, self._writer = Run(run_id, templates), store.writer(run_id)

    def exchange(self, out: Measured) -> None:
        """Rows, a heartbeat and live changes, as the trainer's `_exchange`."""
        before = rows_of(self._run)
        self._run.add(self._writer, int((time.monotonic() - self._began) * self._speed) - self._run.step)
        out.rows += rows_of(self._run) - before
        began = time.monotonic()
        try:
            clips = self._run.rows["clips"]
            counters = RunCounters(clips=clips, clips_scored=clips)
            self.store.exchange(self._writer, self._run.step, status="running", steps_per_second=self._speed, counters=counters)
            out.exchange.append(time.monotonic() - began)
        except StoreError as error:
            out.errors[str(error)[:80]] += 1


def rows_of(run: Run) -> int:
    """How many it has left, with its clips' data and replay records."""
    return sum(run.rows.values()) + 2 * run.rows["clips"]


def trainers(url: str, run_ids: list[int], options: argparse.Namespace, start: Any, out: Any) -> None:
    """A process with these trainers; says that it is ready, waits for the start, and puts what it measured."""
    templates = record_clips("DoorKey-8x8", 64, lambda _: 0.3, np.random.default_rng(0))
    local = threading.local()
    stores = {} if options.shared else {run_id: Store(url) for run_id in run_ids}
    out.put("ready")
    start.wait()
    began = time.monotonic()
    rng = np.random.default_rng(run_ids[0])
    due = [(began + TICK_S * float(rng.random()), run_id) for run_id in run_ids]
    heapq.heapify(due)
    made = {}
    waiting: queue.Queue[tuple[float, int] | None] = queue.Queue()
    measured, lock = Measured(), threading.Lock()

    def store_of(run_id: int) -> Store:
        if not options.shared:
            return stores[run_id]
        if not hasattr(local, "store"):
            local.store = Store(url)
        return local.store

    def work() -> None:
        own = Measured()
        while (item := waiting.get()) is not None:
            at, run_id = item
            began_at = time.monotonic()
            own.late.append(began_at - at)
            trainer = made.get(run_id)
            if trainer is None:
                trainer = made[run_id] = Trainer(store_of(run_id), run_id, options.speed, templates, began)
            trainer.store = store_of(run_id)
            trainer.exchange(own)
            with lock:
                heapq.heappush(due, (began_at + TICK_S, run_id))
        with lock:
            measured.add(own)

    threads = [threading.Thread(target=work) for _ in range(min(THREADS, len(run_ids)))]
    for thread in threads:
        thread.start()
    while time.monotonic() < began + options.seconds:
        with lock:
            ready = [heapq.heappop(due) for _ in range(len(due)) if due and due[0][0] <= time.monotonic()]
        for item in ready:
            waiting.put(item)
        time.sleep(0.005)
    with suppress(queue.Empty):  # what has not begun is late for good
        while True:
            measured.late.append(time.monotonic() - waiting.get_nowait()[0])
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    out.put(measured)


def view(port: int, over: threading.Event, times: dict[str, list[float]], failures: list[str]) -> None:
    """Somebody has the page of all runs open."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:

        def ask(path: str, body: object = None) -> Any:
            connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read())

        components = ask("/config")["components"]
        functions = {name: each["id"] for each in components for name in each["props"].get("server_fns") or []}
        known: dict[str, str] = {}
        next_at = {"table": 0.0, "activity": 0.0}
        while not over.is_set():
            for name, seconds, data in (("table", 2.0, {"known": known}), ("activity", 3.0, {})):
                if time.monotonic() < next_at[name]:
                    continue
                began = time.monotonic()
                answer = ask("/gradio_api/component_server/", {"component_id": functions[name], "fn_name": name, "data": data})
                times[name].append(time.monotonic() - began)
                next_at[name] = time.monotonic() + seconds
                if "error" in answer:
                    failures.append(answer["error"])
                elif name == "table":
                    known.update({str(key): value for key, value in answer["answer"]["versions"].items()})
            time.sleep(0.05)


def cpu_of(processes: list[psutil.Process]) -> float:
    """CPU seconds of these processes and their children so far."""
    total = 0.0
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                times = each.cpu_times()
                total += times.user + times.system
    return total


def facts(store: Store) -> dict[str, float]:
    """What the server counts."""
    with store._read() as connection:
        row = connection.execute(
            text(
                "SELECT pg_database_size(current_database()), pg_current_wal_insert_lsn() - '0/0'::pg_lsn, xact_commit, "
                "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) "
                "FROM pg_stat_database WHERE datname = current_database()"
            )
        ).one()
    return dict(zip(("bytes", "wal", "commits", "connections"), map(float, row), strict=True))


def simulate(server: Server, postmaster: psutil.Process, count: int, options: argparse.Namespace) -> str:
    """One row of the table."""
    context = multiprocessing.get_context("spawn")
    out, start, over = context.Queue(), context.Event(), threading.Event()
    measured, times, failures = Measured(), {"table": list[float](), "activity": list[float]()}, list[str]()
    with Store(server.url) as store, studio(server.url) as (port, web):
        run_ids = [new_run(store) for _ in range(count)]
        shares = [run_ids[at :: options.processes] for at in range(min(options.processes, count))]
        processes = [context.Process(target=trainers, args=(server.url, share, options, start, out)) for share in shares]
        for process in processes:
            process.start()
        for _ in processes:
            out.get()
        wait_for(port)
        viewers = [threading.Thread(target=view, args=(port, over, times, failures)) for _ in range(options.viewers)]
        for viewer in viewers:
            viewer.start()
        simulator = [psutil.Process(process.pid) for process in processes]
        start.set()
        time.sleep(options.warm_up)
        groups = ([postmaster], [web], simulator)
        began, before, used = time.monotonic(), facts(store), [cpu_of(group) for group in groups]
        time.sleep(max(1.0, options.seconds - options.warm_up - 1.0))
        seconds, after = time.monotonic() - began, facts(store)
        cores = [(cpu_of(group) - each) / seconds for group, each in zip(groups, used, strict=True)]
        over.set()
        for _ in processes:
            measured.add(out.get())
        for each in (*processes, *viewers):
            each.join()
    rate = {name: (after[name] - before[name]) / seconds for name in ("bytes", "wal", "commits")}
    errors = sum(measured.errors.values()) + len(failures)
    for error, number in (*measured.errors.most_common(3), *Counter(failures).most_common(3)):
        print(f"{number} × {error}")
    return (
        f"| {count} | {len(measured.exchange) / options.seconds:.0f} of {count / TICK_S:.0f} | "
        f"{measured.rows / options.seconds:,.0f} | {ms(measured.exchange)} | "
        f"{quantile(measured.late, 0.99):.1f} | {errors} | {rate['commits']:,.0f} | {rate['bytes'] / 1e6:.1f} + "
        f"{rate['wal'] / 1e6:.1f} | {after['connections']:.0f} | {' / '.join(f'{each:.2f}' for each in cores)} | "
        f"{ms(times['table'])} | {os.getloadavg()[0]:.0f} |"
    )


def wait_for(port: int) -> None:
    """Until the studio answers."""
    while True:
        with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("GET", "/config")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.5)


def quantile(seconds: list[float], q: float) -> float:
    return float(np.quantile(seconds, q)) if seconds else float("nan")


def ms(seconds: list[float]) -> str:
    """Median and 99th percentile in milliseconds."""
    return f"{1_000 * quantile(seconds, 0.5):,.0f} / {1_000 * quantile(seconds, 0.99):,.0f}"


def main() -> None:
    """`python -m tests.bench.simulate_runs`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1_000], metavar="N")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--warm-up", type=float, default=10.0, metavar="S", help="of these, not counted for rates")
    parser.add_argument("--speed", type=float, default=60.0, help="steps per second of each run (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=4, metavar="N", help="that the trainers share (default: %(default)s)")
    parser.add_argument("--viewers", type=int, default=3, metavar="N", help="people looking (default: %(default)s)")
    parser.add_argument("--shared", action="store_true", help="few connections for all trainers, as through a pooler")
    options = parser.parse_args()
    print(
        "| runs | exchanges/s | rows/s | exchange, ms p50 / p99 | late, s p99 | errors | commits/s | "
        "MB/s tables + log | connections | cores: database / studio / simulator | table of runs, ms | load |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for count in options.runs:
        server = Server()
        try:
            with (server._folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as settings:
                settings.write(f"max_connections = {3 * max(options.runs) + 100}\nshared_buffers = 512MB\nmax_wal_size = 4GB\n")
            server.start()
            postmaster = psutil.Process(int((server._folder / "data" / "postmaster.pid").read_text().split()[0]))
            print(simulate(server, postmaster, count, options), flush=True)
            server.stop("immediate")
        finally:
            server.remove()


if __name__ == "__main__":
    main()
