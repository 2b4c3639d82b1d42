"""Stored clips for people to watch: sprite sheets for browsers, MP4 files for everything else; labelled ones as a data set."""

from __future__ import annotations

from vlmrb.playback.dataset import Kind, export_folder, export_zip, labelled_clips
from vlmrb.playback.playback import THUMBNAIL_FRAMES, Playback
from vlmrb.playback.sheets import Sheet

__all__ = ["Kind", "Playback", "Sheet", "THUMBNAIL_FRAMES", "export_folder", "export_zip", "labelled_clips"]
