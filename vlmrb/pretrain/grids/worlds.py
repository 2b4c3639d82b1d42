"""Clips of grid worlds with their ground truth, generated on the fly and chosen so that rare events are common.

Everything in a batch follows from its own seed, so any process can make any batch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlmrb.envs.minigrid import MiniGridEnvironment
from vlmrb.envs.rendering import MiniGridRenderer
from vlmrb.pretrain.grids.behaviour import Behaviour
from vlmrb.pretrain.grids.environments import SCATTERED, make_world, training_families
from vlmrb.pretrain.grids.truth import GridTruth, passages, truth_of
from vlmrb.pretrain.recording import EpisodeRecorder
from vlmrb.pretrain.sampling import choose_balanced, frame_indices
from vlmrb.pretrain.truth import event_kinds
from vlmrb.types import Clip

_CLIP_LENGTHS = (2, 3, 4, 8, 12, 16, 24, 40, 48, 64)
_WORLDS_KEPT = 48  # environments kept per process
_POOL = 3  # clips simulated per clip chosen
_LEARNERS_SHARE = 0.2  # of the draws from the pool that are clips of agents that learn, if there are any
_CUT_SHARE = 0.25  # of those that are cut short
_SMALL = 100
_LARGE, _LARGE_SHARE = 17 * 17, 0.2  # keep only this share of the worlds with more cells: the model is slow on them


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A clip as the model sees it, with its ground truth.

    Frames are mosaics of few distinct tiles, so a scene holds only which tile is where; `TilePictures` has what it looks like.

    Attributes:
        env: the environment's id.
        clip: the clip.
        tiles: int64 [F, H, W], the renderer's key of each cell's tile in frames evenly spaced over the clip.
        truth: of the clip and these frames.
    """

    env: str
    clip: Clip
    tiles: np.ndarray
    truth: GridTruth


class SceneMaker:
    """Makes scenes; keeps environments between calls.

    Args:
        env_ids: draw from these only, all equally often; None for `training_families`: scattered rooms in four of ten
            episodes, the other families equally often in the rest.
        planned: share of the moods that follow a plan (see `Behaviour`).
        vary: make clips of other lengths than 32, too.
        learners: clips of agents that learn, with their environments' ids, to be among the balanced ones.
    """

    def __init__(
        self,
        env_ids: Sequence[str] | None = None,
        *,
        planned: float = 0.6,
        vary: bool = True,
        learners: Sequence[tuple[str, Clip]] = (),
    ) -> None:
        self._env_ids = None if env_ids is None else tuple(env_ids)
        self._families = tuple(ids for family, ids in training_families().items() if family != SCATTERED)
        self._planned, self._vary, self._learners = planned, vary, learners
        self._worlds: dict[str, MiniGridEnvironment] = {}
        self._renderer = MiniGridRenderer()

    def balanced(self, seed: Sequence[int], count: int, frames: int, *, small: bool = False) -> list[Scene]:
        """Scenes in which rare events are about as frequent as common ones.

        Args:
            seed: the same seed gives the same scenes.
            count: number of scenes.
            frames: maximum per scene.
            small: leave out worlds of more than 100 cells.
        """
        rng = np.random.default_rng(list(seed))
        pool: list[tuple[str, Clip]] = []
        while len(pool) < _POOL * count:
            clips = self._learnt(rng) if self._learners and rng.random() < _LEARNERS_SHARE else self.episode(rng, clips=3)
            if clips and rng.random() < _share_kept(_cells(clips[0][1]), small):
                pool += clips
        chosen = choose_balanced([_kinds(clip) for _, clip in pool], count, rng)
        return [self.scene(*pool[number], frames) for number in chosen]

    def as_they_come(self, seed: Sequence[int], count: int) -> list[tuple[str, Clip]]:
        """This many clips, as an agent would produce them, each with its environment's id."""
        rng = np.random.default_rng(list(seed))
        pool: list[tuple[str, Clip]] = []
        while len(pool) < count:
            pool += self.episode(rng, clips=12)
        return pool[:count]

    def episode(self, rng: np.random.Generator, clips: int) -> list[tuple[str, Clip]]:
        """Up to `clips` consecutive clips of one episode, each with its environment's id."""
        env_id = self._draw_env(rng)
        length = 32 if not self._vary or rng.random() < 0.75 else int(rng.choice(_CLIP_LENGTHS))
        world = self._world(env_id)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123 - BabyAI prints
            world.reset(int(rng.integers(2**31)))
            behaviour = Behaviour(world._grid_env, rng, self._planned)
            recorder = EpisodeRecorder(world, length)
            closed: list[Clip] = []
            while len(closed) < clips and not recorder.over:
                closed += recorder.step(behaviour.act())
        return [(env_id, clip) for clip in closed]

    def _learnt(self, rng: np.random.Generator) -> list[tuple[str, Clip]]:
        """Three clips of agents that learn; some are cut short at either end."""
        drawn = [self._learners[int(rng.integers(len(self._learners)))] for _ in range(3)]
        return [(env_id, _cut(clip, rng) if rng.random() < _CUT_SHARE else clip) for env_id, clip in drawn]

    def scene(self, env_id: str, clip: Clip, frames: int) -> Scene:
        """The tiles of a clip's frames (at most `frames`), and the truth."""
        indices = frame_indices(len(clip), frames)
        return Scene(env_id, clip, self._renderer.tile_keys(clip.snapshots[indices]), truth_of(clip, indices))

    def _draw_env(self, rng: np.random.Generator) -> str:
        if self._env_ids is not None:
            return self._env_ids[int(rng.integers(len(self._env_ids)))]
        if rng.random() < 0.4:
            return SCATTERED
        family = self._families[int(rng.integers(len(self._families)))]
        return family[int(rng.integers(len(family)))]

    def _world(self, env_id: str) -> MiniGridEnvironment:
        if env_id not in self._worlds:
            if len(self._worlds) >= _WORLDS_KEPT:
                self._worlds.pop(next(iter(self._worlds))).close()
            self._worlds[env_id] = make_world(env_id)
        return self._worlds[env_id]


def _cut(clip: Clip, rng: np.random.Generator) -> Clip:
    """A stretch of a clip."""
    length = int(rng.integers(1, len(clip) + 1))
    first = int(rng.integers(len(clip) - length + 1))
    kept = slice(first, first + length)
    return replace(
        clip,
        item_ids=clip.item_ids[kept],
        snapshots=clip.snapshots[kept],
        rewards=clip.rewards[kept],
        events=tuple((index - first, event) for index, event in clip.events if first <= index < first + length),
    )


def _share_kept(cells: int, small: bool) -> float:
    if small:
        return float(cells <= _SMALL)
    return 1.0 if cells <= _LARGE else _LARGE_SHARE


def _cells(clip: Clip) -> int:
    return int(clip.snapshots[0, 0]) * int(clip.snapshots[0, 1])


def _kinds(clip: Clip) -> frozenset[str]:
    """Kinds of events; standing in a doorway is one, since it looks like closing the door or entering a room and is neither."""
    places = clip.snapshots[:, 2:4]
    return event_kinds((event for _, event in clip.events), stayed=bool((places == places[0]).all())) | passages(clip)
