"""`python -m app` reports problems before it serves anything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from app.environment import certificate_problems, no_proxies

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


def test_an_address_that_no_proxy_can_have_is_refused() -> None:
    outcome = start("--root-path", "lab.example/vlmrb")
    assert outcome.returncode == 2
    assert "such as https://lab.example/vlmrb" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_proxies_and_certificates_in_the_environment_do_not_keep_the_studio_from_starting(tmp_path: Path) -> None:
    hostile = {"ALL_PROXY": "socks5://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "https_proxy": "socks4://127.0.0.1:9",
               "NO_PROXY": "[::1", "SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": str(ROOT / "pyproject.toml")}  # fmt: skip
    command = [sys.executable, "-m", "app", "--no-open", "--port", "0", "--store", str(tmp_path / "runs.db")]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | hostile, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=60) as reply:
            assert reply.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "SSL_CERT_FILE='/nonexistent' does not exist" in errors
    assert "is not a folder" in errors and "correct it or unset it" in errors
    assert "Traceback" not in errors


def test_the_jobs_of_the_studio_get_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    monkeypatch.setenv("SSL_CERT_FILE", "/own/certificates.pem")
    with no_proxies():
        assert not {"https_proxy", "SSL_CERT_FILE"} & set(os.environ)
    assert (os.environ["https_proxy"], os.environ["SSL_CERT_FILE"]) == ("http://proxy.example", "/own/certificates.pem")


@pytest.mark.parametrize(("content", "words"), [(None, "does not exist"), ("no certificate", "cannot be used")])
def test_a_broken_file_of_certificates_is_told_in_words(
    content: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "certificates.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    (problem,) = certificate_problems()
    assert str(path) in problem and words in problem and "unset it" in problem


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
