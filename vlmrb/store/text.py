"""Untrusted values on their way into the database: text and JSON that every database can hold."""

from __future__ import annotations

import json
import math
from typing import Any

from vlmrb.errors import ConfigError

to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Compact JSON. NaN is not JSON, and PostgreSQL refuses it."""


def clean(text: str, name: str = "") -> str:
    """Text that every database can hold. A named value is refused where it cannot; other text loses what cannot be held.

    Raises:
        ConfigError: a named value holds a NUL character or half of a surrogate pair.
    """
    cleaned = text.replace("\0", "").encode("utf-8", "ignore").decode()
    if name and cleaned != text:
        raise ConfigError(f"{name}: {text[:40]!r} holds characters that are no text (NUL or a lone surrogate); remove them")
    return cleaned


def finite(number: float | None) -> float | None:
    """A float that every database can hold and compare: NaN and infinities become None."""
    if number is None:
        return None
    number = float(number)
    return number if math.isfinite(number) else None


def plain(value: Any, name: str = "") -> Any:
    """A value as plain JSON data; NumPy numbers become Python's. Names work as in `clean`.

    Raises:
        ConfigError: a named value holds a number that is not finite, text that is none, or something else.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(value, name)
    if isinstance(value, dict):
        return {plain(str(key), name): plain(entry, f"{name}.{key}" if name else "") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, name) for entry in value]
    value = value.item() if hasattr(value, "item") else value  # a number of NumPy or torch
    if isinstance(value, float) and not math.isfinite(value):
        if name:
            raise ConfigError(f"{name}: got {value}; allowed: finite numbers")
        return None
    if not isinstance(value, bool | int | float):
        raise ConfigError(f"{name or 'value'}: got {value!r}; allowed: what JSON can hold (text, numbers, lists, tables)")
    return value
