"""OGBench scenes without wrappers, exactly reproducible by seed."""

from __future__ import annotations

import copy
import importlib
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.headless import choose_gl
from vlmrb.errors import EnvironmentSetupError


def spec_of(env_id: str) -> Any:
    """OGBench's registration of this id.

    Raises:
        EnvironmentSetupError: MuJoCo or OGBench cannot be imported, or the id is unknown.
    """
    choose_gl()
    try:
        importlib.import_module("ogbench")  # registers its ids
        return gym.spec(env_id)
    except (ImportError, gym.error.Error) as error:
        raise EnvironmentSetupError(f"{env_id}: OGBench cannot be used here ({error}); install VLM-RB again") from error


def make_scene(env_id: str) -> Any:
    """OGBench's environment for this id without wrappers, exactly reproducible by seed; call `reset` before using it.

    Raises:
        EnvironmentSetupError: MuJoCo or OGBench cannot be imported, the id is unknown, or the environment cannot be created.
    """
    spec = spec_of(env_id)
    try:
        scene = gym.envs.registration.load_env_creator(str(spec.entry_point))
        return type(f"Repeatable{scene.__name__}", (_Repeatable, scene), {})(**spec.kwargs)
    except Exception as error:  # its code is gone, or has changed
        raise EnvironmentSetupError(
            f"{env_id} is registered, but the installed OGBench cannot create it ({type(error).__name__}: {error}); install a "
            "version that has it"
        ) from error


@dataclass(slots=True)
class _Shared:
    """What all scenes of a kind share; set once, never changed."""

    arm: Any = None  # model of the arm alone, for inverse kinematics
    xml: Any = None
    noted: dict[str, Any] = field(default_factory=dict)  # attributes set while building it
    model: Any = None  # template to copy


_SHARED: dict[tuple[type, str], _Shared] = {}


def forget_scenes() -> None:
    """Let go of what the next scene of a kind would share: hundreds of megabytes. Scenes that exist keep theirs."""
    import mujoco

    _SHARED.clear()
    mujoco.MjModel.from_xml_string("<mujoco/>")  # MuJoCo keeps the description that it has parsed last
    if hasattr(mujoco, "mj_clearCache"):  # newer versions also keep all meshes and textures that they have read
        mujoco.mj_clearCache(mujoco.mj_getCache())


class _Repeatable:
    """OGBench's environment with seeded resets, compiled only once per kind of scene and process.

    OGBench's resets draw actions from a space that is recreated, unseeded, on every access: here there is one seeded space.
    Building a scene takes a second and 165 MB, mostly for meshes and their XML. These are built once, and each scene gets a
    copy of the compiled model, since it changes colours and locks in it.
    """

    _actions: gym.spaces.Box | None = None
    _model: Any  # OGBench's own

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        kind = (type(self).__mro__[2], repr(sorted(kwargs.items())))  # OGBench's own class and its arguments
        self._shared = _SHARED.setdefault(kind, _Shared())
        self._shared.arm = self._shared.arm or self._ik._model  # type: ignore[has-type]
        self._ik = type(self._ik)(model=self._shared.arm, sites=["attachment_site"])  # type: ignore[has-type]

    def build_mjcf_model(self) -> Any:
        if self._shared.xml is None:
            before = set(vars(self))
            self._shared.xml = super().build_mjcf_model()  # type: ignore[misc]
            self._shared.noted = {name: value for name, value in vars(self).items() if name not in before}
        vars(self).update(self._shared.noted)
        return self._shared.xml

    def compile_model_and_data(self) -> None:
        import mujoco

        if self._shared.model is None:
            super().compile_model_and_data()  # type: ignore[misc]
            self._shared.model = copy.copy(self._model)
            return
        self._model = copy.copy(self._shared.model)
        self._data = mujoco.MjData(self._model)
        mujoco.mj_forward(self._model, self._data)
        self.post_compilation()  # type: ignore[attr-defined]
        self._dirty = False

    @property
    def action_space(self) -> gym.spaces.Box:
        if self._actions is None:
            self._actions = gym.spaces.Box(-1.0, 1.0, (5,), np.float32)
        return self._actions

    def reset(self, *, seed: int, **options: Any) -> Any:
        self.action_space.seed(seed)
        return super().reset(seed=seed, **options)  # type: ignore[misc]

    def get_step_info(self) -> dict[str, Any]:
        return {}  # `step` adds the success; the rest is not used
