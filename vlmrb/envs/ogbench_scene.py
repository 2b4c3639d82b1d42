"""OGBench's scenes without wrappers, made to repeat exactly with a seed."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.headless import choose_gl
from vlmrb.errors import EnvironmentSetupError


def make_scene(env_id: str) -> Any:
    """OGBench's environment of this id without wrappers, made to repeat exactly with a seed; call `reset` before its use.

    Raises:
        EnvironmentSetupError: MuJoCo or OGBench cannot be imported, or knows no such id.
    """
    choose_gl()
    try:
        importlib.import_module("ogbench")  # registers its ids
        spec = gym.spec(env_id)
        scene = gym.envs.registration.load_env_creator(str(spec.entry_point))
    except (ImportError, gym.error.Error) as error:
        raise EnvironmentSetupError(f"{env_id}: OGBench cannot be used here ({error}); install the project again") from error
    return type(f"Repeatable{scene.__name__}", (_Repeatable, scene), {})(**spec.kwargs)


class _Repeatable:
    """OGBench's resets draw actions from a space that is made anew, unseeded, at every look: here it is one, and seeded."""

    _actions: gym.spaces.Box | None = None

    @property
    def action_space(self) -> gym.spaces.Box:
        if self._actions is None:
            self._actions = gym.spaces.Box(-1.0, 1.0, (5,), np.float32)
        return self._actions

    def reset(self, *, seed: int, **options: Any) -> Any:
        self.action_space.seed(seed)
        return super().reset(seed=seed, **options)  # type: ignore[misc]

    def get_step_info(self) -> dict[str, Any]:
        return {}  # `step` adds the success; nobody reads the rest
