"""Footage: one episode of the robot, every fourth step as a frame, with its ground truth.

Frames are slow to draw, so clips are windows of footage, and each frame serves many clips.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlmrb.pretrain.robots.stage import BUSY, RESTLESS, Stage
from vlmrb.store.encoding import decode_frames, encode_frames
from vlmrb.types import Event

ENVS = {
    "scene-v0": 0.55,
    "cube-single-v0": 0.12,
    "cube-double-v0": 0.1,
    "cube-triple-v0": 0.05,
    "puzzle-3x3-v0": 0.1,
    "puzzle-4x4-v0": 0.08,
}
"""What is filmed, with its share of the first VARIED episodes. No fixed tasks: layouts and goals are random."""

VARIED = 900
"""The first episodes show a restless robot in all environments, the others a busy one in the scene, because what it does with
drawer, window and locks would be rare otherwise."""

_SCENE = "scene-v0"
_ARRAYS = ("places", "looks", "held", "gripper", "cubes")  # of a footage, stored under their names

STRIDE = 4
"""Steps from one frame to the next."""

STEPS = 160
"""Steps per episode."""


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """One episode with T frames and K things in them.

    Attributes:
        env: the environment's id.
        frames: RGB uint8 [T, side, side, 3].
        things: names of the things: 'gripper', '<color> cube', 'button <number>', 'drawer', 'window'.
        places: float32 [T, K, 2], row and column in the picture as shares of its side; outside [0, 1) where not in the picture.
        looks: uint8 [T, K], index into LOOKS.
        held: bool [T, K], True for a cube between the fingers.
        gripper: float32 [T, 3], its position in metres.
        cubes: float32 [T, C, 3], their positions in metres.
        events: (index of the first frame not before it, index of the thing, event), ascending.
    """

    env: str
    frames: np.ndarray
    things: tuple[str, ...]
    places: np.ndarray
    looks: np.ndarray
    held: np.ndarray
    gripper: np.ndarray
    cubes: np.ndarray
    events: tuple[tuple[int, int, Event], ...]


class FilmMaker:
    """Films episodes and reuses its stages. Like OpenGL, it is bound to the thread that creates it."""

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}

    def film(self, seed: int, number: int) -> Footage:
        """The episode of this number, the same one for the same seed."""
        rng = np.random.default_rng([seed, number])
        env = str(rng.choice(list(ENVS), p=list(ENVS.values()))) if number < VARIED else _SCENE
        stage = self._stages.get(env) or self._stages.setdefault(env, Stage(env))
        stage.begin(rng, RESTLESS if number < VARIED else BUSY)
        return make_footage(stage, (stage.step() for _ in range(STEPS)))

    def close(self) -> None:
        """Close all stages."""
        for stage in self._stages.values():
            stage.close()
        self._stages = {}


def make_footage(stage: Stage, steps: Iterable[tuple[Event, ...]]) -> Footage:
    """Footage of an episode that has begun: each of the STEPS steps is taken while it is filmed, and says what happened."""
    things = tuple(stage.things())
    frames, seen, gripper, cubes, events = [], [], [], [], []
    for step, happened in enumerate(steps):
        for event in happened:
            events.append((step // STRIDE, _thing_of(event, things, stage), event))
        if step % STRIDE == STRIDE - 1:
            frames.append(stage.draw())
            seen.append(stage.see())
            gripper.append(stage.gripper())
            cubes.append(stage.cubes())
    places, looks, held = (np.array(parts) for parts in zip(*seen, strict=True))
    return Footage(stage.env, np.array(frames), things, places, looks, held, np.array(gripper), np.array(cubes), tuple(events))


def _thing_of(event: Event, things: tuple[str, ...], stage: Stage) -> int:
    """Index into `things` of what the event happened to."""
    if event.object == "cube":
        return things.index(f"{event.color} cube")
    if event.object == "button":
        return things.index(f"button {stage.nearest_button()}")
    return things.index(event.object)


def save_footage(path: Path, footage: Footage) -> None:
    """Write footage atomically, with its frames as lossless video."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        env=footage.env,
        video=np.frombuffer(encode_frames(footage.frames), np.uint8),
        shape=footage.frames.shape,
        things=np.array(footage.things),
        **{name: getattr(footage, name) for name in _ARRAYS},
        event_at=np.array([(at, thing) for at, thing, _ in footage.events], np.int64).reshape(-1, 2),
        event_names=np.array([(event.name, event.object, event.color) for _, _, event in footage.events]).reshape(-1, 3),
    )
    partial = path.with_suffix(".partial")
    partial.write_bytes(buffer.getvalue())
    partial.rename(path)


def load_footage(path: Path, *, frames: bool = True) -> Footage:
    """Read what `save_footage` has written; without `frames`, none are decoded: [0, side, side, 3]."""
    with np.load(path, allow_pickle=False) as parts:
        shape = tuple(int(side) for side in parts["shape"])
        assert len(shape) == 4
        events = [
            (int(at), int(thing), Event(str(name), str(kind), str(color)))
            for (at, thing), (name, kind, color) in zip(parts["event_at"], parts["event_names"], strict=True)
        ]
        return Footage(
            env=str(parts["env"]),
            frames=decode_frames(parts["video"].tobytes(), shape) if frames else np.zeros((0, *shape[1:]), np.uint8),
            things=tuple(str(name) for name in parts["things"]),
            events=tuple(events),
            **{name: parts[name] for name in _ARRAYS},
        )
