"""What a run costs, by environment, agent and scorer: CPU seconds, rows, bytes in the store, bytes of a checkpoint.

    python -m tests.bench.costs [--only TEXT] [--json FILE]

Each kind of run is trained for a few and for more steps, in processes and SQLite stores of their own. The difference is what
more steps cost; what starting, loading a model and the one evaluation at the end cost is given apart. CPU time is that of the
learner and of its scoring process together. The checkpoint is that of a buffer with 300,000 transitions. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.scoring.conftest import save_idefics3

TABLES = ("metrics", "episodes", "events", "clips", "clip_data", "scores", "clip_replay", "draws", "drawn_clips")
GRID_STEPS, ROBOT_STEPS = (3_000, 12_000), (1_000, 3_500)
LEARNING_STARTS = 500
TINY = "hf:TINY"  # the folder is filled in
GRID = {"env": "DoorKey-8x8", "algo": "dqn", "replay": "vlm"}
ROBOT = {"env": "scene-singletask-task1-v0", "algo": "sac", "replay": "vlm"}
CASES: dict[str, dict[str, str]] = {
    "DoorKey-5x5, DQN, oracle": {**GRID, "env": "DoorKey-5x5", "scorer": "oracle"},
    "DoorKey-8x8, DQN, uniform (no scorer)": {**GRID, "replay": "uniform"},
    "DoorKey-8x8, DQN, oracle": {**GRID, "scorer": "oracle"},
    "DoorKey-8x8, DQN, embedded": {**GRID, "scorer": "embedded"},
    "DoorKey-8x8, DQN, hf: (tiny)": {**GRID, "scorer": TINY},
    "DoorKey-8x8, IQN, oracle": {**GRID, "algo": "iqn", "scorer": "oracle"},
    "scene, SAC, oracle": {**ROBOT, "scorer": "oracle"},
    "scene, SAC, embedded": {**ROBOT, "scorer": "embedded:robots"},
}


@dataclass(frozen=True, slots=True)
class Used:
    """What one run used."""

    steps: int
    cpu_s: float
    wall_s: float
    rows: dict[str, int]
    store_bytes: int
    checkpoint_bytes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What 1,000 more steps cost, and what a run costs at its start."""

    name: str
    start_cpu_s: float
    cpu_s: float
    rows: dict[str, float]
    store_bytes: float
    checkpoint_bytes: float
    bare_checkpoint_bytes: float


def train(settings: dict[str, str], steps: int, folder: Path) -> Used:
    """One run in a process of its own."""
    folder.mkdir()
    store = folder / "store.db"
    options = {**settings, "total-steps": steps, "learning-starts": LEARNING_STARTS, "keep-checkpoints": f"every:{steps // 2}"}
    words = [sys.executable, "-m", "vlmrb", "train", "--quiet", "--json", "--store", str(store)]
    began = time.monotonic()
    words += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)  # with the processes that it waited for: that of its scorer
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{settings}: exit status {process.returncode}"
    with closing(sqlite3.connect(store)) as connection:
        rows = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
    kept = min(folder.rglob("kept/every/step-*"))  # the first one: the last has no buffer if the run had finished
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    return Used(steps, used.ru_utime + used.ru_stime, wall, rows, store.stat().st_size, size)


def measure(name: str, settings: dict[str, str], folder: Path) -> Cost:
    """Train for a few and for more steps and take the difference."""
    few, more = ROBOT_STEPS if settings["algo"] == "sac" else GRID_STEPS
    short, long = train(settings, few, folder / "short"), train(settings, more, folder / "long")
    thousands = (more - few) / 1_000
    cpu = (long.cpu_s - short.cpu_s) / thousands
    checkpoint = (long.checkpoint_bytes - short.checkpoint_bytes) / (thousands / 2)  # written halfway
    return Cost(
        name,
        short.cpu_s - cpu * few / 1_000,
        cpu,
        {table: (long.rows[table] - short.rows[table]) / thousands for table in TABLES},
        (long.store_bytes - short.store_bytes) / thousands,
        checkpoint,
        short.checkpoint_bytes - checkpoint * few / 2_000,
    )


def main() -> None:
    """`python -m tests.bench.costs`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds of runs whose name has this in it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    found = []
    print("| run | CPU s per 1,000 steps | CPU s to start | rows per 1,000 steps | clips | kB in the store | MB checkpoint |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="vlmrb-costs-") as folder:
        model = save_idefics3(Path(folder) / "model")
        train({**GRID, "scorer": "oracle"}, 2 * LEARNING_STARTS, Path(folder) / "warm-up")  # compiles what is kept compiled
        for number, (name, settings) in enumerate(CASES.items()):
            if arguments.only not in name:
                continue
            place = Path(folder) / str(number)
            place.mkdir()
            filled = {key: value.replace("TINY", str(model)) for key, value in settings.items()}
            cost = measure(name, filled, place)
            found.append(cost)
            rows, full = sum(cost.rows.values()), cost.bare_checkpoint_bytes + 300 * cost.checkpoint_bytes
            print(
                f"| {name} | {cost.cpu_s:.2f} | {cost.start_cpu_s:.1f} | {rows:.0f} | {cost.rows['clips']:.1f} | "
                f"{cost.store_bytes / 1e3:.0f} | {full / 1e6:.0f} |",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cost) for cost in found], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
