"""A PostgreSQL server of Debian's package, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))


class Server:
    """A server in a folder of its own under /tmp, reached through a socket there; runs once `start` has returned."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vlmrb-postgres-"))
        self._user = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(self._folder, "postgres")
            self._user = {"user": "postgres"}
        self.url = f"postgresql://postgres@/postgres?host={self._folder}"
        data = self._folder / "data"
        self._binaries = BINARIES[-1].parent
        self._control = [self._binaries / "pg_ctl", "-D", data, "-w", "-l", self._folder / "log"]
        self._run(
            self._binaries / "initdb",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--username=postgres",
            "-D",
            data,
        )

    def start(self) -> None:
        settings = f"-c listen_addresses='' -c unix_socket_directories='{self._folder}' -c fsync=off"
        self._run(*self._control, "start", "-o", settings)

    def stop(self, mode: str) -> None:
        """End it, in PostgreSQL's mode 'fast' or 'immediate'."""
        self._run(*self._control, "stop", "-m", mode)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, *words: object) -> None:
        done = subprocess.run(
            [str(word) for word in words], cwd=self._folder, capture_output=True, text=True, check=False, **self._user
        )
        assert done.returncode == 0, done.stdout + done.stderr
