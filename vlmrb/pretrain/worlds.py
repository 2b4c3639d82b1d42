"""Clips with their ground truth, generated on the fly: simulate, choose so that rare events are common, draw.

Everything follows from the seed of a batch; batches know nothing of each other, so any process can make any of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from minigrid.core.constants import OBJECT_TO_IDX
from PIL import Image

from vlmrb.clips import ClipRecorder
from vlmrb.envs import make_renderer
from vlmrb.envs.minigrid import MiniGridEnvironment
from vlmrb.envs.minigrid_view import COLORS, DOOR, EMPTY, STATES, WALL
from vlmrb.pretrain.behaviour import Behaviour
from vlmrb.pretrain.environments import SCATTERED, make_world, training_families
from vlmrb.pretrain.truth import Truth, truth_of
from vlmrb.types import Clip, FrameRenderer

SIDE = 128
"""Pixels of a picture's sides as the model sees it."""

TILE_SIZE = 32  # MiniGrid's own, at which runs draw their clips
_TILE_SIZES = (8, 10, 12, 14, 16, 20, 24, 28)
_CLIP_LENGTHS = (4, 8, 12, 16, 24, 40, 48, 64)
VIEW_SIZE = 7  # MiniGrid's own
_THINGS = [OBJECT_TO_IDX[name] for name in ("wall", "floor", "door", "door", "key", "key", "ball", "box", "goal", "lava")]
_WORLDS_KEPT = 48  # made environments per process
_POOL = 3  # clips simulated for each one chosen


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A clip as a model sees it, and what is true of it.

    Attributes:
        env: the environment's id.
        clip: the clip.
        frames: RGB uint8 [F, SIDE, SIDE, 3], evenly spaced over the clip, as the model's image processor makes them.
        truth: of these frames.
    """

    env: str
    clip: Clip
    frames: np.ndarray
    truth: Truth


class SceneMaker:
    """Makes scenes; keeps environments and drawn tiles between calls.

    Args:
        env_ids: draw from these alone, equally often; None for all families of `training_families`, the scattered
            rooms in four of ten episodes and the families equally often in the others.
        planned: share of the moods that follow a plan (see `Behaviour`).
        visuals: how frames are drawn, as in a run's configuration.
        vary: also clips of other lengths than 32, other tile sizes than MiniGrid's.
    """

    def __init__(
        self, env_ids: Sequence[str] | None = None, *, planned: float = 0.6, visuals: str = "normal", vary: bool = True
    ) -> None:
        self._env_ids = None if env_ids is None else tuple(env_ids)
        self._families = tuple(ids for family, ids in training_families().items() if family != SCATTERED)
        self._planned, self._visuals, self._vary = planned, visuals, vary
        self._worlds: dict[str, MiniGridEnvironment] = {}
        self._renderers: dict[int, FrameRenderer] = {}

    def balanced(self, seed: Sequence[int], count: int, frames: int) -> list[Scene]:
        """`count` scenes of at most `frames` frames, in which rare events are about as frequent as common ones."""
        rng = np.random.default_rng(list(seed))
        pool: list[tuple[str, Clip]] = []
        while len(pool) < _POOL * count:
            pool += self.episode(rng, clips=3)
        return [self.scene(env_id, clip, frames, rng) for env_id, clip in choose_balanced(pool, count, rng)]

    def mosaics(self, seed: Sequence[int], count: int, frames: int) -> list[Scene]:
        """`count` scenes whose frames are full of objects in no order: nothing happens, but there is much to name."""
        rng = np.random.default_rng(list(seed))
        scenes = []
        for _ in range(count):
            side = int(rng.integers(5, 18))
            snapshots = np.stack([_mosaic(side, rng) for _ in range(frames)])
            nothing = np.zeros(frames, np.float32)
            clip = Clip(0, 0, 0, np.arange(frames), snapshots, nothing, (), "length")
            scenes.append(self.scene("mosaic", clip, frames, rng))
        return scenes

    def as_they_come(self, seed: Sequence[int], count: int) -> list[tuple[str, Clip]]:
        """`count` clips of whole episodes, as an agent would produce them, each with its environment's id."""
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
            return [(env_id, clip) for clip in _record(world, behaviour, length, clips)]

    def scene(self, env_id: str, clip: Clip, frames: int, rng: np.random.Generator) -> Scene:
        """Draw a clip's frames and work out their truth."""
        indices = frame_indices(len(clip), frames)
        tile_size = TILE_SIZE if not self._vary or rng.random() < 0.5 else int(rng.choice(_TILE_SIZES))
        pictures = self._renderer(tile_size).render(clip.snapshots[indices])
        return Scene(env_id, clip, fit(pictures), truth_of(clip, indices))

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

    def _renderer(self, tile_size: int) -> FrameRenderer:
        if tile_size not in self._renderers:
            recipe = {"kind": "minigrid", "tile_size": tile_size, "visuals": self._visuals}
            self._renderers[tile_size] = make_renderer(recipe)
        return self._renderers[tile_size]


def frame_indices(length: int, frames: int) -> np.ndarray:
    """The steps of a clip that a scorer with `frames` frames is shown: evenly spaced, the last one among them."""
    return np.unique(np.linspace(length - 1, 0, min(frames, length)).round().astype(int))


def fit(pictures: np.ndarray, side: int = SIDE) -> np.ndarray:
    """What the model's image processor makes of pictures before it scales their values.

    It first scales the longest side, keeping the shape (to even lengths), then both sides to the square.

    Args:
        pictures: RGB uint8 [F, H, W, 3].
        side: of the outcome, which is square.

    Returns:
        uint8 [F, side, side, 3].
    """
    height, width = pictures.shape[1:3]
    if width >= height:
        between = (side, _even(int(side / (width / height))))
    else:
        between = (_even(int(side * (width / height))), side)
    fitted = np.empty((len(pictures), side, side, 3), np.uint8)
    for index, picture in enumerate(pictures):
        image = Image.fromarray(picture)
        for size in (between, (side, side)):
            image = image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
        fitted[index] = np.asarray(image)
    return fitted


def choose_balanced(pool: Sequence[tuple[str, Clip]], count: int, rng: np.random.Generator) -> list[tuple[str, Clip]]:
    """Choose `count` of the pool: again and again one of the kinds of events, least chosen first, then a clip that holds it.

    Where no clip of a kind is left the others fill up, so that common kinds are frequent and rare ones are all there.
    """
    kinds = [_kinds(clip) for _, clip in pool]
    chosen: list[int] = []
    left = set(range(len(pool)))
    tally = {kind: 0 for kinds_of_clip in kinds for kind in kinds_of_clip}
    while len(chosen) < min(count, len(pool)):
        open_kinds = [kind for kind in tally if any(kind in kinds[i] for i in left)]
        kind = min(open_kinds, key=lambda name: (tally[name], name))
        candidates = sorted(i for i in left if kind in kinds[i])
        pick = candidates[int(rng.integers(len(candidates)))]
        chosen.append(pick)
        left.remove(pick)
        for name in kinds[pick]:
            tally[name] += 1
    return [pool[i] for i in chosen]


def _mosaic(side: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [S]: a snapshot of a walled square in which half of the cells hold any object, brightened anywhere."""
    cells = np.zeros((side, side, 3), np.uint8)
    cells[..., 0] = WALL
    inner = cells[1:-1, 1:-1]
    shape = inner.shape[:2]
    inner[..., 0] = np.where(rng.random(shape) < rng.uniform(0.2, 0.6), rng.choice(_THINGS, shape), EMPTY)
    inner[..., 1] = rng.integers(0, COLORS, shape)
    inner[..., 2] = np.where(inner[..., 0] == DOOR, rng.integers(0, STATES, shape), 0)
    seen = np.packbits(np.arange(VIEW_SIZE**2) < rng.integers(0, VIEW_SIZE**2 + 1))
    header = (side, side, *rng.integers(1, side - 1, 2), rng.integers(0, 4))
    return np.concatenate([np.array(header, np.uint8), seen, cells.ravel()])


def _record(world: MiniGridEnvironment, behaviour: Behaviour, length: int, clips: int) -> Iterable[Clip]:
    recorder = ClipRecorder(1, length, run_id=0)
    closed: list[Clip] = []
    step = 0
    while len(closed) < clips:
        outcome = world.step(behaviour.act())
        closed += recorder.add(
            np.array([step]),
            [world.snapshot()],
            np.array([outcome.reward], np.float32),
            [outcome.events],
            np.array([outcome.terminated]),
            np.array([outcome.truncated]),
        )
        step += 1
        if outcome.terminated or outcome.truncated:
            break
    return closed


def _kinds(clip: Clip) -> frozenset[str]:
    """The kinds of events in a clip, with 'stayed' and 'nothing' for want of others."""
    places = clip.snapshots[:, 2:4]
    kinds = {f"{event.name} {event.object}" for _, event in clip.events if event.name not in ("success", "failed")}
    if (places == places[0]).all():
        kinds.add("stayed")
    return frozenset(kinds or {"nothing"})


def _even(length: int) -> int:
    return max(1, length + length % 2)
