"""The exam on OGBench's own scene tasks, with tasks and behaviour that training never sees.

Two fifths of the clips come from OGBench's planning oracles, which move along smooth paths with correlated noise. In two fifths
the robot also trembles and strays, as half-trained agents do, and one fifth are of runs of SAC that learn there. A cube gets into
the drawer about once per episode, and only in the two tasks that ask for it, so one clip in twenty is picked for showing that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from vlmrb.envs.ogbench_env import OGBenchEnvironment
from vlmrb.envs.ogbench_events import SceneEvents
from vlmrb.envs.ogbench_frames import OGBenchRenderer, SceneState, visible_of
from vlmrb.envs.ogbench_play import ScenePlay
from vlmrb.envs.ogbench_scene import make_scene
from vlmrb.pretrain.exam import ASKED_PROGRESS, Asked, HeldOut, does, equal_shares
from vlmrb.pretrain.learning import Learner, clips_of
from vlmrb.pretrain.questions import Catalogue, Matter
from vlmrb.pretrain.recording import EpisodeRecorder
from vlmrb.pretrain.robots.catalogue import CATALOGUE
from vlmrb.pretrain.robots.truth import RobotTruth, is_moved, is_still
from vlmrb.scoring.worker import make_request
from vlmrb.types import Clip, ScoringRequest

_ENVS = tuple(f"scene-singletask-task{number}-v0" for number in range(1, 6))
_LEARNERS = tuple(Learner(f"scene-singletask-task{number}-v0", 8_000, algo="sac") for number in (1, 5))
_LEARNERS_SHARE = 0.2
_STRAYS = {"planned": 0.0, "half-trained": 0.4}  # steps astray for each step of play, by behaviour
_CLIP_LENGTH = 32
_EPISODE_CLIPS = 8
_RARE, _RARE_SHARE, _RARE_ENVS = "placed_in_drawer", 0.05, _ENVS[3:]
_STRAY_STEPS = (4, 20)
_TIMED_CLIPS = 24
_does = partial(does, "the robot")


class SceneExam:
    """OGBench's five scene tasks.

    Args:
        frames: how many frames of a clip the model looks at.
    """

    catalogue: Catalogue = CATALOGUE
    visuals: tuple[str, ...] = ()
    questions: tuple[Asked, ...] = (
        ASKED_PROGRESS,
        _does("grasp a cube", "grasped", "cube"),
        _does("lift a cube", "lifted", "cube"),
        _does("move a cube", "moved", "cube"),
        _does("put a cube into the drawer", "placed_in_drawer", "cube"),
        _does("open the drawer", "opened", "drawer"),
        _does("close the drawer", "closed", "drawer"),
        _does("open the window", "opened", "window"),
        _does("close the window", "closed", "window"),
        _does("press a button", "pressed", "button"),
        _does("unlock the drawer", "unlocked", "drawer"),
        _does("unlock the window", "unlocked", "window"),
        Asked(
            Matter("kept", "cube"),
            "Does the robot still hold a cube at the end?",
            "Is it false that the robot holds a cube at the end?",
        ),
        Asked(
            Matter("left open", "drawer"),
            "Is the drawer still open at the end?",
            "Is it false that the drawer is open at the end?",
        ),
        Asked(
            Matter("left open", "window"),
            "Is the window still open at the end?",
            "Is it false that the window is open at the end?",
        ),
    )

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._renderers: dict[str, OGBenchRenderer] = {}
        self._witnesses: dict[str, _Witness] = {}
        self._drawn: dict[int, ScoringRequest] = {}  # frames are slow to draw, and every question needs them

    def held_out(self, clips: int, seed: int) -> list[HeldOut]:
        """Clips of all tasks and behaviours, as a run would score them; the last twentieth shows what is rare."""
        rare, learnt = int(clips * _RARE_SHARE), round(clips * _LEARNERS_SHARE)
        items = self._of_each(_ENVS, clips - rare - learnt, (seed, 0))
        for learner, share in zip(_LEARNERS, equal_shares(learnt, len(_LEARNERS)), strict=True):
            items += [self._held_out(learner.env, clip) for clip in clips_of(learner, seed, share)]
        return items + self._of_each(_RARE_ENVS, rare, (seed, 1), _RARE)

    def timed(self, seed: int) -> list[HeldOut]:
        """Clips of task 4."""
        return self._film("scene-singletask-task4-v0", 0.2, np.random.default_rng([seed, 2]), _TIMED_CLIPS)

    def request(self, item: HeldOut, visuals: str = "normal") -> ScoringRequest:
        """A clip with its frames, which are drawn once."""
        assert visuals == "normal", visuals
        if id(item.clip) not in self._drawn:
            renderer = self._renderers.get(item.env) or self._renderers.setdefault(item.env, OGBenchRenderer(item.env))
            self._drawn[id(item.clip)] = make_request(item.clip, renderer, self._frames)
        return self._drawn[id(item.clip)]

    def _of_each(self, envs: tuple[str, ...], clips: int, seed: tuple[int, int], event: str = "") -> list[HeldOut]:
        """Clips in equal shares of every task and behaviour; if `event` is given, only clips in which it happens."""
        combinations = [(env_id, strays) for env_id in envs for strays in _STRAYS.values()]
        items: list[HeldOut] = []
        for number, share in enumerate(equal_shares(clips, len(combinations))):
            items += self._film(*combinations[number], np.random.default_rng([*seed, number]), share, event)
        return items

    def _film(self, env_id: str, strays: float, rng: np.random.Generator, clips: int, event: str = "") -> list[HeldOut]:
        found: list[HeldOut] = []
        if not clips:
            return found
        env = OGBenchEnvironment(env_id)
        while len(found) < clips:
            episode = (self._held_out(env_id, clip) for clip in _episode(env, rng, strays))
            if event:
                found += [item for item in episode if any(happened.name == event for happened in item.truth.events)]
            else:
                found += islice(episode, _EPISODE_CLIPS)
        env.close()
        return found[:clips]

    def _held_out(self, env_id: str, clip: Clip) -> HeldOut:
        witness = self._witnesses.get(env_id) or self._witnesses.setdefault(env_id, _Witness(env_id))
        return HeldOut(env_id, clip, witness.truth(clip))


class _PlannedPlay(ScenePlay):
    """Play by OGBench's planning oracles instead of its Markov ones."""

    def _make_oracle(self, kind: str) -> Any:
        from ogbench.manipspace.oracles.plan.button_plan import ButtonPlanOracle
        from ogbench.manipspace.oracles.plan.cube_plan import CubePlanOracle
        from ogbench.manipspace.oracles.plan.drawer_plan import DrawerPlanOracle
        from ogbench.manipspace.oracles.plan.window_plan import WindowPlanOracle

        oracles = {"cube": CubePlanOracle, "button": ButtonPlanOracle, "drawer": DrawerPlanOracle, "window": WindowPlanOracle}
        return oracles[kind](env=self._scene, noise=float(self._rng.choice([0.0, 0.1, 0.3])))


def _episode(env: OGBenchEnvironment, rng: np.random.Generator, strays: float) -> Iterator[Clip]:
    """The clips of one episode."""
    env.reset(int(rng.integers(2**31)))
    np.random.seed(int(rng.integers(2**31)))
    play = _PlannedPlay(env.scene, rng)
    recorder = EpisodeRecorder(env, _CLIP_LENGTH)
    straying, heading = 0, np.zeros(5)
    while not recorder.over:
        straying -= 1
        if straying <= 0 and rng.random() < strays / np.mean(_STRAY_STEPS):
            straying, heading = int(rng.integers(*_STRAY_STEPS)), rng.uniform(-1, 1, 5)
        action = np.clip(heading + rng.normal(0, 0.3, 5), -1, 1) if straying > 0 else play.act()
        yield from recorder.step(action.astype(np.float32))


class _Witness:
    """Tells what is true of clips from the states that were recorded.

    Args:
        env_id: of a scene with one cube.
    """

    def __init__(self, env_id: str) -> None:
        self._scene = make_scene(env_id)
        self._scene.reset(seed=0)
        self._state = SceneState(self._scene.model, self._scene.data, visible_of(self._scene))
        self._events = SceneEvents(self._scene)

    def truth(self, clip: Clip) -> RobotTruth:
        """As much of the truth as the exam's questions need: nothing of single frames and patches."""
        import mujoco

        cube, data = self._events.cubes[0], self._scene.data
        cube.begin()
        gripper, places = [], []
        for snapshot in clip.snapshots:
            self._state.unpack(snapshot)
            mujoco.mj_forward(self._scene.model, data)
            cube.look()  # whether it is held follows from what was before
            gripper.append(data.site_xpos[self._scene._pinch_site_id].copy())
            places.append(cube.position.copy())
        nothing = np.zeros((0, 0), bool)
        return RobotTruth(
            events=tuple(event for _, event in clip.events),
            stayed=is_still(_reach(gripper)),
            moved=frozenset({cube.color} if is_moved(_reach(places)) else ()),
            kept=frozenset({cube.color} if cube.is_held else ()),
            last=frozenset(f"open {name}" for name in ("drawer", "window") if self._events.opening(name) > 0.5),
            before=nothing,
            after=nothing,
            paths=nothing,
            happened=nothing,
        )


def _reach(places: list[np.ndarray]) -> float:
    """How far one gets from the first of these places, in metres."""
    return float(np.linalg.norm(np.array(places) - places[0], axis=1).max())
