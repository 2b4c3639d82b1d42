"""The scripts of the pages: their tests are in tests/scripts and run in Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "scripts"
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
def test_the_script_tests_pass() -> None:
    assert NODE is not None
    done = subprocess.run([NODE, "--test"], cwd=FOLDER, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_file_names_no_package_host() -> None:
    lock = (FOLDER / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in lock, "delete the lines `resolved` and `funding` written by npm"
