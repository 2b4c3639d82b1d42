"""The store: everything about runs, in SQLite or another SQL database. The only place that knows SQL.

Readers give back the records of `vlmrb.types`; the tables never leave this package.
"""

from __future__ import annotations

from vlmrb.store.clips import Clips
from vlmrb.store.engine import default_store_url
from vlmrb.store.prompts import Prompts
from vlmrb.store.runs import Runs
from vlmrb.store.writer import RunWriter

__all__ = ["RunWriter", "Store", "default_store_url"]


class Store(Runs, Clips, Prompts):
    """An open store: runs, clips with scores, prompts and controls."""

    def writer(self, run_id: int) -> RunWriter:
        """A writer for a live run's rows."""
        return RunWriter(run_id, self._write)
