"""How much memory this machine has left, also in a container, and giving back what is no longer used."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil

CGROUPS = Path("/sys/fs/cgroup")

_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # of glibc's malloc.h


def available_memory() -> int:
    """Bytes that this process could still take: what is available on the machine, and within the limits of its cgroups."""
    left = [int(psutil.virtual_memory().available)]
    left += [room for folder in _cgroups() if (room := _room(folder)) is not None]
    return max(0, min(left))


def _cgroups() -> list[Path]:
    """Folders of this process's cgroups (version 2), from its own up to the root; empty where there are none."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            hierarchy, _, path = line.split(":", 2)
            if hierarchy == "0":
                own = PurePosixPath(path)
                return [CGROUPS / str(each).lstrip("/") for each in (own, *own.parents)]
    return []


def _room(folder: Path) -> int | None:
    """Bytes that a cgroup has left, None without a limit. Cached files count as free: they give way."""
    with suppress(OSError, ValueError):  # ValueError: 'max' stands for no limit
        limit, used = int((folder / "memory.max").read_text()), int((folder / "memory.current").read_text())
        stat = dict(line.split(" ", 1) for line in (folder / "memory.stat").read_text().splitlines())
        return limit - used + int(stat.get("inactive_file", 0))
    return None


def share_memory_among_threads() -> None:
    """Let all threads allocate from two pools, and return pictures to the system as soon as they are freed.

    A pool for each thread, as is usual, adds hundreds of megabytes to a server that draws. So do gaps that freed pictures leave
    in a pool: the limit above which a block is no part of one rises with what is freed, unless it is fixed.
    """
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, 2**20)


def give_back_memory() -> None:
    """Return freed memory to the system, where the C library can: allocators keep it, and each thread has one of its own."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # glibc alone has it; on Windows there is no library of that name
        ctypes.CDLL(None).malloc_trim(0)


def in_gib(size: float) -> str:
    """A number of bytes for people."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
