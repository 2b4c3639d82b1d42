"""Values that a browser sent: checked before anything is done with them, for a page's own checks bind nobody."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from vlmrb.errors import ConfigError

MAX_ID = 2**62
MAX_IDS = 500
MAX_TEXT = 8_000


def an_id(request: dict[str, Any], name: str) -> int:
    """A positive whole number.

    Raises:
        ConfigError: it is missing or something else; so do all functions of this file.
    """
    value = request.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value) if len(value) < 20 else 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < MAX_ID:
        raise ConfigError(f"{name}: got {_shown(value)}; a positive whole number is needed")
    return value


def ids(request: dict[str, Any], name: str) -> list[int]:
    """A list of different positive whole numbers; [] where there is none. Also takes the text '1,2,3' of an address."""
    value = request.get(name) or []
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or len(value) > MAX_IDS:
        raise ConfigError(f"{name}: got {_shown(value)}; a list of at most {MAX_IDS} numbers is needed")
    return list(dict.fromkeys(an_id({name: item.strip() if isinstance(item, str) else item}, name) for item in value))


def a_number(request: dict[str, Any], name: str, low: float, high: float) -> float | None:
    """A number in [low, high], or None where none was given."""
    value = request.get(name)
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not low <= number <= high:
        raise ConfigError(f"{name}: got {_shown(value)}; a number from {low:g} to {high:g} is needed")
    return number


def a_count(request: dict[str, Any], name: str, high: int, default: int) -> int:
    """A whole number from 0 to `high`; `default` where none was given."""
    number = a_number(request, name, 0, high)
    if number is None:
        return default
    if number != int(number):
        raise ConfigError(f"{name}: got {_shown(request[name])}; a whole number is needed")
    return int(number)


def a_choice(request: dict[str, Any], name: str, allowed: Collection[str]) -> str | None:
    """One of `allowed`, or None where none was given."""
    value = request.get(name)
    if value is None or value == "":
        return None
    if value not in allowed:
        raise ConfigError(f"{name}: got {_shown(value)}; allowed: {', '.join(sorted(allowed))}")
    return str(value)


def a_text(request: dict[str, Any], name: str, limit: int = MAX_TEXT) -> str:
    """A text of at most `limit` characters; '' where none was given."""
    value = request.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limit:
        raise ConfigError(f"{name}: a text of at most {limit} characters is needed")
    return value


def a_flag(request: dict[str, Any], name: str) -> bool:
    """True or False; False where none was given."""
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{name}: got {_shown(value)}; true or false is needed")
    return value


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 60 else words[:59] + "…"
