"""Removes the clips that a run does not keep, while it trains."""

from __future__ import annotations

from contextlib import suppress

from vlmrb.config import TrainConfig
from vlmrb.errors import CheckpointError, StoreError
from vlmrb.housekeeping import PART, surplus_of
from vlmrb.store import Store


class Thinning:
    """Deletes a run's surplus of clips, a few at a time between its steps.

    Args:
        run_id: the run.
        config: says which clips it keeps.
        store: where they are.
    """

    def __init__(self, run_id: int, config: TrainConfig, store: Store) -> None:
        self._run_id, self._store, self._removes = run_id, store, config.retention.removes
        self._left: list[int] = []

    def look(self) -> None:
        """Find out what can go: after a checkpoint, which needs other clips than the one before."""
        if self._removes:
            with suppress(CheckpointError):  # then nobody knows what its checkpoints need
                self._left = list(surplus_of(self._store, self._store.run(self._run_id)).clip_ids)

    def delete_some(self) -> None:
        """Delete a part of what was found.

        Raises:
            StoreBusyError: the store takes nothing at the moment; it is tried again.
        """
        if self._left:
            self._store.delete_clips(self._left[:PART])
            del self._left[:PART]

    def finish(self) -> None:
        """The run has finished: delete all that can go now. What the store does not let go of is left to `vlmrb gc`."""
        with suppress(StoreError):
            self.look()
            while self._left:
                self.delete_some()
