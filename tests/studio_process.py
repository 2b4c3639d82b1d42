"""The studio as users start it: a process of its own, on a free port of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def studio(url: str) -> Iterator[tuple[int, psutil.Process]]:
    """A studio for this store, with its port; it may not end by itself. It takes some seconds until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "--no-open", "--port", str(port), "--store", url], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        yield port, psutil.Process(process.pid)
        assert process.poll() is None, "the studio has ended"
    finally:
        process.terminate()
        process.wait()
