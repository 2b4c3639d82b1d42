"""A Google Cloud Storage and an SFTP server on loopback."""

from __future__ import annotations

import getpass
import logging
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.waiting import wait_until

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")


@contextmanager
def google() -> Iterator[str]:
    """A Google Cloud Storage in this process; its URL."""
    from gcp_storage_emulator.server import create_server

    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    port = _free_port()
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def make_bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket's URL, which this process can reach."""
    import gcsfs

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
    gcsfs.GCSFileSystem.clear_instance_cache()
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    gcsfs.GCSFileSystem(token="anon", endpoint_url=endpoint).mkdir(name)
    return f"gs://{name}"


@contextmanager
def sftp(folder: Path) -> Iterator[str]:
    """Debian's sshd for this user and a key in `folder`/.ssh, which is to be the home folder; URL of its root."""
    keys = folder / ".ssh"
    keys.mkdir(mode=0o700)
    for name in ("id_ed25519", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    port = _free_port()
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": keys / "host",
        "AuthorizedKeysFile": keys / "id_ed25519.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "Subsystem": "sftp internal-sftp",
    }
    (keys / "settings").write_text("\n".join(f"{name} {value}" for name, value in settings.items()), encoding="utf-8")
    Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in; only root needs it
    assert SSHD is not None
    with subprocess.Popen([SSHD, "-D", "-e", "-f", keys / "settings"], stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: _answers(port), "sshd to listen", 10)
            yield f"sftp://{getpass.getuser()}@127.0.0.1:{port}"
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])
