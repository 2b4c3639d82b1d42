"""Create environments by id, with errors that say what to do."""

from __future__ import annotations

from vlmrb.config import TrainConfig
from vlmrb.envs.base import Environment
from vlmrb.envs.registered import make_registered, register_ids
from vlmrb.errors import EnvironmentSetupError


def make_env(config: TrainConfig) -> Environment:
    """Create the environment that `config.env` names: MiniGrid, DoorKey of any size, an OGBench task, or any Gymnasium id.

    Raises:
        EnvironmentSetupError: the id is unknown (with similar ones), a dependency is missing, the agents cannot use the
            action or observation space, or the environment cannot render.
    """
    from minigrid.minigrid_env import MiniGridEnv

    from vlmrb.envs.gymnasium_env import GymnasiumEnvironment
    from vlmrb.envs.minigrid import MiniGridEnvironment, doorkey_size, make_doorkey
    from vlmrb.envs.mujoco_env import MuJoCoEnvironment, is_mujoco

    rule = config.success_return, config.success_step
    if _is_manipulation(config.env):
        from vlmrb.envs.ogbench_env import OGBenchEnvironment

        _only_normal_visuals(config)
        return OGBenchEnvironment(config.env, *rule)
    size = doorkey_size(config.env)
    env = make_doorkey(size) if size is not None else make_registered(config.env)
    if isinstance(env.unwrapped, MiniGridEnv):
        return MiniGridEnvironment(env, config.observation, config.visuals, *rule)
    _only_normal_visuals(config)
    if is_mujoco(env):
        return MuJoCoEnvironment(env, config.env, *rule)
    return GymnasiumEnvironment(env, *rule)


def _only_normal_visuals(config: TrainConfig) -> None:
    if config.visuals != "normal":
        raise EnvironmentSetupError(
            f"visuals: {config.visuals!r} is for MiniGrid environments; {config.env} supports only 'normal'"
        )


def _is_manipulation(env_id: str) -> bool:
    import gymnasium as gym

    register_ids()
    return env_id in gym.registry and str(gym.spec(env_id).entry_point).startswith("ogbench.manipspace.")
