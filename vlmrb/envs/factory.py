"""Create environments by id, with errors that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmrb.config import TrainConfig
from vlmrb.envs.base import Environment
from vlmrb.envs.checks import in_words
from vlmrb.envs.registered import make_registered, register_ids
from vlmrb.errors import ConfigError, EnvironmentSetupError, VlmrbError
from vlmrb.transcripts import ANSI

if TYPE_CHECKING:
    import gymnasium as gym


def make_env(config: TrainConfig) -> Environment:
    """Create the environment that `config.env` names: MiniGrid, DoorKey of any size, an OGBench task, or any Gymnasium id.

    Raises:
        EnvironmentSetupError: the id is unknown (with similar ones), a dependency is missing, the agents cannot use the
            action or observation space, or the environment cannot render.
        ConfigError: the run's transcript cannot be written of it.
    """
    try:
        return _make_env(config)
    except VlmrbError:
        raise
    except BaseException as error:  # the environment's own code, such as properties that fail
        words = in_words(error, "reading its spaces and spec")
        raise EnvironmentSetupError(f"{config.env} cannot be used: {words}") from error


def _make_env(config: TrainConfig) -> Environment:
    from minigrid.minigrid_env import MiniGridEnv

    from vlmrb.envs.custom_grid import CustomGridEnvironment
    from vlmrb.envs.gymnasium_env import GymnasiumEnvironment
    from vlmrb.envs.minigrid import MiniGridEnvironment, is_plain
    from vlmrb.envs.mujoco_env import MuJoCoEnvironment, is_gymnasiums_own

    rule = config.success_return, config.success_step
    if config.transcript is not None:
        return _make_with_text(config, config.transcript, *rule)
    if _is_manipulation(config.env):
        from vlmrb.envs.ogbench_env import OGBenchEnvironment

        _only_normal_visuals(config)
        return OGBenchEnvironment(config.env, *rule)
    env = _make(config.env)
    if isinstance(env.unwrapped, MiniGridEnv):
        if is_plain(env):
            return MiniGridEnvironment(env, config.observation, config.visuals, *rule)
        _only_normal_visuals(config)
        return CustomGridEnvironment(env, config.env, config.observation, *rule)
    _only_normal_visuals(config)
    if _is_ogbenchs(config.env, "locomaze"):
        from vlmrb.envs.ogbench_goals import MazeGoals, SeededMaze, is_goal_task

        env = MazeGoals(env) if is_goal_task(env.spec) else SeededMaze(env)
    if is_gymnasiums_own(env):
        return MuJoCoEnvironment(env, config.env, *rule)
    return GymnasiumEnvironment(env, *rule)


def _make(env_id: str, render_mode: str | None = "rgb_array") -> gym.Env:
    """The environment of this id; a DoorKey that nobody registered is made here."""
    import gymnasium as gym

    from vlmrb.envs.minigrid import doorkey_size, make_doorkey

    size = None if env_id in gym.registry else doorkey_size(env_id)
    return make_registered(env_id, render_mode) if size is None else make_doorkey(size)


def _make_with_text(config: TrainConfig, transcript: str, success_return: float | None, success_step: str) -> Environment:
    from minigrid.minigrid_env import MiniGridEnv

    from vlmrb.envs.text_env import TextEnvironment

    _only_normal_visuals(config)
    env = None if _is_manipulation(config.env) else _make(config.env, "ansi" if transcript == ANSI else None)
    if env is None or isinstance(env.unwrapped, MiniGridEnv):
        raise ConfigError(
            f"transcript: {config.env} is shown by pictures alone, since its observations are no numbers that can be named; "
            "leave transcript out"
        )
    return TextEnvironment(env, config.env, transcript, success_return, success_step)


def _only_normal_visuals(config: TrainConfig) -> None:
    if config.visuals != "normal":
        raise EnvironmentSetupError(
            f"visuals: {config.visuals!r} is for MiniGrid's own environments, without wrappers or classes of your own; "
            f"{config.env} supports only 'normal'"
        )


def _is_manipulation(env_id: str) -> bool:
    return _is_ogbenchs(env_id, "manipspace")


def _is_ogbenchs(env_id: str, part: str) -> bool:
    """Whether an id is of this part of OGBench, as it was registered."""
    import gymnasium as gym

    register_ids()
    spec = gym.registry.get(env_id)
    return spec is not None and str(spec.entry_point).startswith(f"ogbench.{part}.") and not spec.additional_wrappers
