"""Validation of values sent by a browser. A page's own checks can be bypassed, so nothing is used unchecked."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from vlmrb.errors import ConfigError, shown

MAX_ID = 2**62
MAX_IDS = 500
MAX_TEXT = 8_000


def an_id(request: dict[str, Any], name: str) -> int:
    """A positive integer.

    Raises:
        ConfigError: it is missing or invalid. All functions in this file raise it.
    """
    value = request.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value) if len(value) < 20 else 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < MAX_ID:
        raise ConfigError(f"{name}: got {shown(value)}; expected a positive integer")
    return value


def ids(request: dict[str, Any], name: str) -> list[int]:
    """A list of distinct positive integers; [] if missing. Also accepts text such as '1,2,3', as in a URL."""
    value = request.get(name) or []
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or len(value) > MAX_IDS:
        raise ConfigError(f"{name}: got {shown(value)}; expected a list of at most {MAX_IDS} numbers")
    return list(dict.fromkeys(an_id({name: item.strip() if isinstance(item, str) else item}, name) for item in value))


def a_number(request: dict[str, Any], name: str, low: float, high: float) -> float | None:
    """A number in [low, high], or None if missing."""
    value = request.get(name)
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise ConfigError(f"{name}: got {shown(value)}; expected a number from {low:g} to {high:g}")
    return number


def a_count(request: dict[str, Any], name: str, high: int, default: int) -> int:
    """An integer from 0 to `high`; `default` if missing."""
    number = a_number(request, name, 0, high)
    if number is None:
        return default
    if number != int(number):
        raise ConfigError(f"{name}: got {shown(request[name])}; expected an integer")
    return int(number)


def a_choice(request: dict[str, Any], name: str, allowed: Collection[str]) -> str | None:
    """One of `allowed`, or None if missing."""
    value = request.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or value not in allowed:
        raise ConfigError(f"{name}: got {shown(value)}; allowed: {', '.join(sorted(allowed))}")
    return str(value)


def a_text(request: dict[str, Any], name: str, limit: int = MAX_TEXT) -> str:
    """Text of at most `limit` characters; '' if missing."""
    value = request.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limit:
        raise ConfigError(f"{name}: expected text of at most {limit} characters")
    return value


def texts(request: dict[str, Any], name: str, most: int, limit: int = 200) -> list[str]:
    """A list of distinct texts of at most `limit` characters; [] if missing."""
    value = request.get(name) or []
    if not isinstance(value, list) or len(value) > most:
        raise ConfigError(f"{name}: got {shown(value)}; expected a list of at most {most} texts")
    return list(dict.fromkeys(a_text({name: item}, name, limit) for item in value))


def a_flag(request: dict[str, Any], name: str) -> bool:
    """True or False; False if missing."""
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{name}: got {shown(value)}; expected true or false")
    return value
