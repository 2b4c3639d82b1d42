"""Environments by the ids that Gymnasium, MiniGrid, OGBench or a module of one's own has registered."""

from __future__ import annotations

import difflib
import importlib
import warnings
from typing import TYPE_CHECKING, Any

from vlmrb.envs.headless import choose_gl
from vlmrb.errors import EnvironmentSetupError

if TYPE_CHECKING:
    import gymnasium as gym


def register_ids() -> None:
    """Make the ids of MiniGrid and OGBench known."""
    choose_gl()  # before anything imports MuJoCo, which looks at it once
    importlib.import_module("minigrid")
    importlib.import_module("ogbench")


def make_registered(env_id: str, **settings: Any) -> gym.Env:
    """Gymnasium's environment of this id, `module:Id` for one's own, with rgb_array frames; `settings` go to its constructor.

    Raises:
        EnvironmentSetupError: no such id, or it cannot be made like this.
    """
    import gymnasium as gym

    register_ids()
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
            env = gym.make(env_id.rpartition(":")[2], render_mode="rgb_array", disable_env_checker=True, **settings)
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
