"""The compare page."""

from __future__ import annotations

from app.studio import Studio


def build(studio: Studio) -> None:
    """Add the page's components to the Blocks that is open."""
