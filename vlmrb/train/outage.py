"""A store that is busy or unreachable for a while: training continues, and its rows wait."""

from __future__ import annotations

import time
from collections.abc import Callable

from vlmrb.errors import StoreBusyError
from vlmrb.store import Store

MAX_HELD_BYTES = 512 * 2**20
"""Training waits for the store once the rows that it could not write take this much memory."""

FINAL_WAIT_S = 600.0
"""How long a run that has ended waits for a busy store; after that, its rows and a checkpoint are in its folder."""

INTERRUPTED_WAIT_S = 10.0
"""The same for a run that was interrupted: whoever shuts the machine down does not wait long."""


class Outage:
    """Tries what needs the store, and remembers since when that has failed.

    Args:
        store: the run's store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._since: float | None = None  # seconds since the epoch
        self._next_try = 0.0
        self.notice = ""
        """That the store is or was busy, for people; '' if it never was."""
        self.reason = ""
        """What the store said last when it was busy."""

    @property
    def active(self) -> bool:
        """Whether the last attempt failed."""
        return self._since is not None

    def wait_until_free(self) -> None:
        """Wait until nobody holds the store's write lock; at most as long as an ended run waits."""
        gives_up_at = time.monotonic() + FINAL_WAIT_S
        while not self._store.is_writable(1.0) and time.monotonic() < gives_up_at:
            pass

    def attempt(self, work: Callable[[], object]) -> bool:
        """Do the work, unless the store is busy; returns whether it is done.

        During an outage an attempt costs a tenth of a second, or less than half of the run's time if only a longer one
        can tell.

        Raises:
            StoreError: the store fails in a way that waiting will not mend.
        """
        if self.active and (time.monotonic() < self._next_try or not self._store.is_writable()):
            return False
        began = time.monotonic()
        try:
            work()
        except StoreBusyError as error:
            self._begin(error)
            self._next_try = 2 * time.monotonic() - began
            return False
        if self._since is not None:
            self.notice = f"the store was busy from {_clock(self._since)} to {_clock(time.time())}; nothing was lost"
            self._since = None
        return True

    def _begin(self, error: StoreBusyError) -> None:
        self.reason = str(error)
        if self._since is None:
            self._since = time.time()
            self.say("training continues and rows are kept")

    def say(self, what: str) -> None:
        """Say what happens during the outage."""
        assert self._since is not None
        self.notice = f"the store is busy since {_clock(self._since)}; {what} ({self.reason})"


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
