"""From a clip's labels to the replay priorities of its items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from vlmrb.config import TrainConfig

SMALLEST_CREDIT = 0.01
"""A credit below this is none."""

REMEMBERED = 2
"""Episodes of an environment that are remembered: its present one and, after a resume, one whose clips are scored again."""

REMEMBERED_OVERLAPPING = 32
"""The same for clips that overlap, where a late answer must not undo what another clip says of the same step."""

Labels = tuple[bool | None, ...]
"""The labels of a clip, one per question: yes, no, or unknown."""

Given = list[tuple[np.ndarray, np.ndarray]]
"""Pairs of a clip's item ids (int64 [T]) and the priorities (float64 [K] in [0, 1]) of all of them, one per stratum."""


class _Labelled(NamedTuple):
    """A clip of a remembered episode."""

    item_ids: np.ndarray
    labels: Labels


@dataclass
class LabelRule:
    """Yes is priority 1, no is 0. Clips of the same episode change each other's priorities only by the options.

    What it returns depends only on the settings and on the labels so far, so it can be replayed over stored answers. It
    remembers the clips of open episodes, where an option asks for them.

    Args:
        n_envs: consecutive items of a clip lie this many ids apart.
        stride: steps from the beginning of a clip to that of the next one in its episode.
        overlap: what becomes of an item that several clips hold: 'max' for the largest of their priorities, 'mean' for the
            mean over those of them that are labelled; '' if clips do not overlap.
        strata: keep the labels apart, one stratum each; otherwise a clip has one priority, 1 if any of its labels is yes.
        first_in_episode: of the clips of an episode with a yes to question k, only the first counts as a yes to it.
        credit: g in [0, 1). The clip d places before one with priority p in a stratum has at least priority p·g^d there, if
            that is 0.01 or more, so the clip before a yes has g, the one before that g². 0 for no credit.
    """

    n_envs: int
    stride: int
    strata: bool = False
    first_in_episode: bool = False
    credit: float = 0.0
    overlap: Literal["", "max", "mean"] = ""
    _episodes: dict[int, dict[int, list[_Labelled]]] = field(default_factory=dict)  # by environment and number, latest last

    @classmethod
    def of(cls, config: TrainConfig) -> LabelRule:
        """The rule of a run."""
        overlaps = config.clip_stride is not None and config.clip_stride < config.clip_length
        return cls(
            config.n_envs,
            config.clip_stride or config.clip_length,
            config.strata,
            config.first_in_episode,
            config.credit,
            config.overlap if overlaps else "",
        )

    def apply(self, clip_env: int, clip_episode: int, item_ids: np.ndarray, labels: Labels) -> Given:
        """The priorities that follow from a clip's labels: those of the clip, and those in its episode that change.

        Args:
            clip_env: index of the clip's environment.
            clip_episode: number of its episode in the run.
            item_ids: int64 [T], its items.
            labels: one per question; unknown ones count as no, and a clip with unknown ones alone has no priorities.
        """
        new = _Labelled(item_ids, labels)
        if not self.first_in_episode and not self.credit and not self.overlap:
            return [(item_ids, self._priorities([new])[0])] if _is_known(new) else []
        before = self._remembered(clip_env, clip_episode)
        now = sorted([*before, new], key=lambda clip: int(clip.item_ids[0]))
        self._episodes[clip_env][clip_episode] = now
        priorities = self._priorities(now)
        changes = _changes(before, self._priorities(before), now, priorities)
        if self.overlap:
            return self._by_item([ids for ids, _ in changes], now, priorities)
        return sorted(changes, key=lambda given: given[0] is not item_ids)  # the clip itself first

    def _by_item(self, changed: Sequence[np.ndarray], clips: Sequence[_Labelled], priorities: np.ndarray) -> Given:
        """The priorities of the items of some clips, by all clips that hold them; items with the same ones together."""
        known = [(clip.item_ids, row) for clip, row in zip(clips, priorities, strict=True) if _is_known(clip) or row.any()]
        if not changed or not known:
            return []
        item_ids = np.unique(np.concatenate(changed))
        held = np.stack([np.isin(item_ids, ids, assume_unique=True) for ids, _ in known])  # [clips, items]
        rows = np.stack([row for _, row in known])  # [clips, K]
        if self.overlap == "max":
            by_item = np.where(held[:, :, None], rows[:, None, :], 0.0).max(axis=0)  # [items, K]
        else:
            by_item = held.T @ rows / held.sum(axis=0)[:, None]
        alike, groups = np.unique(by_item, axis=0, return_inverse=True)
        return [(item_ids[groups.ravel() == group], row) for group, row in enumerate(alike)]

    def _remembered(self, env: int, episode: int) -> list[_Labelled]:
        episodes = self._episodes.setdefault(env, {})
        clips = episodes.pop(episode, [])
        most = REMEMBERED_OVERLAPPING if self.overlap else REMEMBERED
        for oldest in list(episodes)[: len(episodes) - most + 1]:
            del episodes[oldest]
        episodes[episode] = clips
        return clips

    def _priorities(self, clips: Sequence[_Labelled]) -> np.ndarray:
        """Priorities of an episode's clips, in order: float64 [clips, K]."""
        priorities = np.zeros((len(clips), max((len(clip.labels) for clip in clips), default=1)))
        for row, clip in zip(priorities, clips, strict=True):
            row[: len(clip.labels)] = [label is True for label in clip.labels]
        if self.first_in_episode:
            priorities[priorities.cumsum(axis=0) > 1.0] = 0.0
        if not self.strata:
            priorities = priorities.max(axis=1, keepdims=True)
        if self.credit:
            for i in range(len(clips) - 1, 0, -1):
                steps = int(clips[i].item_ids[0] - clips[i - 1].item_ids[0]) // self.n_envs
                credit = priorities[i] * self.credit ** (steps // self.stride)
                priorities[i - 1] = np.maximum(priorities[i - 1], np.where(credit < SMALLEST_CREDIT, 0.0, credit))
        return priorities

    def state_dict(self) -> dict[str, Any]:
        """The remembered clips; JSON-serialisable."""
        return {
            str(env): {
                str(number): [[int(clip.item_ids[0]), len(clip.item_ids), list(clip.labels)] for clip in clips]
                for number, clips in episodes.items()
            }
            for env, episodes in self._episodes.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore."""
        self._episodes = {
            int(env): {
                int(number): [_Labelled(first + self.n_envs * np.arange(count), tuple(labels)) for first, count, labels in clips]
                for number, clips in episodes.items()
            }
            for env, episodes in state.items()
        }


def _is_known(clip: _Labelled) -> bool:
    return any(label is not None for label in clip.labels)


def _changes(before: Sequence[_Labelled], old: np.ndarray, now: Sequence[_Labelled], new: np.ndarray) -> Given:
    """Clips whose priorities are not what they were; a new one is among them if it has a label or a priority."""
    were = {id(clip): priorities for clip, priorities in zip(before, old, strict=True)}
    found = []
    for clip, priorities in zip(now, new, strict=True):
        known = were.get(id(clip))
        if known is None:
            changed = _is_known(clip) or bool(priorities.any())
        else:
            changed = not np.array_equal(np.pad(known, (0, len(priorities) - len(known))), priorities)
        if changed:
            found.append((clip.item_ids, priorities))
    return found
