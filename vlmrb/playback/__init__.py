"""Stored clips for people to watch: sprite sheets for browsers, MP4 files for everything else."""

from __future__ import annotations

from vlmrb.playback.playback import THUMBNAIL_FRAMES, Playback
from vlmrb.playback.sheets import Sheet

__all__ = ["Playback", "Sheet", "THUMBNAIL_FRAMES"]
