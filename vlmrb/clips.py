"""ClipRecorder: steps in, clips out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vlmrb.types import CLIPS_PER_RUN, Clip, ClosedBy, Event


class _OpenClip:
    """The clip that one environment is filling; it begins with the last `overlap` steps of the clip before."""

    def __init__(self, episode: int) -> None:
        self.episode = episode
        self.item_ids: list[int] = []
        self.snapshots: list[np.ndarray] = []
        self.rewards: list[float] = []
        self.events: list[tuple[int, Event]] = []
        self.overlap = 0
        self.mission = ""

    def next(self, stride: int) -> _OpenClip:
        """The clip of the same episode that begins `stride` steps later."""
        found = _OpenClip(self.episode)
        found.mission = self.mission
        found.item_ids, found.snapshots, found.rewards = self.item_ids[stride:], self.snapshots[stride:], self.rewards[stride:]
        found.events = [(at - stride, event) for at, event in self.events if at >= stride]
        found.overlap = len(found.item_ids)
        return found


class ClipRecorder:
    """Cuts each environment's steps into consecutive clips.

    A clip closes when it holds `clip_length` steps or its episode ends, so it never spans two episodes. The next one of an
    episode begins `stride` steps after it began, so that clips overlap if that is less than their length. Each snapshot is
    taken after its step, so the one that shows the success is in the clip.

    Args:
        n_envs: E.
        clip_length: L, maximum number of steps per clip.
        stride: from 1 to L; L for clips that do not overlap.
        run_id: part of the clip ids.
        first_number: number of the first clip; numbers are never reused within a run.
        first_episode: number of the first episode.
    """

    def __init__(
        self,
        n_envs: int,
        clip_length: int,
        run_id: int,
        first_number: int = 0,
        first_episode: int = 0,
        stride: int | None = None,
    ) -> None:
        self._clip_length, self._run_id, self._stride = clip_length, run_id, stride or clip_length
        self.next_number, self.next_episode = first_number, first_episode
        self._open = [_OpenClip(self._take_episode()) for _ in range(n_envs)]

    @property
    def episodes(self) -> list[int]:
        """Current episode number of each environment."""
        return [clip.episode for clip in self._open]

    def _take_episode(self) -> int:
        self.next_episode += 1
        return self.next_episode - 1

    def add(
        self,
        item_ids: np.ndarray,
        snapshots: Sequence[np.ndarray],
        rewards: np.ndarray,
        events: Sequence[Sequence[Event]],
        terminated: np.ndarray,
        truncated: np.ndarray,
        missions: Sequence[str] = (),
    ) -> list[Clip]:
        """Add one step of all environments (each argument [E], missions possibly empty) and return the clips it closed."""
        closed = []
        for index, clip in enumerate(self._open):
            clip.mission = missions[index] if missions else ""
            clip.events += [(len(clip.item_ids), event) for event in events[index]]
            clip.item_ids.append(int(item_ids[index]))
            clip.snapshots.append(snapshots[index])
            clip.rewards.append(float(rewards[index]))
            ended = bool(terminated[index] or truncated[index])
            if ended or len(clip.item_ids) == self._clip_length:
                closed.append(self._close(index, "terminated" if terminated[index] else "truncated" if ended else "length"))
                self._open[index] = _OpenClip(self._take_episode()) if ended else clip.next(self._stride)
        return closed

    def close_open(self) -> list[Clip]:
        """Close every open clip as 'interrupted' and start new episodes (used when a run ends or is resumed)."""
        closed = [self._close(index, "interrupted") for index, clip in enumerate(self._open) if len(clip.item_ids) > clip.overlap]
        self._open = [_OpenClip(self._take_episode()) for _ in self._open]
        return closed

    def _close(self, index: int, closed_by: ClosedBy) -> Clip:
        clip = self._open[index]
        self.next_number += 1
        return Clip(
            clip_id=self._run_id * CLIPS_PER_RUN + self.next_number - 1,
            env_index=index,
            episode=clip.episode,
            item_ids=np.array(clip.item_ids, np.int64),
            snapshots=_stack(clip.snapshots),
            rewards=np.array(clip.rewards, np.float32),
            events=tuple(clip.events),
            closed_by=closed_by,
            overlap=clip.overlap,
            mission=clip.mission,
        )

    def state_dict(self) -> dict[str, Any]:
        """Open clips: arrays 'snapshots.<index>'; everything else is JSON-serialisable."""
        state: dict[str, Any] = {"next_number": self.next_number, "next_episode": self.next_episode, "open": []}
        for index, clip in enumerate(self._open):
            events = [[at, event.name, event.object, event.color] for at, event in clip.events]
            state["open"].append(
                {
                    "episode": clip.episode,
                    "item_ids": clip.item_ids,
                    "rewards": clip.rewards,
                    "events": events,
                    "overlap": clip.overlap,
                    "mission": clip.mission,
                }
            )
            if clip.snapshots:
                state[f"snapshots.{index}"] = _stack(clip.snapshots)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore; `next_number` never decreases, so numbers stay unique."""
        self.next_number = max(self.next_number, int(state["next_number"]))
        self.next_episode = int(state["next_episode"])
        for index, saved in enumerate(state["open"]):
            clip = self._open[index] = _OpenClip(int(saved["episode"]))
            clip.item_ids, clip.rewards = list(saved["item_ids"]), list(saved["rewards"])
            clip.events = [(at, Event(name, kind, color)) for at, name, kind, color in saved["events"]]
            clip.snapshots = list(state.get(f"snapshots.{index}", ()))
            clip.overlap, clip.mission = int(saved.get("overlap", 0)), str(saved.get("mission", ""))


def _stack(snapshots: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 [T, …]; texts, which differ in length, are filled up with zeros."""
    if snapshots[0].ndim != 1 or len({len(snapshot) for snapshot in snapshots}) == 1:
        return np.stack(snapshots)
    filled = np.zeros((len(snapshots), max(map(len, snapshots))), np.uint8)
    for row, snapshot in zip(filled, snapshots, strict=True):
        row[: len(snapshot)] = snapshot
    return filled
