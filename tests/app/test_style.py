"""The colours are legible: contrast as defined by WCAG 2.2, in the light and the dark theme."""

from __future__ import annotations

import re

import pytest

from app.colors import SHADES, colors
from app.media import assets_folder

AA_TEXT, AA_PARTS = 4.5, 3.0
TEXT = """text bg, text surface, muted bg, muted surface, muted hover, accent surface, accent accent-soft, on-accent accent,
good good-soft, warn warn-soft, bad bad-soft, info info-soft, bad surface"""
PARTS = ",".join(f"{name} surface" for name in ("line-strong", *colors(), *SHADES))


def tokens(theme: str) -> dict[str, str]:
    style = (assets_folder() / "studio.css").read_text(encoding="utf-8")
    block = re.search(r"^body%s \{(.*?)^\}" % (r"\.dark" if theme == "dark" else ""), style, re.DOTALL | re.MULTILINE)
    assert block is not None
    of_methods = {token: shades[theme == "dark"] for token, shades in (colors() | SHADES).items()}
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block.group(1))) | of_methods


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_graphics_meet_wcag_aa(theme: str) -> None:
    found = tokens(theme)
    weak = {
        f"{ink} on {ground}": round(contrast(found[ink], found[ground]), 2)
        for pairs, least in ((TEXT, AA_TEXT), (PARTS, AA_PARTS))
        for ink, ground in map(str.split, pairs.split(","))
        if contrast(found[ink], found[ground]) < least
    }
    assert weak == {}


def test_contrast_follows_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
