"""Waiting for a store that is busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from vlmrb.errors import StoreBusyError

Result = TypeVar("Result")

PATIENCE_S = 600.0


def patiently(work: Callable[[], Result], seconds: float = PATIENCE_S) -> Result:
    """Do the work, again and again while the store is busy; it must be safe to repeat.

    Raises:
        StoreBusyError: the store is still busy after `seconds`.
    """
    gives_up_at = time.monotonic() + seconds
    while True:
        try:
            return work()
        except StoreBusyError:
            if time.monotonic() >= gives_up_at:
                raise
            time.sleep(0.5)
