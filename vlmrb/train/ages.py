"""Count how old the drawn items are, in quarters of the buffer. Nothing here draws or learns."""

from __future__ import annotations

import numpy as np

from vlmrb.replay import ReplayBuffer
from vlmrb.types import DRAWN_AGES

_AT_ONCE = 64  # batches counted together, so that a batch costs next to nothing


class DrawnAges:
    """Counts draws by the quarter of the buffer that the item was in when it was drawn, from the newest to the oldest.

    Uniform replay draws a quarter of its batches from each.

    Args:
        buffer: what is drawn from.
    """

    def __init__(self, buffer: ReplayBuffer) -> None:
        self._buffer = buffer
        self._batches: list[tuple[np.ndarray, int, int]] = []  # item ids int64 [B], the next item's id, items held
        self._counts = np.zeros(len(DRAWN_AGES), np.int64)

    def count(self, item_ids: np.ndarray) -> None:
        """A batch (int64 [B]) has been drawn, and nothing was added to the buffer since."""
        self._batches.append((item_ids, self._buffer.next_item_id, len(self._buffer)))
        if len(self._batches) == _AT_ONCE:
            self._add_up()

    def _add_up(self) -> None:
        drawn = np.concatenate([item_ids for item_ids, _, _ in self._batches])
        sizes = [len(item_ids) for item_ids, _, _ in self._batches]
        following, held = (np.repeat([batch[at] for batch in self._batches], sizes) for at in (1, 2))
        quarters = (following - 1 - drawn) * len(DRAWN_AGES) // held
        self._counts += np.bincount(quarters, minlength=len(DRAWN_AGES))
        self._batches.clear()

    def take(self) -> dict[str, float]:
        """The share of each quarter in what was drawn since the last call, by metric; {} if nothing was."""
        if self._batches:
            self._add_up()
        drawn = int(self._counts.sum())
        shares = {name: int(count) / drawn for name, count in zip(DRAWN_AGES, self._counts, strict=True)} if drawn else {}
        self._counts[:] = 0
        return shares
