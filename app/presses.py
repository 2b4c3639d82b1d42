"""Presses of a button: each acts once, however often its request arrives."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from vlmrb.errors import ConfigError

MAX_PRESSES = 200
"""Number of recent presses remembered."""


@dataclass(frozen=True, slots=True)
class Launched:
    """The launched runs, or the form's problems by field."""

    run_ids: list[int]
    set_name: str
    problems: dict[str, str]


class Presses:
    """Remembers what recent presses did."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: OrderedDict[str, Launched] = OrderedDict()

    def once(self, press: str, launch: Callable[[], Launched]) -> Launched:
        """Launch, unless this press has; an error is not remembered.

        Args:
            press: chosen by the browser for one press.
            launch: what the press does.

        Raises:
            ConfigError: `press` is missing.
        """
        if not press:
            raise ConfigError("press: missing; reload the page")
        with self._lock:
            if press not in self._done:
                self._done[press] = launch()
            while len(self._done) > MAX_PRESSES:
                self._done.popitem(last=False)
            return self._done[press]
