"""`python -m app` reports problems before it serves anything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", "--no-open", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_public_address_without_a_password_is_refused(tmp_path: Path) -> None:
    outcome = start("--host", "0.0.0.0", "--port", "0", "--store", str(tmp_path / "runs.db"))
    assert outcome.returncode == 2
    assert "VLMRB_STUDIO_PASSWORD" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "runs.db").exists()


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = start("--port", str(port), "--store", str(tmp_path / "runs.db"))
    assert outcome.returncode == 2
    assert f"--port {port}" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_file_that_is_not_a_store_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database, and long enough to be looked at " * 20)
    outcome = start("--port", "0", "--store", str(path))
    assert outcome.returncode == 2
    assert "notes.db" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("port", ["-1", "70000", "x"])
def test_an_invalid_port_is_refused(port: str) -> None:
    outcome = start("--port", port)
    assert outcome.returncode == 2
    assert "from 0 to 65535" in outcome.stderr


def test_the_studio_starts_without_importing_torch() -> None:
    script = "import sys, app.main, app.server; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    outcome = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.strip() == "[]"
