"""Setup for every test: one thread per process, no display, and a separate store, never the user's."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy or torch is imported
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test is timed
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _never_touch_the_users_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset VLMRB_STORE and move the user's data folder, so that a test that names no store gets an empty one."""
    monkeypatch.delenv("VLMRB_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("user-data")))
