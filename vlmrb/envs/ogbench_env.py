"""OGBench's manipulation tasks: state observations, the task's own reward and success, events, and snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.envs.actions import BoxActions
from vlmrb.envs.base import Action, EnvStep
from vlmrb.envs.checks import as_reward, check_finite
from vlmrb.envs.missions import task_in_words
from vlmrb.envs.ogbench_events import SceneEvents
from vlmrb.envs.ogbench_frames import FRAME_SIDE, SceneState
from vlmrb.envs.ogbench_scene import make_scene, spec_of
from vlmrb.envs.success import SuccessRule
from vlmrb.errors import EnvironmentSetupError
from vlmrb.types import Event, ObservationSpec


class OGBenchEnvironment:
    """One manipulation task of OGBench with its fixed goal, such as 'scene-singletask-task4-v0'.

    The reward of a step is minus the number of unmet goals; when all are met the episode ends as a success.

    Args:
        env_id: OGBench id with 'singletask' in it.
        success_return: return at which a step counts as a success, or None for the task's own rule.
        success_step: 'last' if the last step of an episode decides, 'any' if any step does.

    Raises:
        EnvironmentSetupError: the id is not a single task, or its observations are images.
    """

    def __init__(self, env_id: str, success_return: float | None = None, success_step: str = "last") -> None:
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
        self.time_limit = self._limit
        self._success = SuccessRule("every object is at its goal", success_return, success_step)
        self.success_rule = self._success.words

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode with this seed."""
        observation, _ = self._scene.reset(seed=seed)
        self._steps = 0
        self._success.begin()
        self._events.begin()
        return check_finite(observation.astype(np.float32))

    def step(self, action: Action) -> EnvStep:
        """Act."""
        observation, given, terminated, _, info = self._scene.step(self._box.map(np.asarray(action)))
        self._steps += 1
        reward = as_reward(given)
        truncated = self._steps >= self._limit and not terminated
        success = self._success.step(info["success"], reward, bool(terminated or truncated))
        events = self._events.look()
        events += (Event("success"),) if self._success.came_now else ()
        return EnvStep(check_finite(observation.astype(np.float32)), reward, bool(terminated), truncated, success, events)

    @property
    def mission(self) -> str:
        """The task in words."""
        return task_in_words(self._scene)

    @property
    def notice(self) -> str:
        """What it reported as success that is no truth value; '' if nothing."""
        return self._success.notice

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
