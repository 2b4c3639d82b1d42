"""OGBench's manipulation tasks: state observations and goals, the task's own reward and success, events, and snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.envs.actions import BoxActions
from vlmrb.envs.base import Action, EnvStep
from vlmrb.envs.checks import as_reward, check_finite
from vlmrb.envs.missions import task_in_words
from vlmrb.envs.ogbench_events import SceneEvents
from vlmrb.envs.ogbench_frames import FRAME_SIDE, SceneState, visible_of
from vlmrb.envs.ogbench_goals import is_goal_task, judge_states, success_rule, task_of
from vlmrb.envs.ogbench_scene import make_scene, spec_of
from vlmrb.envs.success import SuccessRule
from vlmrb.errors import EnvironmentSetupError
from vlmrb.types import Event, ObservationSpec


class OGBenchEnvironment:
    """OGBench's robot arm, with one fixed task ('scene-singletask-task4-v0') or with goals ('scene-v0').

    With one task, the reward of a step is minus the number of objects that are not at their goal; when all are, the episode
    ends as a success. With goals, the agent also sees the state that it is to reach; the step that reaches it has reward 1 and
    ends the episode, all others have 0 (`vlmrb.envs.ogbench_goals`).

    Args:
        env_id: OGBench id.
        success_return: return at which a step counts as a success, or None for the task's own rule.
        success_step: 'last' if the last step of an episode decides, 'any' if any step does.

    Raises:
        EnvironmentSetupError: its observations are images.
    """

    def __init__(self, env_id: str, success_return: float | None = None, success_step: str = "last") -> None:
        spec = spec_of(env_id)
        if spec.kwargs.get("ob_type", "states") != "states":
            raise EnvironmentSetupError(
                f"{env_id}: agents need state observations, with an id like {env_id.removeprefix('visual-')}"
            )
        self._scene = make_scene(env_id)
        self._has_goals = is_goal_task(spec)
        first, _ = self._scene.reset(seed=0, options=self._options(0))
        self._box = BoxActions(self._scene.action_space, env_id)
        self._state, self._events = (
            SceneState(self._scene.model, self._scene.data, visible_of(self._scene)),
            SceneEvents(self._scene),
        )
        self._limit, self._steps = int(spec.max_episode_steps or 1000), 0
        self.action_spec = self._box.spec
        goal = len(first) if self._has_goals else 0
        self.observation_spec = ObservationSpec("vector", (len(first) + goal,), "float32", goal=goal)
        self.judge = judge_states(success_rule(self._scene)) if self._has_goals else None
        self.render_spec: dict[str, Any] = {"kind": "ogbench", "env": env_id, "side": FRAME_SIDE}
        self.time_limit = self._limit
        self._success = SuccessRule("every object is at its goal", success_return, success_step)
        self.success_rule = self._success.words

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode with this seed."""
        observation, info = self._scene.reset(seed=seed, options=self._options(seed))
        self._goal = info["goal"].astype(np.float32) if self._has_goals else np.zeros(0, np.float32)
        self._steps = 0
        self._success.begin()
        self._events.begin()
        return self._seen(check_finite(observation.astype(np.float32)))

    def _options(self, seed: int) -> dict[str, Any] | None:
        return task_of(seed, self._scene.num_tasks) if self._has_goals else None

    def _seen(self, state: np.ndarray) -> np.ndarray:
        """The state, and the goal if there is one."""
        return np.concatenate([state, self._goal])

    def step(self, action: Action) -> EnvStep:
        """Act."""
        observation, given, terminated, _, info = self._scene.step(self._box.map(np.asarray(action)))
        self._steps += 1
        reward = as_reward(given)
        truncated = self._steps >= self._limit and not terminated
        success = self._success.step(info["success"], reward, bool(terminated or truncated))
        events = self._events.look()
        events += (Event("success"),) if self._success.came_now else ()
        state = check_finite(observation.astype(np.float32))
        achieved = state if self._has_goals else None
        return EnvStep(self._seen(state), reward, bool(terminated), truncated, success, events, achieved)

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
