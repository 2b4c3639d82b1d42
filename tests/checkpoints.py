"""Checkpoints of earlier versions."""

from __future__ import annotations

import json
from pathlib import Path


def make_old(folder: Path) -> None:
    """Make a checkpoint one of the first format, which has neither checksums nor a version nor settings."""
    (folder / "SHA256SUMS").unlink()
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(
        json.dumps({key: value for key, value in state.items() if key not in ("format", "settings")})
    )
