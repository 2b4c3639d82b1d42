"""Benchmarks: run by name (`python -m pytest tests/bench -m bench`), never with the test suite, and never with a timed assertion.

Each compares two things side by side in one run, in turn, and prints the ratio of their medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest


def paired(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, measured in turn: ours, theirs, ours, theirs, …"""
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
    """compare(name, ours, theirs, rounds): prints both medians and theirs / ours, and returns that ratio."""

    def run(name: str, ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 200) -> float:
        mine, other = paired(ours, theirs, rounds)
        benchmark.extra_info.update(ours_s=mine, theirs_s=other, ratio=other / mine)
        benchmark.pedantic(ours, rounds=1)
        with capsys.disabled():
            print(f"\n{name}: {mine * 1e6:,.0f} µs against {other * 1e6:,.0f} µs, ratio {other / mine:.2f}")
        return other / mine

    return run
