"""Waiting for what a test expects, never for time."""

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
        condition: what is expected; it may raise to give up at once, as where a process has died.
        what: what is awaited, for the message; a callable is asked only once it is too late, as for the end of a log.
        timeout_s: seconds after which the test fails; the result never depends on it.

    Raises:
        AssertionError: the condition did not hold in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what() if callable(what) else what}")
        time.sleep(POLL_S)
    return found


def has_ended(process: psutil.Process) -> bool:
    """Whether it no longer runs; without its parent it may stay a zombie for good."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
