"""Hides secrets in text that a server wrote, however it spells them."""

from __future__ import annotations

import base64
import html
import re

MASK = "***"

_SHORTEST = 4
"""Shorter keys, such as a dummy 'x' for a server that takes any, hide nothing and would blot every text."""

_RUN = 8
"""So many characters of a secret in a row are hidden, wherever they are in it: servers cut keys short, too."""

_UNIT = re.compile(
    r"%(?:25)*([0-9a-f]{2})"  # %73, and %2573 after a second pass
    r"|\\+(?:u00|x)([0-9a-f]{2})"
    r"|&#x0*([0-9a-f]{1,2});|&#0*([0-9]{1,3});|&([a-z]{2,6});"
    r"|.",
    re.IGNORECASE | re.DOTALL,
)
_IGNORED = [*range(0x21), 0x5C, *range(0x7F, 0xA1), 0xAD, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2060, 0xFEFF]
_SAME: dict[int, str | None] = {
    **{code: chr(code).lower() for code in range(ord("A"), ord("Z") + 1)},
    **dict.fromkeys(_IGNORED),  # space, escapes and what cannot be seen
    ord("-"): "+",  # the two alphabets of base64
    ord("_"): "/",
}


class Mask:
    """Replaces secrets by '***' where a text has them: as they are, cut short, with space between, in other case, URL-encoded,
    escaped for JSON or HTML, in hexadecimal, or within base64.

    Args:
        secrets: what to hide; empty ones are left out.
    """

    def __init__(self, *secrets: str) -> None:
        self._parts: set[str] = set()
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                self._add(secret)
                for form in _encoded(secret.encode()):
                    if len(form) >= _RUN:
                        self._add(form)

    def __call__(self, text: str) -> str:
        """The text without the secrets."""
        if not self._parts:
            return text
        units = list(_UNIT.finditer(text))
        read = [_read(unit) for unit in units]
        plain = "".join(read)
        hidden = _union(_occurrences(plain, self._parts))
        if not hidden:
            return text
        unit_of = [index for index, characters in enumerate(read) for _ in characters]
        shown, end = [], 0
        for first, last in hidden:
            shown += [text[end : units[unit_of[first]].start()], MASK]
            end = units[unit_of[last - 1]].end()
        return "".join([*shown, text[end:]])

    def _add(self, form: str) -> None:
        form = form.translate(_SAME)
        size = min(_RUN, len(form))
        self._parts |= {form[start : start + size] for start in range(len(form) - size + 1)} - {""}


def _encoded(secret: bytes) -> list[str]:
    """Hexadecimal, and base64 at the three places that a secret can have in a longer text."""
    forms = [secret.hex()]
    for before in range(3):
        whole = base64.b64encode(bytes(before) + secret).decode()
        forms.append(whole[-(-8 * before // 6) : 8 * (before + len(secret)) // 6])  # characters that are the secret's alone
    return forms


def _read(unit: re.Match[str]) -> str:
    """What a character or an escape stands for; '' if that is to be ignored."""
    hexadecimal, decimal, name = unit[1] or unit[2] or unit[3], unit[4], unit[5]
    if name:
        character = html.unescape(unit[0])
    elif hexadecimal or decimal:
        character = chr(int(hexadecimal, 16) if hexadecimal else int(decimal))
    else:
        character = unit[0]
    return character.translate(_SAME)


def _occurrences(text: str, parts: set[str]) -> list[tuple[int, int]]:
    found = []
    for part in parts:
        start = text.find(part)
        while start >= 0:
            found.append((start, start + len(part)))
            start = text.find(part, start + 1)
    return found


def _union(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that overlap or touch, joined; ascending."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined
