"""How large a store grows and how quick it stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from tests.store.samples import new_run
from vlmrb.store import Store, tables
from vlmrb.store.records import clip_rows, score_row
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipScore, Episode, Event


def grid_clip(run_id: int, number: int, rng: np.random.Generator) -> Clip:
    """32 steps in an 8×8 grid: the agent moves, seldom something happens."""
    snapshots = np.repeat(rng.integers(0, 11, (1, 205), dtype=np.uint8), 32, axis=0)
    snapshots[:, 192] = rng.integers(0, 64, 32)
    snapshots[:, 193] = rng.integers(0, 4, 32)
    events = tuple((int(at), Event("opened", "door", "yellow")) for at in sorted(rng.integers(0, 32, rng.integers(0, 4))))
    item_ids = number % 8 + 8 * np.arange(32) + 256 * (number // 8)
    return Clip(
        run_id * CLIPS_PER_RUN + number, number % 8, number // 4, item_ids, snapshots, np.zeros(32, np.float32), events, "length"
    )


def test_a_run_of_200_000_steps_stays_far_below_100_megabytes(tmp_path: Path) -> None:
    share = 10  # a tenth of such a run
    rng = np.random.default_rng(0)
    with Store(str(tmp_path / "store.db")) as store:
        run_id = new_run(store)
        writer = store.writer(run_id)
        for number in range(10_000 // share):
            writer.add_clip(grid_clip(run_id, number, rng))
            answer = ClipScore(run_id * CLIPS_PER_RUN + number, 0.5, 1.234, -3.21, 0.5, "hf:facebook/Perception-LM-1B",
                               "facebook/Perception-LM-1B", "f" * 40, None, tuple(range(0, 32, 4)), 0.0213)  # fmt: skip
            writer.add_score(answer)
            if number % 20 == 0:
                writer.flush()
        for step in range(100_000 // share):
            writer.add_event(step, step % 8, Event("opened", "door", "yellow"))
        for step in range(0, 200_000 // share, 200):
            writer.add_episode(Episode(step, step % 8, step, 2**30 - step, 200, 0.5, True))
        for step in range(0, 200_000 // share, 2_000):
            for name in range(20):
                writer.add_metric(f"train/metric_{name}", step, 0.123)
        writer.flush()
    size = (tmp_path / "store.db").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["store.db"]  # the log has been folded in
    assert size * share < 40e6


def quickest(function: Callable[[], object], times: int = 5) -> float:
    """Seconds of the quickest of several calls."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@pytest.mark.slow
def test_lists_stay_quick_with_100_000_clips_and_a_million_metric_rows(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        middle = fill_by_far(store)
        assert_quick(store, middle)


def fill_by_far(store: Store) -> int:
    rng = np.random.default_rng(0)
    rows = [clip_rows(1, grid_clip(1, number, rng))[0] for number in range(1_000)]
    runs = [new_run(store) for _ in range(10)]
    with store._write() as connection:
        for run_id in runs:
            for block in range(10):
                numbers = range(1_000 * block, 1_000 * (block + 1))
                ids = [run_id * CLIPS_PER_RUN + number for number in numbers]
                shifted = zip(ids, numbers, rows, strict=True)
                connection.execute(insert(tables.clips), [
                    {**row, "clip_id": clip_id, "run_id": run_id, "number": number, "score_id": clip_id,
                     "label": number % 50 == 0, "probability": 0.5} for clip_id, number, row in shifted
                ])  # fmt: skip
                answers = [
                    score_row(run_id, ClipScore(clip_id, 0.5, None, None, 0.5, "oracle", "oracle", "", None)) for clip_id in ids
                ]
                connection.execute(insert(tables.scores), [{**row, "score_id": row["clip_id"]} for row in answers])
            steps = [
                {"run_id": run_id, "name": f"m{name}", "step": 40 * step, "value": 0.5}
                for name in range(20)
                for step in range(5_000)
            ]
            connection.execute(insert(tables.metrics), steps)
    return runs[5]


def assert_quick(store: Store, middle: int) -> None:
    for page in (
        lambda: store.clips(),
        lambda: store.clips(middle),
        lambda: store.clips(middle, label=True),
        lambda: store.clips(middle, label=False, order="oldest", after=middle * CLIPS_PER_RUN + 5_000),
        lambda: store.clips(middle, event="opened"),
        lambda: store.clips(event="opened door"),
        lambda: store.clips(middle, event="nothing"),
        lambda: store.metrics(middle, "m7", since_step=190_000),
        lambda: store.metric_names(middle),
        lambda: store.run(middle),
    ):
        assert quickest(page) < 0.02
    assert quickest(lambda: store.clips(event="nothing")) < 0.2  # looks at all of them
    assert quickest(lambda: store.heartbeat(middle, 7)) < 0.02
