"""Cleans untrusted values for the database: text and JSON that every database can hold."""

from __future__ import annotations

import functools
import json
import math
import unicodedata
from collections.abc import Iterable
from typing import Any

from vlmrb.errors import ConfigError, shown

to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Compact JSON. NaN is not JSON, and PostgreSQL refuses it."""


_LONG = 500  # characters


def from_json(text: str | bytes) -> Any:
    """What JSON in the database says. Long objects are the settings of runs, which lists of runs read again and again."""
    if len(text) < _LONG or text[:1] not in ("{", b"{"):
        return json.loads(text)
    return dict(_parsed(text))


@functools.lru_cache(maxsize=2_000)
def _parsed(text: str | bytes) -> Any:
    return json.loads(text)


MAX_TAGS, MAX_TAG = 20, 40


def clean(text: str, name: str = "") -> str:
    """Text that every database can hold. A named value with other characters is refused; unnamed text loses them.

    Raises:
        ConfigError: a named value contains a NUL character or a lone surrogate.
    """
    cleaned = text.replace("\0", "").encode("utf-8", "ignore").decode()
    if name and cleaned != text:
        raise ConfigError(f"{name}: {text[:40]!r} contains invalid characters (NUL or a lone surrogate); remove them")
    return cleaned


_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Hangul fillers and the empty Braille pattern: letters and symbols to Unicode, nothing to a reader."""


def has_visible(text: str) -> bool:
    """Whether a reader sees anything of a text: blanks, controls, directions, joiners and lone accents do not count."""
    return any(unicodedata.category(c)[0] not in "CZM" and c not in _BLANK_LETTERS for c in text)


def clean_name(text: str, name: str) -> str:
    """Like `clean`, for what people recognise something by.

    Args:
        text: the name.
        name: what it is the name of, for the message.

    Raises:
        ConfigError: it contains invalid characters, or nothing that can be seen.
    """
    if not has_visible(text):
        raise ConfigError(f"{name}: {text[:40]!r} has no visible character; give at least one")
    return clean(text, name)


def finite(number: float | None) -> float | None:
    """A float that every database can hold and compare: NaN and infinities become None."""
    if number is None:
        return None
    number = float(number)
    return number if math.isfinite(number) else None


def plain(value: Any, name: str = "") -> Any:
    """A value as plain JSON data; NumPy numbers become Python's. `name` works as in `clean`.

    Raises:
        ConfigError: a value is not JSON data, or a named one contains a non-finite number or invalid characters.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(value, name)
    if isinstance(value, dict):
        return {plain(str(key), name): plain(entry, f"{name}.{key}" if name else "") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, name) for entry in value]
    value = value.item() if hasattr(value, "item") else value  # a NumPy or torch number
    if isinstance(value, int | float) and not _is_finite(value):
        if name:
            raise ConfigError(f"{name}: got {shown(value)}; allowed: finite numbers")
        return None
    if not isinstance(value, bool | int | float):
        raise ConfigError(f"{name or 'value'}: got {shown(value)}; allowed: JSON data (text, numbers, lists, tables)")
    return value


def _is_finite(number: float) -> bool:
    """Whether a number is finite, also as a float."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Tags without surrounding blanks and duplicates, in the given order; empty ones are dropped.

    Raises:
        ConfigError: more than 20 tags, one of more than 40 characters, or one with invalid or without visible characters.
    """
    found = list(dict.fromkeys(clean_name(tag, "tag").strip() for tag in tags if tag.strip()))
    if too_long := [tag for tag in found if len(tag) > MAX_TAG]:
        raise ConfigError(f"tag: {too_long[0][:MAX_TAG]!r}… has {len(too_long[0])} characters; allowed: up to {MAX_TAG}")
    if len(found) > MAX_TAGS:
        raise ConfigError(f"tags: got {len(found)}; allowed: up to {MAX_TAGS}")
    return found
