"""Stored clips as people watch them: sprite sheets for a browser, MP4 files for everything else."""

from __future__ import annotations

from vlmrb.playback.playback import THUMBNAIL_FRAMES, Playback
from vlmrb.playback.sheets import Sheet

__all__ = ["Playback", "Sheet", "THUMBNAIL_FRAMES"]
