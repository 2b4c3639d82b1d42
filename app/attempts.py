"""Slows down those who try passwords, and nobody who knows the password for long."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field

MAX_ADDRESSES = 10_000
MAX_SESSIONS = 1_000
SESSION_S = 12 * 3600.0
"""How long a browser that has logged in is known, from its last request."""


@dataclass
class Pace:
    """A rate of attempts, with some at once after a rest.

    Attributes:
        interval_s: seconds between attempts.
        at_once: how many attempts may come at once after a rest.
        next_at: when the next attempt would be due at this rate, by the monotonic clock.
    """

    interval_s: float
    at_once: int
    next_at: float = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until another attempt may be checked."""
        return max(0.0, self.next_at - now - (self.at_once - 1) * self.interval_s)

    def take(self, now: float) -> None:
        """Count an attempt."""
        self.next_at = max(self.next_at, now) + self.interval_s

    def give_back(self) -> None:
        """It was a right one after all."""
        self.next_at -= self.interval_s


@dataclass
class Attempts:
    """Who has tried passwords, within bounded memory.

    An address may have 5 attempts at once, then 2 a second; all addresses together 50, then 10 a second. Those beyond wait
    up to 5 s, and are refused unchecked when that would not be enough. A browser that has logged in before never waits.
    """

    max_wait_s: float = 5.0
    overall: Pace = field(default_factory=lambda: Pace(0.1, 50))
    _addresses: OrderedDict[str, Pace] = field(default_factory=OrderedDict)
    _sessions: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def reserve(self, address: str) -> float | None:
        """Seconds until an attempt from this address may be checked; None if it must not be."""
        now = time.monotonic()
        pace = self._pace(address, now)
        wait = max(pace.wait_s(now), self.overall.wait_s(now))
        if wait > self.max_wait_s:
            return None
        pace.take(now)
        self.overall.take(now)
        return wait

    def forgive(self, address: str) -> None:
        """The attempt had the right password and does not count."""
        self._pace(address, time.monotonic()).give_back()
        self.overall.give_back()

    def _pace(self, address: str, now: float) -> Pace:
        network = network_of(address)
        pace = self._addresses.get(network)
        if pace is None:
            while len(self._addresses) >= MAX_ADDRESSES:
                self._addresses.popitem(last=False)
            pace = self._addresses[network] = Pace(0.5, 5, now)
        self._addresses.move_to_end(network)
        return pace

    def knows(self, session: str) -> bool:
        """Whether a browser with this session has logged in before."""
        now = time.monotonic()
        while self._sessions and next(iter(self._sessions.values())) < now - SESSION_S:
            self._sessions.popitem(last=False)
        if session not in self._sessions:
            return False
        self._sessions[session] = now
        self._sessions.move_to_end(session)
        return True

    def new_session(self) -> str:
        """A session for a browser that has just logged in. It opens nothing; with it, the password is checked at once."""
        session = secrets.token_urlsafe(24)
        while len(self._sessions) >= MAX_SESSIONS:
            self._sessions.popitem(last=False)
        self._sessions[session] = time.monotonic()
        return session


def network_of(address: str) -> str:
    """An address, or the /64 of an IPv6 address: whoever has one of its addresses has them all."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
