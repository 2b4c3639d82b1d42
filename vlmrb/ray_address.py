"""Where a Ray cluster is, without importing Ray."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path


def running_here() -> str:
    """The address that `ray start` has noted for this machine, or ''."""
    with suppress(OSError):
        return (Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster").read_text().strip()
    return ""


def unreachable(host: str, port: int) -> str:
    """Why nothing listens there, or '': Ray itself would try for minutes."""
    try:
        socket.create_connection((host.strip("[]"), port), 3.0).close()
    except OSError as error:
        return str(error)
    return ""
