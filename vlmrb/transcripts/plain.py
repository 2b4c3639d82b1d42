"""Text as a terminal shows it → plain text that a language model can read, and the bytes that a clip keeps of it.

Colours often carry what matters: FrozenLake marks the agent's cell with a red background and nothing else. So a piece with a
background becomes '[S]' and one in another colour '(S)'. Where there are several colours, a last line says which is which.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

MAX_BYTES = 8_192
"""The most that is kept of one step's text, in UTF-8."""

_LONGEST_RAW = 16 * MAX_BYTES  # characters that are looked at
_MOST_COLOURED = 8  # pieces; a text with more is coloured throughout, and marks would only hide it
_TAB = 4

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)([0-9;:]*)m"  # colours
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # cursor, clearing
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links
    r"|\x1b[ -/]*[0-~]?"
)
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


class _Style(NamedTuple):
    foreground: str = ""
    background: str = ""
    inverse: bool = False

    @property
    def behind(self) -> str:
        return self.background or ("inverse" if self.inverse else "")


class _Piece(NamedTuple):
    text: str
    style: _Style


def plain_text(raw: str) -> str:
    """The text without escape codes and control characters, its highlighted pieces in brackets; no blank lines around it."""
    pieces = _pieces(raw[:_LONGEST_RAW].replace("\r\n", "\n").replace("\r", "\n").expandtabs(_TAB))
    coloured = [piece for piece in pieces if piece.style.foreground and not piece.style.behind and piece.text.strip()]
    marks_colours = len(coloured) <= _MOST_COLOURED
    legend: dict[str, str] = {}
    written = "".join(_marked(piece, marks_colours, legend) for piece in pieces)
    lines = [line.rstrip() for line in written.split("\n")]
    text = "\n".join(lines).strip("\n")
    if len(set(legend.values())) > 1 and len(legend) <= _MOST_COLOURED:
        text += "\n" + ", ".join(f"{mark} {colour}" for mark, colour in legend.items())
    return text


def cut(text: str) -> str:
    """The text, cut to MAX_BYTES with '…' at the end."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_BYTES:
        return text
    ellipsis = "…"
    return encoded[: MAX_BYTES - len(ellipsis.encode())].decode("utf-8", "ignore") + ellipsis


def pack(text: str) -> np.ndarray:
    """A step's text as uint8 [S], S from 1 to MAX_BYTES; a clip fills its texts up with zeros to the longest one."""
    return np.frombuffer(cut(text).encode("utf-8", "replace") or b"\0", np.uint8)


def unpack(snapshots: np.ndarray) -> list[str]:
    """uint8 [F, S] → the text of each step. What is no text of ours becomes harmless: the bytes may be anybody's."""
    return [_clean(bytes(row).rstrip(b"\0").decode("utf-8", "replace")) for row in snapshots]


def _clean(text: str) -> str:
    """Without control characters; spaces of all kinds become plain ones."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else " " if letter.isspace() else "" for letter in text)


def _pieces(raw: str) -> list[_Piece]:
    """Pieces of one style within one line each; line breaks are pieces of their own."""
    pieces: list[_Piece] = []
    style, end = _Style(), 0

    def add(text: str) -> None:
        for part in re.split(r"(\n)", _clean(text)):
            if pieces and part != "\n" and pieces[-1].text != "\n" and pieces[-1].style == style:
                part = pieces.pop().text + part
            if part:
                pieces.append(_Piece(part, style))

    for found in _ESCAPES.finditer(raw):
        add(raw[end : found.start()])
        end = found.end()
        if found[1] is not None:
            style = _restyled(style, found[1])
    add(raw[end:])
    return pieces


def _restyled(style: _Style, codes: str) -> _Style:
    """The style after an SGR sequence."""
    numbers = [int(code[:6] or 0) for code in re.split("[;:]", codes)]
    while numbers:
        code = numbers.pop(0)
        if code == 0:
            style = _Style()
        elif code in (7, 27):
            style = style._replace(inverse=code == 7)
        elif code in (38, 48):  # 5;n or 2;r;g;b
            taken = {5: 2, 2: 4}.get(numbers[0] if numbers else 0, 0)
            colour = f"colour {'/'.join(map(str, numbers[1:taken]))}"
            del numbers[:taken]
            style = style._replace(foreground=colour) if code == 38 else style._replace(background=colour)
        elif code in (39, 49):
            style = style._replace(foreground="") if code == 39 else style._replace(background="")
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = style._replace(foreground=_COLOURS[code % 10])
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style = style._replace(background=_COLOURS[code % 10])
    return style


def _marked(piece: _Piece, marks_colours: bool, legend: dict[str, str]) -> str:
    text, style = piece
    if text == "\n":
        return text
    if style.behind:
        mark, colour = f"[{text}]", style.behind
    elif style.foreground and marks_colours and text.strip():
        mark, colour = f"({text})", style.foreground
    else:
        return text
    legend[mark] = colour if legend.get(mark, colour) == colour else f"{legend[mark]} or {colour}"
    return mark
