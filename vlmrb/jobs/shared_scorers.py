"""How the shared scorers of runs are doing, for pages: asked in the background, so that a server that hangs delays nobody."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlmrb.errors import VlmrbError
from vlmrb.panels import members_of
from vlmrb.scoring.http import excerpt
from vlmrb.scoring.shared import health
from vlmrb.scoring.sharing import ClientHealth

FRESH_S = 2.0
"""How old an answer may be before the server is asked again."""

TIMEOUT_S = 2.0
_MOST_SERVERS = 32
_MOST_CLIENTS = 50
_LARGEST = 1e15
_KIND = "shared:"


@dataclass(frozen=True, slots=True)
class SharedLook:
    """A shared scorer as far as it is known.

    Attributes:
        scorer: its name in a run's settings.
        reachable: whether it answered last time; None before it has been asked.
        problem: why not, or ''.
        models: that it holds.
        waiting, max_waiting: clips in its queue, and how many may be.
        refused: clips turned away since its start.
        clips_per_second, clips_per_batch, ms_per_batch: over the last minute.
        busy: share of that time in which its model worked.
        clients: the busiest first, at most 50.
    """

    scorer: str
    reachable: bool | None = None
    problem: str = ""
    models: tuple[str, ...] = ()
    waiting: int = 0
    max_waiting: int = 0
    refused: int = 0
    clips_per_second: float = 0.0
    clips_per_batch: float = 0.0
    ms_per_batch: float = 0.0
    busy: float = 0.0
    clients: tuple[ClientHealth, ...] = ()


class SharedScorers:
    """Keeps the last answer of every server that somebody looks at, and asks again in a thread while somebody does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[str, tuple[SharedLook, float]] = {}  # by scorer, with when it was asked
        self._asking: set[str] = set()

    def look(self, scorer: str | None) -> list[SharedLook]:
        """The shared scorers among a scorer's members; returns at once with what is known.

        Args:
            scorer: of a run; None for none.
        """
        named = [member.scorer for member in members_of(scorer)] if scorer else []
        return [self._look(name) for name in dict.fromkeys(named) if name.startswith(_KIND)]

    def _look(self, scorer: str) -> SharedLook:
        with self._lock:
            look, asked = self._looks.get(scorer, (SharedLook(scorer), -math.inf))
            due = time.monotonic() - asked > FRESH_S and scorer not in self._asking
            if due and len(self._asking) < _MOST_SERVERS:
                self._asking.add(scorer)
                threading.Thread(target=self._ask, args=(scorer,), name="vlmrb-shared-look", daemon=True).start()
            return look

    def _ask(self, scorer: str) -> None:
        look = SharedLook(scorer, False, "the studio could not ask it")
        try:
            look = _look_of(scorer, health(scorer.removeprefix(_KIND), TIMEOUT_S))
        except VlmrbError as error:
            look = SharedLook(scorer, False, excerpt(str(error), 400))
        finally:
            with self._lock:
                self._asking.discard(scorer)
                if len(self._looks) >= _MOST_SERVERS:
                    del self._looks[min(self._looks, key=lambda each: self._looks[each][1])]
                self._looks[scorer] = look, time.monotonic()


def _look_of(scorer: str, told: Mapping[str, Any]) -> SharedLook:
    clients = told.get("clients")
    models = told.get("models")
    return SharedLook(
        scorer,
        reachable=True,
        models=tuple(excerpt(str(each), 100) for each in models[:9]) if isinstance(models, list) else (),
        waiting=int(_number(told, "waiting")),
        max_waiting=int(_number(told, "max_waiting")),
        refused=int(_number(told, "refused")),
        clips_per_second=_number(told, "clips_per_second"),
        clips_per_batch=_number(told, "clips_per_batch"),
        ms_per_batch=_number(told, "ms_per_batch"),
        busy=_number(told, "busy"),
        clients=tuple(map(_client, clients[:_MOST_CLIENTS])) if isinstance(clients, list) else (),
    )


def _client(told: Any) -> ClientHealth:
    told = told if isinstance(told, dict) else {}
    run = told.get("run")
    return ClientHealth(
        run=run if isinstance(run, int) and not isinstance(run, bool) else None,
        name=excerpt(str(told.get("name", "")), 100),
        waiting=int(_number(told, "waiting")),
        answered=int(_number(told, "answered")),
        refused=int(_number(told, "refused")),
        given_up=int(_number(told, "given_up")),
        clips_per_second=_number(told, "clips_per_second"),
        quiet_s=_number(told, "quiet_s"),
    )


def _number(told: Mapping[str, Any], name: str) -> float:
    """A number that a server says, 0 for what is none."""
    value = told.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < _LARGEST:  # NaN is neither
        return 0.0
    return float(value)
