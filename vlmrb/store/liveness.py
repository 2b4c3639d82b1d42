"""Whether a process that the store names still lives."""

from __future__ import annotations

import socket
import time

import psutil

START_TOLERANCE_S = 2.0
"""Start times of one process differ by less, those of two with the same id by more."""

HEARTBEAT_TIMEOUT_S = 300.0
"""A process of another machine counts as dead after this long without a heartbeat; here the process itself is looked at."""


def is_alive(pid: int | None, started_at: float | None, host: str | None, heartbeat_at: float | None) -> bool:
    """Whether the process (same id and start time) still lives."""
    if pid is None or started_at is None:
        return False
    if host != socket.gethostname():
        return heartbeat_at is not None and time.time() - heartbeat_at < HEARTBEAT_TIMEOUT_S
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started_at) < START_TOLERANCE_S and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:  # it is there, and another user's
        return True
    except psutil.Error:
        return False
