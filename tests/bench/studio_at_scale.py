"""What the studio's ticks and pages cost with a large store: `python -m tests.bench.studio_at_scale STORE [NAME …]`.

Fill the store with `python -m tests.seeding STORE --runs 1000 --metric-rows 10000000 --clips 1000000`. Some of its runs are made
live first. Prints the median of several calls: time on the clock, and CPU time of this process and, of a PostgreSQL on this
machine, of its backends: on a busy machine, only the latter can be compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import psutil
from sqlalchemy import event, text, update

from app.clips_at import clips_at
from app.comparing import compare_view, metric_curves
from app.family import family_of
from app.known_runs import KnownRuns
from app.microscope import recorded
from app.pages.clips import browser_functions
from app.pages.compare import read_choices
from app.pages.run import Seen, facts_of, look_at
from app.pages.runs import read_table
from app.plain import to_json
from app.reasons import explain
from app.run_columns import Figures
from app.studio import Studio
from vlmrb.store import Store
from vlmrb.store import tables as t
from vlmrb.store.liveness import holder
from vlmrb.types import SUCCESS

LIVE_RUNS, COMPARED = 64, 60
COLUMNS = ("last:train/td_loss", "max:eval/success_rate", "min:train/mean_q")


def make_live(store: Store) -> list[int]:
    """Let the newest runs seem to train in this process."""
    run_ids = [run.run_id for run in store.runs(limit=LIVE_RUNS)]
    ours = holder(os.getpid(), psutil.Process().create_time())
    with store._write() as connection:
        values = {"status": "running", "heartbeat_at": time.time(), **ours}
        connection.execute(update(t.runs).where(t.runs.c.run_id.in_(run_ids)).values(**values))
    return run_ids


def cases(studio: Studio, live: list[int]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is measured, by name."""
    store, run_id = studio.store, live[0]
    figures, runs = Figures(store), KnownRuns(store)
    versions = read_table(store, {}, runs=runs).versions
    yield "runs: first look", lambda: read_table(store, {})

    def tick() -> object:
        _beat(store, live)
        return read_table(store, versions, runs=runs)

    yield "runs: tick, 64 live runs", tick

    def tick_with_columns() -> object:
        _beat(store, live)
        return read_table(store, with_columns, COLUMNS, figures, runs)

    with_columns = read_table(store, {}, COLUMNS, figures, runs).versions
    yield "runs: tick with 3 columns of metrics, 64 live runs", tick_with_columns
    first = look_at(store, run_id, Seen({}))
    seen = Seen(step=first.row.step, pid=first.pid, last_steps={name: int(curve[0][-1]) for name, curve in first.curves.items()})
    yield "run: first look", lambda: look_at(store, run_id, Seen({}))
    yield "run: tick", lambda: look_at(store, run_id, seen)
    yield "run: facts", lambda: facts_of(store, run_id)
    yield "run: family", lambda: family_of(store, run_id)
    yield "run: draws", lambda: recorded(store, run_id)
    named = {function.__name__: function for function in browser_functions(store)}
    for request in (
        {},
        {"runs": [run_id]},
        {"label": "yes"},
        {"order": "score_low"},
        {"order": "score_high"},
        {"order": "disagreement", "agreement": "disagrees"},
        {"order": "threshold"},
        {"order": "spread"},
        {"event": "opened door", "page": 40},
        {"event": "nothing"},
        {"human": "disagreed"},
    ):
        words = ", ".join(f"{name} {value}" for name, value in request.items()) or "newest"
        yield f"clips: {words}", partial(named["find"], request)
    yield "clips: menus", lambda: named["menus"]({})
    ids = [run.run_id for run in store.runs(limit=COMPARED)]
    yield f"compare: {COMPARED} runs", lambda: compare_view(store, ids)
    yield "compare: choices", lambda: read_choices(store)
    yield f"compare: clips near a step, {COMPARED} runs", lambda: clips_at(store, ids, 100_000)
    yield f"compare: reasons, {COMPARED} runs", lambda: explain(store, ids)
    yield f"compare: scatter, {COMPARED} runs", lambda: store.td_errors_and_scores(ids, 2_000)
    yield (
        f"compare: 4 charts, {COMPARED} runs",
        lambda: metric_curves(store, ids, ("train/td_loss", "train/mean_q", SUCCESS, "eval/episodic_return")),
    )


def _beat(store: Store, run_ids: list[int]) -> None:
    with store._write() as connection:
        connection.execute(update(t.runs).where(t.runs.c.run_id.in_(run_ids)).values(heartbeat_at=time.time()))


class Backends:
    """The processes of the database that work for this one."""

    def __init__(self, store: Store) -> None:
        self._pids: set[int] = set()
        if store._is_postgresql:
            for engine in (store._reading, store._writing):
                event.listen(engine, "checkout", lambda connection, *_: self._pids.add(connection.info.backend_pid))

    def cpu_s(self) -> float:
        """Their CPU time so far."""
        return sum(_cpu_s(psutil.Process(pid)) for pid in self._pids if psutil.pid_exists(pid))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("names", nargs="*", help="only cases whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    studio = Studio.open(options.store)
    backends = Backends(studio.store)
    with studio.store._read() as connection:
        if studio.store._is_postgresql:
            connection.execute(text("SELECT 1"))
    live = make_live(studio.store)
    print(f"{'':58} clock ms  CPU ms: here  database   load")
    for name, work in cases(studio, live):
        if options.names and not any(each in name for each in options.names):
            continue
        work()
        clock, here, there = [], time.process_time(), backends.cpu_s()
        for _ in range(options.rounds):
            began = time.perf_counter()
            to_json(work())
            clock.append(time.perf_counter() - began)
        here, there = (time.process_time() - here) / options.rounds, (backends.cpu_s() - there) / options.rounds
        print(
            f"{name:58} {statistics.median(clock) * 1e3:8.0f} {here * 1e3:12.0f} {there * 1e3:9.0f}  {os.getloadavg()[0]:5.1f}",
            flush=True,
        )
    studio.close()


if __name__ == "__main__":
    main()
