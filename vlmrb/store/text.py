"""Untrusted text on its way into the database."""

from __future__ import annotations

from vlmrb.errors import ConfigError


def clean(text: str, name: str = "") -> str:
    """Text that every database can hold. A named value is refused where it cannot; other text loses what cannot be held.

    Raises:
        ConfigError: a named value holds a NUL character or half of a surrogate pair.
    """
    cleaned = text.replace("\0", "").encode("utf-8", "ignore").decode()
    if name and cleaned != text:
        raise ConfigError(f"{name}: {text[:40]!r} holds characters that are no text (NUL or a lone surrogate); remove them")
    return cleaned
