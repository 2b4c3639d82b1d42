"""Finds the files shipped with the code: prompt presets, the embedded models, page style, pictures."""

from __future__ import annotations

import site
import sysconfig
from pathlib import Path

from vlmrb.errors import VlmrbError


def asset_path(name: str) -> Path:
    """Path of a shipped file or folder, such as 'prompts.json'.

    In a source checkout they are in `assets/` next to the package; in an installation, in `share/vlmrb/assets` of the
    environment (/usr/local for Debian's own Python, the user base with `pip install --user`, the target folder with
    `pip install --target`).

    Args:
        name: relative path with forward slashes; must stay inside the asset folder.

    Raises:
        VlmrbError: the asset does not exist.
    """
    places = _places()
    for place in places:
        path = (place / name).resolve()
        if path.is_relative_to(place.resolve()) and path.exists():
            return path
    raise VlmrbError(f"asset {name!r} not found; looked in {', '.join(map(str, places))}; reinstall VLM-RB")


def _places() -> list[Path]:
    parent = Path(__file__).resolve().parent.parent
    roots = (Path(sysconfig.get_path("data")), Path(site.getuserbase()), parent)
    places = [root / "share" / "vlmrb" / "assets" for root in roots]
    if parent.name not in ("site-packages", "dist-packages"):  # a folder named assets there is not ours
        places.insert(0, parent / "assets")
    return places
