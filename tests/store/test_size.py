"""How large a store grows and how fast it stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.seeding import seed_store
from tests.store.samples import new_run
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipFilter, ClipReplay, ClipScore, Episode, Event


def grid_clip(run_id: int, number: int, rng: np.random.Generator) -> Clip:
    """32 steps in an 8×8 grid: the agent moves, and something rarely happens."""
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
            writer.add_clip_replay(ClipReplay(run_id * CLIPS_PER_RUN + number, 256 * number, 0.0123, 0.5, 0.00123, 0.000123))
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
    assert [path.name for path in tmp_path.iterdir()] == ["store.db"]  # the write-ahead log has been merged
    assert size * share < 40e6


def fastest(function: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@pytest.mark.slow
def test_lists_stay_fast_with_100_000_clips_and_a_million_metric_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    seed_store(path)
    with Store(path) as store:
        assert store.check() == [] and store.count_clips_found(ClipFilter(superseded=True)) == 100_000
        scored = [run.run_id for run in store.runs() if run.counters.clips]
        for page in pages(store, scored[len(scored) // 2]):
            assert fastest(page) < 0.1
        assert fastest(lambda: store.heartbeat(scored[0], 7)) < 0.02


def pages(store: Store, run_id: int) -> Iterator[Callable[[], object]]:
    """What a studio queries on every tick or page turn."""
    yield store.run_list
    yield lambda: store.curves(range(1, 16), ["eval/success_rate", "rollout/episodic_return"])
    yield lambda: store.metric_names(run_id)
    for wanted in (
        ClipFilter(),
        ClipFilter(run_ids=(run_id,)),
        ClipFilter(label="yes", agreement="disagrees"),
        ClipFilter(event="nothing"),
        ClipFilter(human="disagreed"),
    ):
        yield partial(store.count_clips_found, wanted)
        for order in ("newest", "score_high", "disagreement"):
            yield partial(store.find_clips, wanted, order)


def test_a_seeded_store_is_intact_and_can_be_browsed(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    seed_store(path, runs=20, metric_rows=5_000, clips=500, rng=np.random.default_rng(1))
    with Store(path) as store:
        assert store.check() == [] and len(store.runs()) == 20 and store.count_clips_found(ClipFilter(superseded=True)) == 500
        found = store.find_clips(ClipFilter(event="picked_up key", agreement="agrees"), "score_high")
        assert found and all(clip.progress and clip.score is not None and clip.score.label for clip in found)
        assert store.load_clip(found[0].clip_id).item_ids[0] == found[0].start_step
        assert all(0 <= item.best_success <= 1 for item in store.run_list())
        assert len(store.td_errors_and_scores((), 100)) == 100 and store.clip_replay(found[0].clip_id) is not None
