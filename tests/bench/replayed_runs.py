"""1,000 runs on one PostgreSQL and one studio, on a small machine (a script, not a test).

    python -m tests.bench.replayed_runs --runs 1000 --seconds 300

1,000 trainers do not fit on one machine, not even simulated ones (`simulate_runs`): what Python does for an exchange takes 10 ms
of CPU. So the statements of an exchange are recorded once, from the store's own code, and PostgreSQL's `pgbench` sends them in
the same transactions, with run, steps and clips of their own, over a connection for each run, at random times, as often as the
runs would. An exchange is that of 60 steps of DoorKey-8x8: the rows of two clips with scores and replay records, a heartbeat, and
a look for live changes, in one transaction; every 33rd has metrics and a record of draws. Where the store is slow, runs come less
often and bring more: --every. Not replayed: pings. Meanwhile a studio answers people, as in `simulate_runs`. Prints a row of
Markdown; CPU is in cores.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
from sqlalchemy import event

from tests.bench.simulate_runs import cpu_of, facts, ms, quantile, view, wait_for
from tests.bench.store_writers import Run
from tests.doorkey import record_clips
from tests.postgres import BINARIES, Server
from tests.store.samples import new_run
from tests.studio_process import studio
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, RunCounters

SPEED = 60  # steps per second of a run
LOG_STEPS = 2_000  # from one exchange with metrics and draws to the next
RECORDED_RUN, RECORDED_STEP, RECORDED_CLIP = 777_777, 480_000_000, 7_770_000
"""What the recorded exchange has where each run will have its own: nothing else in it looks like these."""


def record(server: Server, steps: int, *, logs: bool) -> str:
    """The statements of one exchange, after so many steps, as a script for pgbench."""
    said: list[str] = []
    with Store(server.url) as store, psycopg.connect(server.url) as plain:
        cursor = psycopg.ClientCursor(plain)
        with store._write() as connection:
            connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('runs', 'run_id'), {RECORDED_RUN - 1})")
        run_id = new_run(store)
        run = Run(run_id, record_clips("DoorKey-8x8", 64, lambda _: 0.3, np.random.default_rng(0)))
        run.step, run.rows["clips"] = RECORDED_STEP if logs else RECORDED_STEP + steps // 2, RECORDED_CLIP
        event.listen(store._writing, "begin", lambda _: said.append("BEGIN"))
        event.listen(store._writing, "commit", lambda _: said.append("COMMIT"))
        event.listen(
            store._writing, "before_cursor_execute", lambda _, __, words, given, *___: said.append(cursor.mogrify(words, given))
        )
        writer = store.writer(run_id)
        run.add(writer, steps)
        counters = RunCounters(clips=2, clips_scored=2)
        store.exchange(writer, run.step, status="running", steps_per_second=float(SPEED), counters=counters)
        exchange = ";\n".join(said) + ";\n"  # before the recorded run is deleted
        store.delete_run(run_id)
    return _own_numbers(exchange, steps)


def _own_numbers(exchange: str, every: int) -> str:
    """Each client's run, clips and steps in place of the recorded ones, which count on with every exchange."""
    sets = [r"\set run :client_id + 1", r"\set tick :tick + 1", rf"\set step {every} * :tick"]
    clips, drawn, steps = set[int](), set[int](), set[int]()

    def own(found: re.Match[str]) -> str:
        number = int(found[0])
        if number == RECORDED_RUN:
            return " :run"
        if number // CLIPS_PER_RUN == RECORDED_RUN:
            clip = number % CLIPS_PER_RUN
            (clips if clip >= RECORDED_CLIP else drawn).add(clip % RECORDED_CLIP)
            return f" :{'clip' if clip >= RECORDED_CLIP else 'drawn'}{clip % RECORDED_CLIP}"
        if 0 <= number - RECORDED_CLIP < 100:
            clips.add(number - RECORDED_CLIP)
            return f" :number{number - RECORDED_CLIP}"
        if 0 <= number - RECORDED_STEP < 1_000:
            steps.add(number - RECORDED_STEP)
            return f" :step{number - RECORDED_STEP}"
        return found[0]

    exchange = re.sub(r":(?=\w)", ": ", exchange)  # in JSON; what begins with a colon is one of the numbers below
    exchange = re.sub(r"(?<![\w.])\d{7,}(?![\w.])|(?<![\w.])777777(?![\w.])", own, exchange)
    # rows are text: prepared once, it has to be put together from its parts
    exchange = re.sub(r"'(?:[^']|'')*'", lambda text: re.sub(r" (:\w+)", r" ' || \1 || '", text[0]), exchange)
    for clip in sorted(clips):
        sets += [rf"\set number{clip} {len(clips)} * :tick + {clip}", rf"\set clip{clip} :run * {CLIPS_PER_RUN} + :number{clip}"]
    sets += [rf"\set drawn{clip} :run * {CLIPS_PER_RUN} + {clip}" for clip in sorted(drawn)]
    sets += [rf"\set step{step} :step + {step}" for step in sorted(steps)]
    return "\n".join(sets) + "\n" + exchange


def replay(server: Server, postmaster: psutil.Process, folder: Path, options: argparse.Namespace) -> str:
    """Let pgbench and the people at it for a while."""
    with Store(server.url) as store:
        for _ in range(options.runs):
            new_run(store)
    steps = round(SPEED * options.every)
    for name, logs in (("exchange", False), ("log", True)):
        (folder / f"{name}.sql").write_text(record(server, steps, logs=logs), encoding="utf-8")
    rate = options.runs / options.every
    words: list[Any] = [
        BINARIES[-1].parent / "pgbench",
        "--no-vacuum",
        "--protocol",
        "prepared",
        "--client",
        options.runs,
        "--jobs",
        2,
    ]
    words += ["--rate", rate, "--time", options.seconds, "--define", "tick=0", "--log", "--log-prefix", folder / "times"]
    words += ["--file", f"{folder / 'exchange.sql'}@{LOG_STEPS // steps - 1}", "--file", f"{folder / 'log.sql'}@1"]
    words += ["--host", server._folder, "--username", "postgres", "postgres"]
    times, failures, over = {"table": list[float](), "activity": list[float]()}, list[str](), threading.Event()
    with Store(server.url) as store, studio(server.url) as (port, web):
        wait_for(port)
        viewers = [threading.Thread(target=view, args=(port, over, times, failures)) for _ in range(options.viewers)]
        before = _rows(store)
        with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bench:
            time.sleep(options.warm_up)
            for viewer in viewers:
                viewer.start()
            groups = ([postmaster], [web], [psutil.Process(bench.pid)])
            began, facts_before, used = time.monotonic(), facts(store), [cpu_of(group) for group in groups]
            time.sleep(0.9 * options.seconds - options.warm_up)  # while all are still there
            seconds, facts_after = time.monotonic() - began, facts(store)
            cores = [(cpu_of(group) - each) / seconds for group, each in zip(groups, used, strict=True)]
            over.set()
            out, problems = bench.communicate()
        for viewer in viewers:
            viewer.join()
        rows = _rows(store) - before
    lines = [line.split() for path in folder.glob("times.*") for line in path.read_text().splitlines()]
    took = [int(line[2]) / 1e6 - int(line[6]) / 1e6 for line in lines]  # without what it began late
    late = [int(line[6]) / 1e6 for line in lines]
    failed = re.search(r"number of failed transactions: (\d+)", out)
    errors = (int(failed[1]) if failed else 0) + len(failures) + problems.count("ERROR")
    for each in (*failures[:3], *re.findall("ERROR.*", problems)[:3]):
        print(each)
    per_s = {name: (facts_after[name] - facts_before[name]) / seconds for name in ("bytes", "wal", "commits")}
    return (
        f"| {options.runs} | {len(lines) / options.seconds:,.0f} of {rate:,.0f} | {rows / options.seconds:,.0f} | "
        f"{ms(took)} | "
        f"{quantile(late, 0.99):.2f} | {errors} | "
        f"{per_s['commits']:,.0f} | {per_s['bytes'] / 1e6:.1f} + {per_s['wal'] / 1e6:.1f} | "
        f"{facts_after['connections']:.0f} | {' / '.join(f'{each:.2f}' for each in cores)} | {ms(times['table'])} | "
        f"{os.getloadavg()[0]:.0f} |"
    )


def _rows(store: Store) -> int:
    tables = ("metrics", "episodes", "events", "clips", "clip_data", "scores", "clip_replay", "draws", "drawn_clips")
    with store._read() as connection:
        return sum(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() for table in tables)


def main() -> None:
    """`python -m tests.bench.replayed_runs`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="seconds from one exchange of a run to its next")
    parser.add_argument("--warm-up", type=float, default=20.0, metavar="S", help="of these, not counted for rates")
    parser.add_argument("--viewers", type=int, default=3, metavar="N", help="people looking (default: %(default)s)")
    options = parser.parse_args()
    print(
        "| runs | exchanges/s | rows/s | exchange, ms p50 / p99 | late, s p99 | errors | commits/s | MB/s tables + log | "
        "connections | cores: database / studio / pgbench | table of runs, ms | load |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    server = Server()
    try:
        with (server._folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(f"max_connections = {options.runs + 100}\nshared_buffers = 512MB\nmax_wal_size = 4GB\n")
        server.start()
        postmaster = psutil.Process(int((server._folder / "data" / "postmaster.pid").read_text().split()[0]))
        with tempfile.TemporaryDirectory() as folder:
            print(replay(server, postmaster, Path(folder), options), flush=True)
        server.stop("immediate")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
