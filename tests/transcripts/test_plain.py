"""Text as terminals show it → plain text and bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmrb.transcripts import MAX_BYTES, cut, pack, plain_text, unpack


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("\n\x1b[41mS\x1b[0mFFF\nFHFH\n", "[S]FFF\nFHFH"),  # FrozenLake
        ("  (Down)\nS\x1b[41mF\x1b[0mFF\n", "  (Down)\nS[F]FF"),
        ("|\x1b[43m \x1b[0m|\x1b[35mY\x1b[0m|\x1b[34;1mB\x1b[0m|", "|[ ]|(Y)|(B)|\n[ ] yellow, (Y) magenta, (B) blue"),  # Taxi
        ("\x1b[7mx\x1b[27my", "[x]y"),
        ("\x1b[48;5;208mX\x1b[mY", "[X]Y"),
        ("\x1b[48;2;1;2;3mX\x1b[49mY", "[X]Y"),
        ("\x1b[101mX\x1b[0m", "[X]"),
        ("\x1b[1mbold\x1b[0m \x1b[32mgreen", "bold (green)"),
        ("a\x1b[41mb\nc\x1b[0md", "a[b]\n[c]d"),
        ("\x1b[31m \x1b[0m.", " ."),
        ("a\x1b[2Jb\x1b[10;5Hc\x1b]0;title\x07d\x1b(Be\x1b", "abcde"),
        ("a\r\nb\rc\td  \n\n", "a\nb\nc   d"),
        ("x\x00\x07\x7f\u202ey\u00a0z", "xy z"),
        ("\x1b[999999999999;;mz", "z"),
        ("", ""),
    ],
)
def test_escape_codes_go_and_what_they_highlight_stays(raw: str, text: str) -> None:
    assert plain_text(raw) == text


def test_a_text_that_is_coloured_throughout_gets_no_marks_for_it_but_keeps_the_highlight() -> None:
    raw = "".join(f"\x1b[3{at % 7 + 1}m{letter}\x1b[0m" for at, letter in enumerate("#.#.#.#.#.#.")) + "\x1b[41m@\x1b[0m"
    assert plain_text(raw) == "#.#.#.#.#.#.[@]"


@given(st.text(max_size=200))
def test_plain_text_has_no_control_characters_and_survives_storage(raw: str) -> None:
    text = plain_text(raw)
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert unpack(pack(text)[None]) == [text]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_any_bytes_are_read_as_harmless_text(rows: list[bytes]) -> None:
    width = max(1, *map(len, rows))
    snapshots = np.stack([np.frombuffer(row.ljust(width, b"\0"), np.uint8) for row in rows])
    for text in unpack(snapshots):
        assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_a_long_text_is_cut_at_a_letter_with_an_ellipsis() -> None:
    assert cut("short") == "short"
    for text in ("x" * 20_000, "é" * 20_000, "漢" * 20_000):
        found = unpack(pack(text)[None])[0]
        assert found.endswith("…") and text.startswith(found[:-1])
        assert MAX_BYTES - 4 < len(pack(text)) <= MAX_BYTES
