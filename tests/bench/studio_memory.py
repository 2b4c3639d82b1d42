"""Memory of the studio while somebody browses clips of grids and robots for a while (a script, not a test).

    python -m tests.bench.studio_memory --minutes 15
    python -m tests.bench.studio_memory --minutes 120 --pause 5          # as people do: each looks at a clip for five seconds
    python -m tests.bench.studio_memory --minutes 15 --store runs.db     # clips of your own

Six readers at once fetch thumbnails, all frames and videos of clips in random order, from a studio in a process of its own.
Without --store the clips are those of the demo and of a robot's scripted play, recorded first. Prints a line of Markdown per
minute, and ends with status 1 if the studio and its processes ever took more than --most MB together.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from app.demo import ARCHIVE, STORE, unpack
from tests.studio_process import studio
from tests.waiting import wait_until
from vlmrb.assets import asset_path
from vlmrb.config import make_config
from vlmrb.store import Store
from vlmrb.types import ClipFilter

MIB = 2**20
READERS = 6
VIDEOS = 0.1  # of the clips that are looked at
MOST_CLIPS = 20_000
PLAY_STEPS = 8_000


def recorded(folder: Path) -> Path:
    """A store with the demo's clips of grids, and some of a robot."""
    from vlmrb.train import train

    unpack(asset_path(ARCHIVE), folder)
    with Store(str(folder / STORE)) as store:
        config = make_config(
            env="scene-singletask-task1-v0", algo="sac", replay="uniform", n_envs=4, play_steps=PLAY_STEPS,
            total_steps=PLAY_STEPS, learning_starts=2 * PLAY_STEPS, eval_episodes=1, hidden_size=16,
        )  # fmt: skip
        train(config, store=store)
    return folder / STORE


def clips_of(path: Path) -> Iterator[int]:
    """Clips in random order, without end."""
    with Store(str(path), create=False) as store:
        ids = [clip.clip_id for clip in store.find_clips(ClipFilter(), "newest", limit=MOST_CLIPS)]
    rng = random.Random(0)
    while True:
        rng.shuffle(ids)
        yield from ids


class Readers:
    """Threads that fetch pictures of clips until `stop` is set."""

    def __init__(self, url: str, clips: Iterator[int], pause_s: float) -> None:
        self.stop = threading.Event()
        self.seen = self.failed = 0
        self._pause_s = pause_s
        self._url, self._clips, self._lock, self._rng = url, clips, threading.Lock(), random.Random(1)
        self._threads = [threading.Thread(target=self._read, daemon=True) for _ in range(READERS)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        while not self.stop.is_set():
            with self._lock:
                clip, video = next(self._clips), self._rng.random() < VIDEOS
            failed = sum(not self._fetch(clip, kind) for kind in ("thumbnail", "sheet", *["video"] * video))
            with self._lock:
                self.seen, self.failed = self.seen + 1, self.failed + failed
            self.stop.wait(self._pause_s)

    def _fetch(self, clip: int, kind: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}studio/clip/{clip}/{kind}", timeout=300) as reply:
                return len(reply.read()) > 0
        except OSError:
            return False

    def end(self) -> None:
        """Stop, once what is being fetched has come."""
        self.stop.set()
        for thread in self._threads:
            thread.join()


def megabytes(process: psutil.Process) -> list[int]:
    """Resident memory of the studio and each process of its own. Pages that they share count in each."""
    found = []
    for each in (process, *process.children(recursive=True)):
        try:
            found.append(each.memory_info().rss // MIB)
        except psutil.NoSuchProcess:
            continue
    return found


def browse(path: Path, minutes: float, pause_s: float) -> int:
    """Browse and print; gives the most MB that the studio took."""
    most = 0
    print("| minutes | clips | failed | MB of the studio | of its other processes |\n|---|---|---|---|---|")
    with studio(str(path)) as (port, process):
        wait_until(lambda: bool(process.net_connections()), "the studio to listen", 60)
        readers = Readers(f"http://127.0.0.1:{port}/", clips_of(path), pause_s)
        began = said = time.monotonic()
        while (now := time.monotonic()) < began + 60 * minutes:
            own, *others = megabytes(process)
            most = max(most, own + sum(others))
            if now >= said:
                words = ", ".join(map(str, others)) or "–"
                print(f"| {(now - began) / 60:.0f} | {readers.seen} | {readers.failed} | {own} | {words} |", flush=True)
                said += 60
            time.sleep(1)
        readers.end()
    return most


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.studio_memory", description="Memory of the studio over time.")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--pause", type=float, default=0, metavar="S", help="seconds that each reader looks at a clip")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--most", type=int, default=1_000, help="MB in all")
    chosen = parser.parse_args()
    os.environ.setdefault("MUJOCO_GL", "egl")
    with tempfile.TemporaryDirectory() as temporary:
        most = browse(chosen.store or recorded(Path(temporary) / "demo"), chosen.minutes, chosen.pause)
    print(f"at most {most} MB, allowed: {chosen.most}")
    return int(most > chosen.most)


if __name__ == "__main__":
    sys.exit(main())
