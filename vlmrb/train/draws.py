"""Count what replay draws, by clip: what the batches before a step looked like. Nothing here draws or learns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from vlmrb.config import TrainConfig
from vlmrb.events import shows_progress
from vlmrb.replay import ReplayBuffer
from vlmrb.types import MOST_DRAWN, Batch, Clip, ClipSpan, DrawnClip, Draws, Feedback, Kinds

RECORDS = 100
"""Records of a run, at most."""

DRAWS = 2**15
"""Draws that one record counts, at most: enough for clips of a large buffer to be drawn several times, and soon counted."""

CROSS_SECTION = 12
"""Clips of a record besides those drawn most often: some that the other draws are evenly spread over."""

_LABELLED, _YES, _PROGRESS = 1, 2, 4  # bits of what is known about an item


class _Drawn(NamedTuple):
    """One batch."""

    item_ids: np.ndarray  # int64 [B]
    td_errors: np.ndarray  # float32 [B], signed
    by_labels: np.ndarray | None  # int64 [n], which of them the labels chose


class DrawCounter:
    """Knows the clip of every item that the buffer holds, and counts the items of batches by clip.

    Of clips that overlap, an item counts for the first. Items of clips that are still open count for none.

    Args:
        config: log interval, batch size, and how long the run is.
        buffer: what is drawn from.
    """

    def __init__(self, config: TrainConfig, buffer: ReplayBuffer) -> None:
        self._buffer, self._stride = buffer, config.n_envs
        self.interval = -(-config.total_steps // (RECORDS * config.log_interval)) * config.log_interval
        """Steps between two records."""
        self._batches: deque[_Drawn] = deque(maxlen=max(1, DRAWS // config.batch_size))
        self._item_at = np.zeros(buffer.capacity, np.int64)  # by slot: 1 + the item that the rest is about; 0 for none
        self._place_at = np.zeros(buffer.capacity, np.int32)  # by slot: where its clip is in `_clip_ids`
        self._bits = np.zeros(buffer.capacity, np.uint8)  # by slot
        self._clip_ids = np.zeros(buffer.capacity, np.int64)  # a ring: no more clips have items in the buffer
        self._clips = 0

    def clip(self, clip: Clip) -> None:
        """A clip has closed; it has no label yet."""
        self._add(clip.clip_id, clip.item_ids[clip.overlap :], _PROGRESS if shows_progress(clip.events) else 0)

    def _add(self, clip_id: int, item_ids: np.ndarray, bits: int) -> None:
        if len(item_ids):
            slots, place = item_ids % self._buffer.capacity, self._clips % self._buffer.capacity
            self._item_at[slots], self._place_at[slots], self._bits[slots] = item_ids + 1, place, bits
            self._clip_ids[place] = clip_id
            self._clips += 1

    def label(self, clip: Clip, label: bool | None) -> None:
        """What a clip's newest score says; None for no usable answer."""
        slots = clip.item_ids % self._buffer.capacity
        ours = self._clip_ids[self._place_at[slots]] == clip.clip_id
        slots = slots[ours & (self._item_at[slots] == clip.item_ids + 1)]
        self._bits[slots] = (self._bits[slots] & _PROGRESS) | _bits(label, progress=False)

    def take_up(self, spans: Iterable[ClipSpan]) -> None:
        """Clips from before the run was resumed or branched off, the oldest first."""
        oldest = self._buffer.next_item_id - len(self._buffer)
        ends: dict[int, int] = {}  # by environment, how far the clips before reach
        for span in spans:
            env = span.start_step % self._stride
            item_ids = span.start_step + span.stride * np.arange(span.length)
            end = ends.get(env, -1)
            ends[env] = max(end, int(item_ids[-1]))
            self._add(span.clip_id, item_ids[(item_ids > end) & (item_ids >= oldest)], _bits(span.label, span.progress))

    def count(self, batch: Batch, feedback: Feedback) -> None:
        """A batch has been drawn and learned from."""
        self._batches.append(_Drawn(batch.item_ids, feedback.td_errors, getattr(self._buffer.sampler, "by_labels", None)))

    def take(self) -> Draws | None:
        """What was drawn since the last call; None if nothing was."""
        if not self._batches:
            return None
        item_ids = np.concatenate([drawn.item_ids for drawn in self._batches])
        errors = np.abs(np.concatenate([drawn.td_errors for drawn in self._batches]).astype(np.float64))
        by_labels = _chosen(self._batches)
        batches = len(self._batches)
        self._batches.clear()
        slots = item_ids % self._buffer.capacity
        known = self._item_at[slots] == item_ids + 1
        held = self._item_at > self._buffer.next_item_id - len(self._buffer)
        held_of = np.bincount(self._place_at[held], minlength=len(self._clip_ids))
        clips, sample = self._sample(self._place_at[slots[known]], errors[known], (by_labels > 0)[known], held_of)
        return Draws(
            step=self._buffer.next_item_id,
            batches=batches,
            drawn=len(item_ids),
            by_labels=int((by_labels > 0).sum()) if (by_labels >= 0).all() else None,
            td_error=float(errors.mean()),
            clips=clips,
            held=len(self._buffer),
            held_clips=int(np.count_nonzero(held_of)),
            of_drawn=_kinds(self._bits[slots[known]]),
            of_held=_kinds(self._bits[held]),
            sample=sample,
        )

    def _sample(
        self, places: np.ndarray, errors: np.ndarray, by_labels: np.ndarray, held: np.ndarray
    ) -> tuple[int, tuple[DrawnClip, ...]]:
        """How many clips some draws are from, and some of these clips.

        Args:
            places: of each draw's clip, int32 [D].
            errors: |δ| of each draw, float64 [D].
            by_labels: whether the labels chose it, bool [D].
            held: items that the buffer holds, int64 by place.
        """
        drawn, sums, labels = (np.bincount(places, weights, minlength=1) for weights in (None, errors, by_labels))
        found = np.flatnonzero(drawn)
        found = found[np.lexsort((self._clip_ids[found], -drawn[found]))]
        ranks = _chosen_ranks(drawn[found])
        return len(found), tuple(
            DrawnClip(
                clip_id=int(self._clip_ids[at]),
                rank=int(rank) + 1,
                drawn=int(drawn[at]),
                by_labels=int(labels[at]),
                td_error=float(sums[at] / drawn[at]),
                held=int(held[at]),
            )
            for rank, at in zip(ranks, found[ranks], strict=True)
        )


def _bits(label: bool | None, progress: bool) -> int:
    return (0 if label is None else _LABELLED | (_YES if label else 0)) | (_PROGRESS if progress else 0)


def _kinds(bits: np.ndarray) -> Kinds:
    return Kinds(len(bits), *(int(np.count_nonzero(bits & bit)) for bit in (_LABELLED, _YES, _PROGRESS)))


def _chosen(batches: Iterable[_Drawn]) -> np.ndarray:
    """int8 [D]: 1 for draws that the labels chose, 0 for others, −1 where the method has no such part."""
    parts = []
    for drawn in batches:
        part = np.full(len(drawn.item_ids), -1 if drawn.by_labels is None else 0, np.int8)
        if drawn.by_labels is not None:
            part[drawn.by_labels] = 1
        parts.append(part)
    return np.concatenate(parts)


def _chosen_ranks(counts: np.ndarray) -> np.ndarray:
    """Ranks from 0, ascending: the first MOST_DRAWN, and those at which CROSS_SECTION evenly spaced draws of the rest are.

    Args:
        counts: draws by clip (int64 [N]), descending.
    """
    rest = np.cumsum(counts[MOST_DRAWN:])
    if not len(rest):
        return np.arange(len(counts))
    spaced = (np.arange(CROSS_SECTION) + 0.5) * rest[-1] / CROSS_SECTION
    return np.concatenate([np.arange(MOST_DRAWN), MOST_DRAWN + np.unique(np.searchsorted(rest, spaced, "right"))])
