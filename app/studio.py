"""What all pages share: the open store, and the pictures of its clips."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from vlmrb.errors import VlmrbError
from vlmrb.jobs import SharedScorers
from vlmrb.playback import Playback
from vlmrb.store import Store


@dataclass(frozen=True)
class Studio:
    """Shared by all pages, which read and change the store through it and keep no state themselves.

    Attributes:
        store: open for reading and writing; any thread may use it.
        playback: renders stored clips and caches the result.
        shared_scorers: how the servers that score for runs are doing.
    """

    store: Store
    playback: Playback = field(repr=False)
    shared_scorers: SharedScorers = field(default_factory=SharedScorers, repr=False)

    @classmethod
    def open(cls, store_url: str | None) -> Studio:
        """Open the store; create it if it does not exist.

        Raises:
            StoreError: it cannot be opened or is not a store.
        """
        store = Store(store_url)
        return cls(store, Playback(store))

    def warm_up(self) -> None:
        """Draw the newest clip, so that the first clip shown does not wait for imports and compilation."""
        with contextlib.suppress(VlmrbError):
            for clip in self.store.clips(limit=1):
                self.playback.thumbnail(clip.clip_id)
                self.playback.sheet(clip.clip_id)

    def close(self) -> None:
        """Close the store."""
        self.store.close()
