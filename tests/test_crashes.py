"""A thousand kills and a hundred power cuts, at random moments of a run: nothing is lost, nothing doubled, and it resumes.

Slow. `VLMRB_KILLS` and `VLMRB_POWER_CUTS` set other numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import struct
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

from tests.endless import assert_whole, endless_run
from tests.forked import FORKED
from tests.waiting import has_ended, wait_until
from vlmrb.store import Store
from vlmrb.train import resume

KILLS = int(os.environ.get("VLMRB_KILLS", "1000"))
POWER_CUTS = int(os.environ.get("VLMRB_POWER_CUTS", "100"))
CHECK_EVERY = 25
DATABASE, SYNCED = "store.db", "synced.json"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


def _train(database: str, run_id: int, synced: str) -> None:
    """Resume a run and note after each durable write how much of the write-ahead log is safe from a power cut."""
    store = Store(database)
    heartbeat = store.heartbeat

    def noting(*args: object, durable: bool = False, **figures: object) -> None:
        heartbeat(*args, durable=durable, **figures)
        if durable:
            note = Path(f"{synced}.new")
            note.write_text(json.dumps(log_end(Path(f"{database}-wal"))))
            note.replace(synced)

    store.heartbeat = noting
    resume(run_id, store=store)


def log_end(log: Path) -> tuple[str, int, int]:
    """Of SQLite's write-ahead log: its salt, its bytes up to the last valid frame, and bytes of one frame.

    Frames of before the log was last begun anew are still in the file and have another salt (sqlite.org/fileformat2.html).
    """
    content = log.read_bytes() if log.exists() else b""
    if len(content) < 32:
        return "", 0, 0
    salt, frame = content[16:24], 24 + struct.unpack(">I", content[8:12])[0]
    end = 32
    while len(content) >= end + frame and content[end + 8 : end + 16] == salt:
        end += frame
    return salt.hex(), end, frame


def cut_power(folder: Path, rng: random.Random) -> None:
    """Undo what the disk may not have got: the log after its last sync, shared memory, and unfinished files."""
    log, memory, synced = folder / f"{DATABASE}-wal", folder / f"{DATABASE}-shm", folder / SYNCED
    salt, end, frame = log_end(log)
    if end:
        safe_salt, safe, _ = json.loads(synced.read_text()) if synced.exists() else ("", 0, 0)
        copied = struct.unpack("=I", memory.read_bytes()[128:132])[0]  # frames that were synced to be copied into the database
        lowest = max(safe if safe_salt == salt else 0, 32 + copied * frame)
        os.truncate(log, rng.randint(min(lowest, end), end))
    memory.unlink(missing_ok=True)
    for file in folder.rglob("*"):
        if file.is_file() and any(part.startswith(".step-") for part in file.relative_to(folder).parts):
            os.truncate(file, rng.randint(0, file.stat().st_size))


def started(run_id: int, folder: Path) -> BaseProcess:
    process = FORKED.Process(target=_train, args=(str(folder / DATABASE), run_id, str(folder / SYNCED)))
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    """Kill a trainer, if it is still there, and wait until its scoring process has ended as well."""
    assert process.pid is not None
    helpers = []
    with contextlib.suppress(psutil.NoSuchProcess):
        helpers = psutil.Process(process.pid).children(recursive=True)
    assert process.is_alive(), f"the trainer ended by itself with {process.exitcode}"
    process.kill()
    process.join()
    wait_until(lambda: all(has_ended(helper) for helper in helpers), "the killed trainer's scoring process to end")


def check_rows(store: Store, run_id: int) -> set[int]:
    """Nothing is damaged or doubled, every clip has its frames; returns all clips."""
    assert store.check() == []
    ends = Counter((episode.env_index, episode.step) for episode in store.episodes(run_id))
    assert max(ends.values(), default=1) == 1, "an episode is stored twice"
    return {clip.clip_id for clip in store.clips(run_id, superseded=True, limit=10**6)}


def check_end(store: Store, run_id: int, folder: Path) -> None:
    """The run still trains; every step is in exactly one clip, and every clip is labelled."""
    process, before = started(run_id, folder), store.run(run_id).step
    wait_until(lambda: store.run(run_id).step > before + 1_000 or not process.is_alive(), "1,000 more steps", 600)
    store.request_change(run_id, "stop")
    process.join()
    assert (process.exitcode, store.run(run_id).status) == (0, "stopped")
    assert_whole(store, run_id)


def test_a_run_that_is_killed_a_thousand_times_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rng, seen = random.Random(0), set()
    with Store(str(tmp_path / DATABASE)) as store:
        run_id = endless_run(store)
        for number in range(KILLS):
            process, before = started(run_id, tmp_path), store.run(run_id).step
            if rng.random() < 0.7:  # while it learns, evaluates and writes checkpoints; otherwise while it starts or resumes
                wait_until(lambda: store.run(run_id).step != before or not process.is_alive(), "the run to go on", 600)  # noqa: B023
            time.sleep(rng.uniform(0.0, 1.5))
            kill(process)
            assert store.run(run_id).status in ("created", "interrupted")
            if number % CHECK_EVERY == 0 or number == KILLS - 1:
                now = check_rows(store, run_id)
                assert seen <= now, "a stored clip has disappeared"
                seen = now
        check_end(store, run_id, tmp_path)
        assert seen <= check_rows(store, run_id)


def test_after_every_power_cut_the_store_opens_and_the_run_resumes(tmp_path: Path) -> None:
    rng = random.Random(0)
    files = [tmp_path / f"{DATABASE}{end}" for end in ("", "-wal", "-shm")]
    with Store(str(tmp_path / DATABASE)) as store:
        run_id = endless_run(store)
    for _ in range(POWER_CUTS):
        with Store(str(tmp_path / DATABASE)) as store:
            process, before = started(run_id, tmp_path), store.run(run_id).step
            wait_until(lambda: store.run(run_id).step != before or not process.is_alive(), "the run to go on", 600)  # noqa: B023
            time.sleep(rng.uniform(0.0, 1.5))
            kill(process)
            left = {file: file.read_bytes() for file in files}
        for file, content in left.items():  # the store that was closed just now has tidied up
            file.write_bytes(content)
        cut_power(tmp_path, rng)
        with Store(str(tmp_path / DATABASE)) as store:
            check_rows(store, run_id)
    with Store(str(tmp_path / DATABASE)) as store:
        check_end(store, run_id, tmp_path)
