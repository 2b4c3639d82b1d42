"""Long deletions and updates in short transactions: everybody else waits while one lasts."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import ColumnElement, Connection, Table, delete, select, tuple_

from vlmrb.store.patience import patiently

LOCK_S = 0.1
"""How long a transaction should hold the write lock; the next one is smaller if it held it longer."""

FIRST_BATCH, LARGEST_BATCH = 50, 5_000  # rows; a clip can have megabytes of frames


def in_batches(begin: Callable[[], AbstractContextManager[Connection]], step: Callable[[Connection, int], int]) -> None:
    """Call `step` with a number of rows, each time in a transaction of its own, until it finds nothing more to do.

    A store that becomes busy is waited for: what has begun should not stay half done.

    Args:
        begin: opens a writing transaction.
        step: works on at most that many rows; returns on how many.
    """

    def batch() -> tuple[int, float]:
        with begin() as connection:
            locked_at = time.monotonic()
            done = step(connection, rows)
        return done, time.monotonic() - locked_at

    rows = FIRST_BATCH
    while True:
        done, held = patiently(batch)
        if done == 0:
            return
        rows = min(LARGEST_BATCH, rows * 2) if held < LOCK_S / 2 else max(1, int(rows * LOCK_S / 2 / max(held, 1e-3)))
        time.sleep(min(held, LOCK_S) / 2)  # SQLite's lock has no queue: let those who wait try


def delete_some(connection: Connection, table: Table, condition: ColumnElement[bool], rows: int) -> int:
    """Delete at most this many of the rows that match; returns how many."""
    keys = list(table.primary_key)
    found = connection.execute(select(*keys).where(condition).limit(rows)).all()
    if not found:
        return 0
    if len(keys) == 1:
        chosen = keys[0].in_([row[0] for row in found])
    else:
        chosen = tuple_(*keys).in_([tuple(row) for row in found])
    connection.execute(delete(table).where(chosen))
    return len(found)
