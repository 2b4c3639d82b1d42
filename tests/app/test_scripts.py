"""The scripts of the pages: their tests lie in tests/scripts and are run by Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "scripts"
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
def test_the_tests_of_the_scripts_pass() -> None:
    assert NODE is not None
    done = subprocess.run([NODE, "--test"], cwd=FOLDER, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_scripts_folder_is_locked_to_no_package_host() -> None:
    lock = (FOLDER / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in lock, "delete the lines `resolved` and `funding` that npm has written"
