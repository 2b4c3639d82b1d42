"""Data that a training needs, made in parts by several processes and kept, so that an interrupted training goes on there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from vlmrb.pretrain.batches import ignore_interrupts


def make_parts(
    make: Callable[[int], None], missing: Sequence[int], total: int, workers: int, report: Callable[[float], None]
) -> None:
    """Make the parts that do not exist yet.

    Args:
        make: makes the part of a number; picklable.
        missing: their numbers.
        total: how many parts there are when all exist.
        workers: processes; with 0, this one makes them.
        report: gets the share that exists, in [0, 1], after each part.
    """
    done = total - len(missing)
    if workers == 0:
        for number in missing:
            make(number)
            done += 1
            report(done / total)
    elif missing:
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=ignore_interrupts)
        try:
            for _ in pool.map(make, missing):
                done += 1
                report(done / total)
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt waits only for the parts being made
