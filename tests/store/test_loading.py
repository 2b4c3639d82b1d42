"""Several clips at once."""

from __future__ import annotations

import numpy as np
import pytest

from tests.store.samples import filled
from vlmrb.errors import NotFoundError
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN


def test_clips_come_in_the_requested_order_and_equal_single_loads(store: Store) -> None:
    first = filled(store) * CLIPS_PER_RUN
    wanted = [first + 4, first, first + 3]
    for loaded, clip_id in zip(store.load_clips(wanted), wanted, strict=True):
        alone = store.load_clip(clip_id)
        assert (loaded.clip_id, loaded.events, loaded.closed_by) == (clip_id, alone.events, alone.closed_by)
        np.testing.assert_array_equal(loaded.snapshots, alone.snapshots)
        np.testing.assert_array_equal(loaded.item_ids, alone.item_ids)
        np.testing.assert_array_equal(loaded.rewards, alone.rewards)
    assert store.clip_summaries(wanted) == [store.clip(clip_id) for clip_id in wanted]
    assert store.load_clips([]) == store.clip_summaries([]) == []


def test_a_missing_clip_is_named(store: Store) -> None:
    first = filled(store) * CLIPS_PER_RUN
    for read in (store.load_clips, store.clip_summaries):
        with pytest.raises(NotFoundError, match=f"no clip {first + 99}"):
            read([first, first + 99])
