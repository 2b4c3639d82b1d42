"""Create environments registered by Gymnasium, MiniGrid, OGBench or your own module."""

from __future__ import annotations

import difflib
import importlib
import warnings
from typing import TYPE_CHECKING, Any

from vlmrb.envs.headless import choose_gl
from vlmrb.errors import ConfigError, EnvironmentSetupError, shown

if TYPE_CHECKING:
    import gymnasium as gym


def register_ids() -> None:
    """Register the ids of MiniGrid and OGBench."""
    choose_gl()  # MuJoCo reads the choice once, on import
    importlib.import_module("minigrid")
    importlib.import_module("ogbench")


def make_registered(env_id: str, render_mode: str | None = "rgb_array", **settings: Any) -> gym.Env:
    """Create a Gymnasium environment.

    Args:
        env_id: its id; `module:Id` for your own.
        render_mode: 'rgb_array' for frames, 'ansi' for text, None if nothing is rendered.
        settings: go to its constructor.

    Raises:
        EnvironmentSetupError: the id is unknown, or the environment cannot be created this way.
        ConfigError: it has no text.
    """
    import gymnasium as gym

    register_ids()
    module, separator, _ = env_id.rpartition(":")
    if separator:
        try:
            importlib.import_module(module)
        except (ImportError, ValueError) as error:  # ValueError: not a name
            raise EnvironmentSetupError(
                f"{env_id}: the module {module!r} cannot be imported ({error}); it must be on PYTHONPATH"
            ) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # its own code
            raise EnvironmentSetupError(
                f"{env_id}: the module {module!r} cannot be imported: it fails with {type(error).__name__}: "
                f"{shown(error, 300, str)}"
            ) from error
    if render_mode == "ansi":
        _check_has_text(env_id)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 'a newer version exists' and the like
            env = gym.make(env_id.rpartition(":")[2], render_mode=render_mode, disable_env_checker=True, **settings)
    except gym.error.DeprecatedEnv as error:
        raise EnvironmentSetupError(f"{env_id} is no longer in the installed version of its package: {error}") from error
    except gym.error.UnregisteredEnv as error:
        raise EnvironmentSetupError(_no_such_id(env_id)) from error
    except gym.error.Error as error:
        raise EnvironmentSetupError(f"{env_id}: {error}") from error
    except ModuleNotFoundError as error:
        raise EnvironmentSetupError(
            f"{env_id} is registered, but the installed packages lack what it needs ({error}). Install its package, or a version "
            "that has this environment"
        ) from error
    except (TypeError, ImportError) as error:
        raise EnvironmentSetupError(
            f"{env_id} cannot be created with render_mode={render_mode!r}: {shown(error, 300, str)}"
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # third-party code, such as a dm_control that does not match the installed MuJoCo
        raise EnvironmentSetupError(
            f"{env_id} cannot be created: it fails with {type(error).__name__}: {shown(error, 300, str)}"
        ) from error
    says_nothing = env.render_mode is None and type(env.unwrapped).render is not gym.Env.render  # like OGBench's robot arm
    if env.render_mode != render_mode and not says_nothing:
        if render_mode == "ansi":
            raise _no_text(env_id, "")
        raise EnvironmentSetupError(f"{env_id}: clips need an environment that supports render_mode='rgb_array'")
    return env


def _check_has_text(env_id: str) -> None:
    """An environment that says which render modes it has must have 'ansi' among them.

    Raises:
        ConfigError: it has not.
    """
    import gymnasium as gym

    try:
        entry = gym.spec(env_id.rpartition(":")[2]).entry_point
        creator = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
        modes = list(getattr(creator, "metadata", {}).get("render_modes", []))
    except Exception:  # noqa: BLE001  creating it gives the reason
        return
    if modes and "ansi" not in modes:
        raise _no_text(env_id, f" (its render modes: {', '.join(map(str, modes))})")


def _no_text(env_id: str, modes: str) -> ConfigError:
    return ConfigError(
        f"transcript: {env_id} has no text of its own{modes}, which 'ansi' needs; use 'numbers' or a template such as "
        "'step {step}: {obs[0]:.2f}', or leave transcript out to show pictures"
    )


def _no_such_id(env_id: str) -> str:
    import gymnasium as gym

    known = sorted(gym.registry)
    lower = {name.lower(): name for name in known}
    near = [lower[name] for name in difflib.get_close_matches(env_id.lower(), lower, n=3, cutoff=0.5)]
    hint = f"Did you mean {', '.join(near)}?" if near else "For your own environment use 'module:Id'."
    return (
        f"env: {env_id!r} is not among the {len(known)} registered environments. {hint} DoorKey comes in any size: DoorKey-12x12"
    )
