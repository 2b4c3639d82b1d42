"""Whether a process recorded in the store is still alive, and what 'now' is for all of its machines.

A process on this machine is looked at. One on another machine has a lease: its heartbeats, by the database's clock, are
each good for LEASE_S. Whoever takes a run over writes another owner into its row, and from then on the store refuses what
the process before still writes. The wall clocks of machines are set now and then and agree with no other: nothing here
compares them.
"""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Float, Row
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

START_TOLERANCE_S = 2.0
"""Start times of one process differ by less than this, those of two processes with the same id by more."""

LEASE_S = 300.0
"""A process on another machine is considered dead after this long without a heartbeat."""

WATCH_S = 5.0
"""How long to watch for a heartbeat before taking work from another machine: a run has one about every second."""


class database_time(FunctionElement[float]):
    """Seconds since the epoch by the clock of the database, the same for all of its machines."""

    type = Float()
    inherit_cache = True


@compiles(database_time, "sqlite")
def _of_sqlite(_: database_time, __: SQLCompiler, **___: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"  # unixepoch() gives whole seconds before SQLite 3.42


@compiles(database_time, "postgresql")
def _of_postgresql(_: database_time, __: SQLCompiler, **___: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


def holder(pid: int, started_at: float) -> dict[str, Any]:
    """The columns that say which process has a run, trial or job.

    Args:
        pid: a process on this machine.
        started_at: its creation time as psutil reports it, seconds since the epoch.
    """
    return {"pid": pid, "pid_started_at": started_at, "pid_identity": identity(pid), "host": socket.gethostname()}


def identity(pid: int) -> str | None:
    """What a local process shares with no other, whatever the wall clock does: this boot's id and its start in ticks since.

    None if there is no such process, it has ended, or the system has no /proc. Where there is none, creation times are
    recorded at the start of a process and do not move either.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # the name may hold blanks and brackets
    except OSError:
        return None
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return f"{_boot_id()} {int(fields[19])}"


@functools.cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def is_alive(row: Row[Any], *signs: float | None) -> bool:
    """Whether the process recorded in a row is alive.

    Args:
        row: with the columns of `holder`, and the database's time as `now`.
        signs: when the process gave signs of life, by the database's clock.
    """
    if row.pid is None or row.pid_started_at is None:
        return False
    if row.host != socket.gethostname():
        return silence_s(row, *signs) < LEASE_S
    if row.pid_identity is None:
        return _is_alive_by_clock(row.pid, row.pid_started_at, max(filter(None, signs), default=0.0))
    return identity(row.pid) == row.pid_identity or _is_hidden(row.pid)


def _is_alive_by_clock(pid: int, started_at: float, last_sign: float) -> bool:
    """For rows of a version that recorded the creation time only, which moves when the clock is set."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        now_said = process.create_time()
    except psutil.AccessDenied:  # it exists but belongs to another user
        return True
    except psutil.Error:
        return False
    # a process that was there when the row's owner gave its last sign of life, and has the owner's id, is the owner
    return bool(abs(now_said - started_at) < START_TOLERANCE_S or now_said < last_sign)


def _is_hidden(pid: int) -> bool:
    """Whether the process exists, but belongs to another user and is not shown to this one."""
    if Path(f"/proc/{pid}").exists():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def silence_s(row: Row[Any], *signs: float | None) -> float:
    """Seconds since the last sign of life of the process in a row, by the database's clock."""
    return max(0.0, float(row.now) - max(filter(None, signs), default=0.0))


def watch(row: Row[Any], is_live: Callable[[], bool]) -> None:
    """Watch a process on another machine for a heartbeat, briefly, before treating it as dead."""
    if row.pid is None or row.host in (None, socket.gethostname()):
        return
    gives_up_at = time.monotonic() + WATCH_S
    while not is_live() and time.monotonic() < gives_up_at:
        time.sleep(0.2)
