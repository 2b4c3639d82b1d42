"""What a checkpoint costs in a folder and in an object store, in seconds and bytes.

    python -m tests.bench.checkpoints [--items 300000]

The object store is moto's S3 in this process, on loopback: its seconds are mostly its own. Bytes are those that went over the
line.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import s3
from vlmrb.checkpoint import save_checkpoint
from vlmrb.places import RESUME, FolderPlace, Mirror, Remote
from vlmrb.replay import ReplayBuffer
from vlmrb.replay.methods.per import PrioritizedSampler
from vlmrb.types import ObservationSpec, Transition

AT_ONCE = 1_000


def filled_buffer(items: int, seed: int = 0) -> ReplayBuffer:
    """A buffer as that of a run of MiniGrid, full of what compresses as badly as can be."""
    rng = np.random.default_rng(seed)
    spec = ObservationSpec("grid", (149,), "uint8", (7, 7, 3), (4, 11))
    buffer = ReplayBuffer(items, spec, PrioritizedSampler(items), rng, n_envs=AT_ONCE, n_step=3, gamma=0.99)
    for _ in range(items // AT_ONCE):
        seen = rng.integers(0, 11, (2, AT_ONCE, *spec.shape), np.uint8)
        ended = rng.random((2, AT_ONCE)) < 0.01
        buffer.add(Transition(seen[0], rng.integers(0, 7, AT_ONCE), rng.random(AT_ONCE, np.float32), seen[1], ended[0], ended[1]))
    return buffer


def save(place: FolderPlace | Mirror, step: int, buffer: ReplayBuffer) -> None:
    """Write a checkpoint with this buffer, as a run does."""
    state = buffer.state_dict()
    arrays = {f"buffer.{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
    numbers = {f"buffer.{name}": value for name, value in state.items() if not isinstance(value, np.ndarray)}
    save_checkpoint(place.folder / RESUME, step, {"numbers": numbers}, {}, arrays)
    place.written(RESUME, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=300_000)
    items = parser.parse_args().items
    buffer = filled_buffer(items)
    with tempfile.TemporaryDirectory() as name, s3.running() as endpoint, pytest.MonkeyPatch.context() as monkeypatch:
        folder, line = Path(name), s3.Line(endpoint)
        s3.reach(line.endpoint, monkeypatch)
        url = f"{s3.make_bucket(line.endpoint)}/run-1"

        def timed(what: str, work: Callable[[], Any]) -> Any:
            line.sent = line.received = 0
            began = time.perf_counter()
            result = work()
            seconds = time.perf_counter() - began
            print(f"{what:55} {seconds:7.2f} s {line.sent / 1e6:9.3f} MB sent {line.received / 1e6:9.3f} MB received", flush=True)
            return result

        local = FolderPlace(folder / "local")
        timed(f"folder: write {items:,} items", lambda: save(local, items, buffer))
        (found,) = local.checkpoints(RESUME)
        print(f"{found.size / 1e6:.1f} MB in {len(found.sizes)} files")
        timed("folder: load", lambda: local.load(RESUME))
        here = Mirror(folder / "here", Remote(url))
        here.load(RESUME)
        timed("S3: write, training waits no longer", lambda: save(here, items, buffer))
        timed("S3: sent in the background", lambda: here.finish(600.0))
        timed("S3: nothing new to send", lambda: (here.written(RESUME, 2), here.finish(600.0)))
        timed("S3: list, sizes, settings", lambda: [each.settings() for each in here.checkpoints(RESUME)])
        timed("S3: load, on a machine that has it", lambda: Mirror(folder / "here", Remote(url)).load(RESUME))
        timed("S3: load, on another machine", lambda: Mirror(folder / "there", Remote(url)).load(RESUME))
        (found,) = here.checkpoints(RESUME)
        timed("S3: give it to a branch", lambda: Mirror(folder / "b", Remote(f"{url}-b")).add("parent", found))
        line.close()


if __name__ == "__main__":
    main()
