"""Benchmarks: run explicitly (`python -m pytest tests/bench -m bench`), never with the test suite; no timed assertions.

Most compare two implementations in one session, in turns, and print the ratio of their medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest


def paired(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, measured in turns: ours, theirs, ours, theirs, …"""
    times: tuple[list[float], list[float]] = ([], [])
    for function in (ours, theirs):
        function()
    for _ in range(rounds):
        for function, taken in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            function()
            taken.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


@pytest.fixture
def compare(benchmark, capsys) -> Callable[..., float]:
    """compare(name, ours, theirs, rounds): print both medians and their ratio theirs / ours, and return the ratio."""

    def run(name: str, ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 200) -> float:
        mine, other = paired(ours, theirs, rounds)
        benchmark.extra_info.update(ours_s=mine, theirs_s=other, ratio=other / mine)
        benchmark.pedantic(ours, rounds=1)
        with capsys.disabled():
            print(f"\n{name}: {mine * 1e6:,.0f} µs versus {other * 1e6:,.0f} µs, ratio {other / mine:.2f}")
        return other / mine

    return run
