"""OGBench's manipulation tasks: state observations, the task's own reward and success, events, and snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.envs.actions import BoxActions
from vlmrb.envs.base import Action, EnvStep
from vlmrb.envs.ogbench_events import SceneEvents
from vlmrb.envs.ogbench_frames import FRAME_SIDE, SceneState
from vlmrb.envs.ogbench_scene import make_scene, spec_of
from vlmrb.errors import EnvironmentSetupError
from vlmrb.types import Event, ObservationSpec


class OGBenchEnvironment:
    """One manipulation task of OGBench with its fixed goal, such as 'scene-singletask-task4-v0'.

    The reward of a step is minus the number of unmet goals; when all are met the episode ends as a success.

    Args:
        env_id: OGBench id with 'singletask' in it.

    Raises:
        EnvironmentSetupError: the id is not a single task, or its observations are images.
    """

    def __init__(self, env_id: str) -> None:
        spec = spec_of(env_id)
        if "reward_task_id" not in spec.kwargs or spec.kwargs.get("ob_type", "states") != "states":
            raise EnvironmentSetupError(
                f"{env_id}: agents need a single task with state observations, with an id like scene-singletask-task4-v0"
            )
        self._scene = make_scene(env_id)
        first, _ = self._scene.reset(seed=0)
        self._box = BoxActions(self._scene.action_space, env_id)
        self._state, self._events = SceneState(self._scene), SceneEvents(self._scene)
        self._limit, self._steps = int(spec.max_episode_steps or 1000), 0
        self.action_spec = self._box.spec
        self.observation_spec = ObservationSpec("vector", (len(first),), "float32")
        self.render_spec: dict[str, Any] = {"kind": "ogbench", "env": env_id, "side": FRAME_SIDE}
        self.success_rule = "every object is at its goal"

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode with this seed."""
        observation, _ = self._scene.reset(seed=seed)
        self._steps = 0
        self._events.begin()
        return observation.astype(np.float32)

    def step(self, action: Action) -> EnvStep:
        """Act."""
        observation, reward, terminated, _, info = self._scene.step(self._box.map(np.asarray(action)))
        self._steps += 1
        truncated = self._steps >= self._limit and not terminated
        events = self._events.look()
        success: bool | None = None
        if terminated or truncated:
            success = bool(info["success"])
            events += (Event("success"),) if success else ()
        return EnvStep(observation.astype(np.float32), float(reward), bool(terminated), truncated, success, events)

    def snapshot(self) -> np.ndarray:
        """The state that a frame depends on, uint8 [S]."""
        return self._state.pack()

    @property
    def scene(self) -> Any:
        """OGBench's environment, for scripted play."""
        return self._scene

    def close(self) -> None:
        """Close the environment."""
        self._scene.close()
