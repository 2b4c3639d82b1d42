"""Parse live changes. Their names and values come from a database that anybody may have written to."""

from __future__ import annotations

from contextlib import suppress
from numbers import Integral, Real
from typing import Any

from vlmrb.config import parse_lambda
from vlmrb.errors import ConfigError, shown
from vlmrb.types import LIVE_CHANGES, MAX_QUESTIONS, Change, SetLambda, SetPrompt, SetQuestion, SetStatus, Unreadable

MAX_ID = 2**63 - 1


def parse_change(name: Any, value: Any) -> Change:
    """Parse a live change.

    Args:
        name: should be one of LIVE_CHANGES.
        value: JSON data or Unreadable; what is allowed depends on the name.

    Raises:
        ConfigError: the name or the value is not allowed.
    """
    if name == "lambda":
        return SetLambda(_weight(value))
    if name == "prompt":
        return SetPrompt(_prompt_id(value))
    if name == "question":
        return SetQuestion(_question(value))
    if name == "pause":
        return SetStatus(_without_value(name, value, "paused"))
    if name == "unpause":
        return SetStatus(_without_value(name, value, "running"))
    if name == "stop":
        return SetStatus(_without_value(name, value, "stopped"))
    raise ConfigError(
        f"live change: there is no {_shown(name)}; allowed: {', '.join(LIVE_CHANGES)}. `vlmrb control --help` explains them"
    )


def _weight(value: Any) -> Any:
    if isinstance(value, Real | str) and not isinstance(value, bool):
        with suppress(ConfigError, OverflowError):  # an integer may be too large for a float
            return parse_lambda(value)
    raise ConfigError(
        f"lambda: got {_shown(value)}; allowed: a number from 0 to 1, 'none' or 'schedule'. Try: vlmrb control RUN --lambda 0.5"
    )


def _prompt_id(value: Any) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool) and 1 <= int(value) <= MAX_ID:
        return int(value)
    raise ConfigError(
        f"prompt: got {_shown(value)}; allowed: the id of a stored prompt, a whole number from 1 up. "
        "Try: vlmrb control RUN --prompt TEXT"
    )


def _question(value: Any) -> int | None:
    if value == "schedule":
        return None
    if isinstance(value, Integral) and not isinstance(value, bool) and 1 <= int(value) <= MAX_QUESTIONS:
        return int(value)
    raise ConfigError(
        f"question: got {_shown(value)}; allowed: the number of a question of the set, from 1 to {MAX_QUESTIONS}, or 'schedule'. "
        "Try: vlmrb control RUN --question 2"
    )


def _without_value(name: str, value: Any, status: Any) -> Any:
    if value is None:
        return status
    raise ConfigError(f"{name}: got the value {_shown(value)}; it takes none. Try: vlmrb control RUN {name}")


def _shown(value: Any) -> str:
    return f"{shown(value.text)}, which is not JSON" if isinstance(value, Unreadable) else shown(value)
