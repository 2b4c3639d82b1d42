"""Which wrappers an environment comes with."""

from __future__ import annotations

import gymnasium as gym

_WATCHERS = (gym.wrappers.PassiveEnvChecker, gym.wrappers.OrderEnforcing, gym.wrappers.TimeLimit)


def wrappers_of(env: gym.Env) -> list[gym.Env]:
    """The wrappers, from the outermost inwards; the environment itself is left out."""
    found = []
    while isinstance(env, gym.Wrapper):
        found.append(env)
        env = env.env
    return found


def only_watched(env: gym.Env) -> bool:
    """Whether no wrapper changes what the environment does, except that it may end episodes after a number of steps."""
    return all(type(wrapper) in _WATCHERS for wrapper in wrappers_of(env))
