"""Where a Ray cluster is and who may use it, without importing Ray."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from vlmrb.errors import LauncherError
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


def make_token() -> None:
    """Let the cluster that is about to be started here ask for this user's token, so that other users cannot run code in it.

    Nothing changes where RAY_AUTH_MODE says what is wanted. Must come before Ray is imported.

    Raises:
        LauncherError: the token cannot be made.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return
    done = ray_command("get-auth-token", "--generate")
    words = " ".join((done.stderr or done.stdout).split()[-40:])
    if done.returncode != 0 and "No such command" not in words:  # old versions have no tokens
        raise LauncherError(
            f"on: Ray could not make a token for a cluster on this machine: {words}; see that ~/.ray can be written, or set "
            "RAY_AUTH_MODE=disabled for a cluster that every user of this machine can use"
        )
    use_token("")


def ray_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Ray's command line to its end."""
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def unreachable(host: str, port: int) -> str:
    """Why nothing listens there, or '': Ray itself would try for minutes."""
    try:
        socket.create_connection((host.strip("[]"), port), 3.0).close()
    except OSError as error:
        return str(error)
    return ""
