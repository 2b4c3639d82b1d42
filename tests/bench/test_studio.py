"""Server time of the studio per tick and per page, with 200 runs, 1,000,000 metric rows and 100,000 clips in the store.

Goals: ticks under 100 ms, pages of clips under 200 ms. Measures the Python work from a request to JSON-ready data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from app.comparing import compare_view
from app.pages.clips import browser_functions
from app.pages.run import Seen, look_at
from app.pages.runs import read_table
from app.plain import to_json
from app.studio import Studio
from tests.seeding import seed_store
from vlmrb.store import Store

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    path = tmp_path_factory.mktemp("studio") / "seeded.db"
    seed_store(str(path), runs=200, metric_rows=1_000_000, clips=100_000, rng=np.random.default_rng(0))
    studio = Studio.open(str(path))
    yield studio
    studio.close()


def newest(store: Store) -> int:
    return store.runs(limit=1)[0].run_id


def test_tick_of_the_runs_page(studio: Studio, benchmark: Callable) -> None:
    known = read_table(studio.store, {}).versions
    benchmark(lambda: to_json(read_table(studio.store, {int(run_id): version for run_id, version in known.items()})))


def test_first_look_at_the_runs_page(studio: Studio, benchmark: Callable) -> None:
    benchmark(lambda: to_json(read_table(studio.store, {})))


def test_first_look_at_a_run(studio: Studio, benchmark: Callable) -> None:
    run_id = newest(studio.store)
    benchmark(lambda: to_json(look_at(studio.store, run_id, Seen({}))))


def test_tick_of_a_run(studio: Studio, benchmark: Callable) -> None:
    run_id = newest(studio.store)
    first = look_at(studio.store, run_id, Seen({}))
    seen = Seen(step=first.row.step, pid=first.pid, last_steps={name: int(curve[0][-1]) for name, curve in first.curves.items()})
    benchmark(lambda: to_json(look_at(studio.store, run_id, seen)))


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"label": "yes"},
        {"order": "score_low"},
        {"order": "disagreement", "agreement": "disagrees"},
        {"event": "opened door", "page": 40},
    ],
    ids=lambda request_: ",".join(request_) or "newest",
)
def test_page_of_clips(studio: Studio, benchmark: Callable, request_: dict) -> None:
    find = next(function for function in browser_functions(studio.store) if function.__name__ == "find")
    benchmark(lambda: to_json(find(request_)))


def test_comparison_of_fifteen_runs(studio: Studio, benchmark: Callable) -> None:
    ids = [run.run_id for run in studio.store.runs(limit=15)]
    benchmark(lambda: to_json(compare_view(studio.store, ids)))


def test_thumbnail(studio: Studio, benchmark: Callable) -> None:
    ids = iter(studio.store.clips(limit=2_000))
    studio.playback.thumbnail(next(ids).clip_id)  # the first call compiles
    benchmark.pedantic(lambda: studio.playback.thumbnail(next(ids).clip_id), rounds=300)
