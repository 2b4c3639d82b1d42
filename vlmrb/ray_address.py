"""Where a Ray cluster is, without importing Ray."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from vlmrb.hosts import is_loopback

TOKEN_WORDS = "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"


def running_here() -> str:
    """The address that `ray start` has noted for this machine, or ''."""
    with suppress(OSError):
        return (Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster").read_text().strip()
    return ""


def use_token(address: str) -> None:
    """Let Ray show this user's token to a cluster on this machine, if there is one and nothing else was asked for.

    Ray does this for a cluster that it finds by itself, not for a given address, where the token might get into other hands.
    Must come before Ray is imported.

    Args:
        address: HOST:PORT of the cluster, or '' for one that is about to be started here.
    """
    here = not address or address == running_here() or is_loopback(address.rpartition(":")[0])
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    if here and (os.environ.get("RAY_AUTH_TOKEN") or Path(path).is_file()):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def unreachable(host: str, port: int) -> str:
    """Why nothing listens there, or '': Ray itself would try for minutes."""
    try:
        socket.create_connection((host.strip("[]"), port), 3.0).close()
    except OSError as error:
        return str(error)
    return ""
