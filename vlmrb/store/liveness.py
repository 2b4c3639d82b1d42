"""Whether a process recorded in the store is still alive."""

from __future__ import annotations

import socket
import time

import psutil

START_TOLERANCE_S = 2.0
"""Start times of one process differ by less than this, those of two processes with the same id by more."""

HEARTBEAT_TIMEOUT_S = 300.0
"""A process on another machine is considered dead after this long without a heartbeat; a local one is checked directly."""


def is_alive(pid: int | None, started_at: float | None, host: str | None, heartbeat_at: float | None) -> bool:
    """Whether the process (same id and start time) is still alive."""
    if pid is None or started_at is None:
        return False
    if host != socket.gethostname():
        return heartbeat_at is not None and time.time() - heartbeat_at < HEARTBEAT_TIMEOUT_S
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started_at) < START_TOLERANCE_S and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:  # it exists but belongs to another user
        return True
    except psutil.Error:
        return False
