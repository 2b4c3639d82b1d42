"""Where the files that ship beside the code lie: prompt presets, the embedded model, page style, pictures."""

from __future__ import annotations

import site
import sys
from pathlib import Path

from vlmrb.errors import VlmrbError


def asset_path(name: str) -> Path:
    """Path of a shipped file or folder, such as 'prompts.json'.

    A source checkout has them in `assets/` next to the package; an installation in `share/vlmrb/assets` of the
    environment (of the user's own tree with `pip install --user`, of the target with `pip install --target`).

    Args:
        name: relative path with forward slashes; it cannot leave the folder of assets.

    Raises:
        VlmrbError: there is no such asset.
    """
    places = _places()
    for place in places:
        path = (place / name).resolve()
        if path.is_relative_to(place.resolve()) and path.exists():
            return path
    raise VlmrbError(f"the asset {name!r} is missing; looked in {', '.join(map(str, places))}; install VLM-RB again")


def _places() -> list[Path]:
    parent = Path(__file__).resolve().parent.parent
    places = [root / "share" / "vlmrb" / "assets" for root in (Path(sys.prefix), Path(site.getuserbase()), parent)]
    if parent.name not in ("site-packages", "dist-packages"):  # there, a folder named assets would be a stranger's
        places.insert(0, parent / "assets")
    return places
