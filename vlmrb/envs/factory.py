"""From an id to an environment, with errors that say what to do."""

from __future__ import annotations

import difflib
import importlib
import warnings
from typing import TYPE_CHECKING

from vlmrb.config import TrainConfig
from vlmrb.envs.base import Environment
from vlmrb.envs.headless import choose_gl
from vlmrb.errors import EnvironmentSetupError

if TYPE_CHECKING:
    import gymnasium as gym


def make_env(config: TrainConfig) -> Environment:
    """Make the environment that `config.env` names: MiniGrid, DoorKey of any size, an OGBench task, or any Gymnasium id.

    Raises:
        EnvironmentSetupError: no such id (with the nearest ones), a missing dependency, an action or observation
            space that the agents cannot use, or an environment that cannot render.
    """
    from minigrid.minigrid_env import MiniGridEnv

    from vlmrb.envs.gymnasium_env import GymnasiumEnvironment
    from vlmrb.envs.minigrid import MiniGridEnvironment, doorkey_size, make_doorkey

    if _is_manipulation(config.env):
        from vlmrb.envs.ogbench_env import OGBenchEnvironment

        _only_normal_visuals(config)
        return OGBenchEnvironment(config.env)
    size = doorkey_size(config.env)
    env = make_doorkey(size) if size is not None else _make_registered(config.env)
    if isinstance(env.unwrapped, MiniGridEnv):
        return MiniGridEnvironment(env, config.observation, config.visuals)
    _only_normal_visuals(config)
    return GymnasiumEnvironment(env, config.success_return)


def _only_normal_visuals(config: TrainConfig) -> None:
    if config.visuals != "normal":
        raise EnvironmentSetupError(f"visuals: {config.visuals!r} is for MiniGrid environments; {config.env} knows only 'normal'")


def _is_manipulation(env_id: str) -> bool:
    import gymnasium as gym

    _register()
    return env_id in gym.registry and str(gym.spec(env_id).entry_point).startswith("ogbench.manipspace.")


def _register() -> None:
    """Make the ids of MiniGrid and OGBench known."""
    choose_gl()  # before anything imports MuJoCo, which looks at it once
    importlib.import_module("minigrid")
    importlib.import_module("ogbench")


def _make_registered(env_id: str) -> gym.Env:
    import gymnasium as gym

    _register()
    module, separator, _ = env_id.rpartition(":")
    if separator:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise EnvironmentSetupError(
                f"{env_id}: the module {module!r} cannot be imported ({error}); it must be on PYTHONPATH"
            ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 'a newer version exists' and the like
            env = gym.make(env_id.rpartition(":")[2], render_mode="rgb_array", disable_env_checker=True)
    except gym.error.UnregisteredEnv as error:
        raise EnvironmentSetupError(_no_such_id(env_id)) from error
    except gym.error.Error as error:
        raise EnvironmentSetupError(f"{env_id}: {error}") from error
    except (TypeError, ImportError) as error:
        raise EnvironmentSetupError(f"{env_id} cannot be made with an rgb_array render: {error}") from error
    except Exception as error:  # other people's code: a dm_control that does not go with the MuJoCo beside it, for one
        raise EnvironmentSetupError(f"{env_id} cannot be made: it fails with {type(error).__name__}: {error}") from error
    if env.render_mode != "rgb_array":
        raise EnvironmentSetupError(f"{env_id}: clips need an environment that supports render_mode='rgb_array'")
    return env


def _no_such_id(env_id: str) -> str:
    import gymnasium as gym

    known = sorted(gym.registry)
    lower = {name.lower(): name for name in known}
    near = [lower[name] for name in difflib.get_close_matches(env_id.lower(), lower, n=3, cutoff=0.5)]
    hint = f"Did you mean {', '.join(near)}?" if near else "For an environment of your own use 'module:Id'."
    return (
        f"env: there is no environment {env_id!r} among the {len(known)} registered. {hint} DoorKey takes any size: DoorKey-12x12"
    )
