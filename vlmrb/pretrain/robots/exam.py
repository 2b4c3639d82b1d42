"""The exam on OGBench's own scene tasks, none of which any training has seen, with behaviour that none has seen.

Half of the clips come from OGBench's planning oracles, which move along smooth paths with correlated noise; in the other half the
robot trembles and strays in between, as half-trained agents do. A cube gets into the drawer about once in an episode of the two
tasks that want it there: one clip in twenty is chosen for showing that.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np

from vlmrb.clips import ClipRecorder
from vlmrb.envs.ogbench_env import OGBenchEnvironment
from vlmrb.envs.ogbench_frames import OGBenchRenderer
from vlmrb.envs.ogbench_play import ScenePlay
from vlmrb.pretrain.exam import Asked, HeldOut
from vlmrb.pretrain.questions import Catalogue, Matter
from vlmrb.pretrain.robots.catalogue import CATALOGUE
from vlmrb.pretrain.robots.truth import Truth, is_moved, is_still
from vlmrb.pretrain.sampling import frame_indices
from vlmrb.types import Clip, ScoringRequest

_ENVS = tuple(f"scene-singletask-task{number}-v0" for number in range(1, 6))
_BEHAVIOURS = {"planned": 0.0, "half-trained": 0.4}
_CLIP_LENGTH = 32
_EPISODE_CLIPS = 8
_RARE, _RARE_SHARE, _RARE_ENVS = "placed_in_drawer", 0.05, _ENVS[3:]
_STRAY_STEPS = (4, 20)
_TIMED_CLIPS = 24


class SceneExam:
    """OGBench's five scene tasks.

    Args:
        frames: of a clip that the model looks at.
    """

    catalogue: Catalogue = CATALOGUE
    visuals: tuple[str, ...] = ()
    questions: tuple[Asked, ...] = (
        Asked(Matter("progress"), "Does this clip show meaningful progress?", "Does this clip end without meaningful progress?"),
        Asked(Matter("grasped", "cube"), "Does the robot grasp a cube?", "Does the robot never grasp a cube?"),
        Asked(Matter("lifted", "cube"), "Does the robot lift a cube?", "Does the robot never lift a cube?"),
        Asked(Matter("moved", "cube"), "Does the robot move a cube?", "Does the robot never move a cube?"),
        Asked(
            Matter("placed_in_drawer", "cube"),
            "Does the robot put a cube into the drawer?",
            "Does the robot never put a cube into the drawer?",
        ),
        Asked(Matter("opened", "drawer"), "Does the robot open the drawer?", "Does the robot never open the drawer?"),
        Asked(Matter("closed", "drawer"), "Does the robot close the drawer?", "Does the robot never close the drawer?"),
        Asked(Matter("opened", "window"), "Does the robot open the window?", "Does the robot never open the window?"),
        Asked(Matter("closed", "window"), "Does the robot close the window?", "Does the robot never close the window?"),
        Asked(Matter("pressed", "button"), "Does the robot press a button?", "Does the robot never press a button?"),
        Asked(Matter("unlocked", "drawer"), "Does the robot unlock the drawer?", "Does the robot never unlock the drawer?"),
        Asked(Matter("unlocked", "window"), "Does the robot unlock the window?", "Does the robot never unlock the window?"),
    )

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._renderers: dict[str, OGBenchRenderer] = {}
        self._drawn: dict[int, np.ndarray] = {}  # frames are slow to draw, and asked for again with every question

    def held_out(self, clips: int, seed: int) -> list[HeldOut]:
        """Clips of all tasks and behaviours, as a run would score them; the last twentieth chosen for what is rare."""
        rare = int(clips * _RARE_SHARE)
        items = self._of_each(_ENVS, clips - rare, (seed, 0))
        return items + self._of_each(_RARE_ENVS, rare, (seed, 1), _RARE)

    def timed(self, seed: int) -> list[HeldOut]:
        """Clips of task 4."""
        return self._film("scene-singletask-task4-v0", 0.2, np.random.default_rng([seed, 2]), _TIMED_CLIPS)

    def request(self, item: HeldOut, visuals: str = "normal") -> ScoringRequest:
        """A clip with its frames, drawn the first time it is asked for."""
        assert visuals == "normal", visuals
        indices = frame_indices(len(item.clip), self._frames)
        key = id(item.clip)
        if key not in self._drawn:
            renderer = self._renderers.get(item.env) or self._renderers.setdefault(item.env, OGBenchRenderer(item.env))
            self._drawn[key] = renderer.render(item.clip.snapshots[indices])
        return ScoringRequest(item.clip, self._drawn[key], tuple(int(index) for index in indices))

    def _of_each(self, envs: tuple[str, ...], clips: int, seed: tuple[int, int], event: str = "") -> list[HeldOut]:
        """Clips in equal shares of every task and behaviour; only those in which `event` happens, where one is named."""
        items: list[HeldOut] = []
        combinations = [(env_id, strays) for env_id in envs for strays in _BEHAVIOURS.values()]
        for number, (env_id, strays) in enumerate(combinations):
            share = clips * (number + 1) // len(combinations) - clips * number // len(combinations)
            items += self._film(env_id, strays, np.random.default_rng([*seed, number]), share, event)
        return items

    def _film(self, env_id: str, strays: float, rng: np.random.Generator, clips: int, event: str = "") -> list[HeldOut]:
        found: list[HeldOut] = []
        if not clips:
            return found
        env = OGBenchEnvironment(env_id)
        while len(found) < clips:
            episode = _episode(env, env_id, rng, strays)
            if event:
                found += [item for item in episode if any(happened.name == event for happened in item.truth.events)]
            else:
                found += islice(episode, _EPISODE_CLIPS)
        env.close()
        return found[:clips]


class _PlannedPlay(ScenePlay):
    """Play by OGBench's planning oracles in place of its Markov ones."""

    def _make_oracle(self, kind: str) -> Any:
        from ogbench.manipspace.oracles.plan.button_plan import ButtonPlanOracle
        from ogbench.manipspace.oracles.plan.cube_plan import CubePlanOracle
        from ogbench.manipspace.oracles.plan.drawer_plan import DrawerPlanOracle
        from ogbench.manipspace.oracles.plan.window_plan import WindowPlanOracle

        oracles = {"cube": CubePlanOracle, "button": ButtonPlanOracle, "drawer": DrawerPlanOracle, "window": WindowPlanOracle}
        return oracles[kind](env=self._scene, noise=float(self._rng.choice([0.0, 0.1, 0.3])))


def _episode(env: OGBenchEnvironment, env_id: str, rng: np.random.Generator, strays: float) -> Iterator[HeldOut]:
    """The clips of one episode, each with its truth."""
    env.reset(int(rng.integers(2**31)))
    np.random.seed(int(rng.integers(2**31)))
    play = _PlannedPlay(env.scene, rng)
    recorder = ClipRecorder(1, _CLIP_LENGTH, run_id=0)
    places: list[tuple[np.ndarray, np.ndarray]] = []
    straying, heading = 0, np.zeros(5)
    for step in count():
        straying -= 1
        if straying <= 0 and rng.random() < strays / np.mean(_STRAY_STEPS):
            straying, heading = int(rng.integers(*_STRAY_STEPS)), rng.uniform(-1, 1, 5)
        action = np.clip(heading + rng.normal(0, 0.3, 5), -1, 1) if straying > 0 else play.act()
        outcome = env.step(action.astype(np.float32))
        places.append(_places(env.scene))
        for clip in recorder.add(
            np.array([step]),
            [env.snapshot()],
            np.array([outcome.reward], np.float32),
            [outcome.events],
            np.array([outcome.terminated]),
            np.array([outcome.truncated]),
        ):
            yield HeldOut(env_id, clip, _truth(clip, places[-len(clip) :]))
        if outcome.terminated or outcome.truncated:
            return


def _places(scene: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where the gripper and the cube are: float [3] each, metres."""
    return scene.data.site_xpos[scene._pinch_site_id].copy(), scene.data.joint("object_joint_0").qpos[:3].copy()


def _truth(clip: Clip, places: list[tuple[np.ndarray, np.ndarray]]) -> Truth:
    """The truth that the exam's questions need; what single patches hold is none of them."""
    gripper, cube = (np.linalg.norm(np.array(part) - part[0], axis=1).max() for part in zip(*places, strict=True))
    nothing, moved = np.zeros((0, 0), bool), frozenset({"red"} if is_moved(float(cube)) else ())
    events = tuple(event for _, event in clip.events)
    return Truth(events, is_still(float(gripper)), moved, frozenset(), frozenset(), nothing, nothing, nothing, nothing)
