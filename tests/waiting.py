"""Waits for conditions, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

Found = TypeVar("Found")
POLL_S = 0.05


def wait_until(condition: Callable[[], Found], what: str | Callable[[], str], timeout_s: float = 120.0) -> Found:
    """Poll `condition` until it holds, and return its first true value.

    Args:
        condition: what to wait for; it may raise to give up at once, for instance if a process has died.
        what: description of the condition for the message; a callable (such as one that reads a log) is called only on failure.
        timeout_s: seconds after which the test fails; a passing result never depends on it.

    Raises:
        AssertionError: the condition did not hold in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out after {timeout_s:.0f} s waiting for {what() if callable(what) else what}")
        time.sleep(POLL_S)
    return found


def has_ended(process: psutil.Process) -> bool:
    """Whether the process has ended; without its parent it may remain a zombie forever."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
