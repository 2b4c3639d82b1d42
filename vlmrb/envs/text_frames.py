"""Draws text snapshots as pictures, for people: a page of light letters, each in a cell of the same size."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Sequence

import numpy as np

from vlmrb.errors import EnvironmentSetupError, StoreCorruptError
from vlmrb.transcripts import MAX_BYTES, unpack

CELL = 20
"""Height of a letter's cell in pixels; it is half as wide."""

MOST_COLUMNS, MOST_LINES = 80, 60
"""A page's size in letters: longer lines are wrapped, and further lines left out."""

SMALLEST_CELL, LARGEST_CELL = 6, 40
_FEWEST_COLUMNS = 20
_PAPER, _INK = np.array([24, 27, 34], np.float32), np.array([226, 230, 236], np.float32)


def page_size(snapshots: np.ndarray) -> tuple[int, int]:
    """Columns and lines of the page that holds the text of each of these snapshots, uint8 [F, S].

    Raises:
        StoreCorruptError: these are no texts.
    """
    texts = texts_of(snapshots)
    return _size(_pages(texts, _width(texts)))


def _size(pages: Sequence[Sequence[str]]) -> tuple[int, int]:
    return max([1, *(len(line) for page in pages for line in page)]), max([1, *map(len, pages)])


class TextFrames:
    """Turns text snapshots into text, for scorers, and into pictures, for people.

    Args:
        columns, lines: letters of a page; 0 for as many as there are in the snapshots that are drawn together.
        cell: height of a letter's cell in pixels, 6 to 40.

    Raises:
        EnvironmentSetupError: a size is out of range.
    """

    def __init__(self, columns: int = 0, lines: int = 0, cell: int = CELL) -> None:
        if not (SMALLEST_CELL <= cell <= LARGEST_CELL and 0 <= columns <= MOST_COLUMNS and 0 <= lines <= MOST_LINES):
            raise EnvironmentSetupError(
                f"a page of {columns}×{lines} letters, each {cell} pixels high, is out of range; allowed: up to "
                f"{MOST_COLUMNS}×{MOST_LINES} letters of {SMALLEST_CELL} to {LARGEST_CELL} pixels"
            )
        self._columns, self._lines, self._cell = columns, lines, cell

    def texts(self, snapshots: np.ndarray) -> list[str]:
        """uint8 [F, S] → the text of each step.

        Raises:
            StoreCorruptError: these are no texts.
        """
        return texts_of(snapshots)

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] → RGB uint8 [F, H, W, 3], all of one size.

        Raises:
            StoreCorruptError: these are no texts.
        """
        texts = texts_of(snapshots)
        pages = _pages(texts, self._columns or _width(texts))
        columns, lines = _size(pages)
        columns, lines = self._columns or columns, self._lines or lines
        letters = sorted({letter for page in pages for line in page for letter in line} | {" "})
        number = {letter: at for at, letter in enumerate(letters)}
        codes = np.full((len(pages), lines, columns), number[" "])
        for rows, page in zip(codes, pages, strict=True):
            for row, line in zip(rows, page, strict=False):
                row[: len(line)] = [number[letter] for letter in line[:columns]]
        tiles = np.stack([_tile(letter, self._cell) for letter in letters])  # [letters, cell, cell / 2]
        height, width = tiles.shape[1:]
        ink = tiles[codes].swapaxes(2, 3).reshape(len(codes), lines * height, columns * width)
        margin = self._cell // 2
        ink = np.pad(ink, ((0, 0), (margin, margin), (margin, margin)))
        return _COLOURS[ink]


_COLOURS = np.rint(_PAPER + (_INK - _PAPER) * (np.arange(256, dtype=np.float32)[:, None] / 255)).astype(np.uint8)
"""RGB [256, 3], by how much of a pixel a letter covers."""


def texts_of(snapshots: np.ndarray) -> list[str]:
    """uint8 [F, S] → the text of each step.

    Raises:
        StoreCorruptError: these are no texts.
    """
    if snapshots.dtype != np.uint8 or snapshots.ndim != 2 or snapshots.shape[1] > MAX_BYTES:
        raise StoreCorruptError(f"data of shape {snapshots.shape} is not the text of a clip's steps, or is damaged")
    return unpack(snapshots)


def _width(texts: Sequence[str]) -> int:
    """Columns at which lines are wrapped: a single line becomes a page that is somewhat wider than high."""
    if any("\n" in text for text in texts):
        return MOST_COLUMNS
    longest = max(map(len, texts), default=0)
    return min(MOST_COLUMNS, max(_FEWEST_COLUMNS, round(math.sqrt(3 * longest))))


def _pages(texts: Sequence[str], width: int) -> list[list[str]]:
    """The lines of each page."""
    return [_lines(text, width) for text in texts]


def _lines(text: str, width: int) -> list[str]:
    wrapped: list[str] = []
    for line in text.split("\n"):
        wrapped += textwrap.wrap(line, width, replace_whitespace=False, break_on_hyphens=False) or [""]
        if len(wrapped) > MOST_LINES:
            return [*wrapped[: MOST_LINES - 1], "…"]
    return wrapped


@functools.lru_cache(4_096)
def _tile(letter: str, cell: int) -> np.ndarray:
    """How much of each pixel the letter covers, uint8 [cell, cell / 2]; a wide letter is made narrower."""
    from PIL import Image, ImageDraw, ImageFont

    width = max(1, cell // 2)
    font = ImageFont.load_default(cell * 0.72)
    left, _, right, _ = font.getbbox(letter)
    drawn = max(width, round(right - left))
    picture = Image.new("L", (drawn, cell))
    ImageDraw.Draw(picture).text((drawn / 2 - (left + right) / 2, cell * 0.08), letter, 255, font)
    return np.asarray(picture.resize((width, cell), Image.Resampling.BOX) if drawn > width else picture)
