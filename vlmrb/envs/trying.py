"""Try an environment before a run is made: one reset, one step and one picture."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmrb.config import TrainConfig
from vlmrb.envs.base import Environment
from vlmrb.envs.checks import in_words
from vlmrb.envs.factory import make_env
from vlmrb.envs.judging import asks_oracle, check_truth, judge_for, try_goals
from vlmrb.envs.play import check_play
from vlmrb.envs.rendering import make_renderer
from vlmrb.errors import EnvironmentSetupError
from vlmrb.panels import is_control
from vlmrb.replay.hindsight import asks_in_words
from vlmrb.types import ActionSpec, ObservationSpec


@dataclass(frozen=True, slots=True)
class TriedEnvironment:
    """What is known of an environment that works; the fields are those of `Environment`."""

    observation_spec: ObservationSpec
    action_spec: ActionSpec
    render_spec: dict[str, Any]
    success_rule: str
    mission: str


def what_is_tried(config: TrainConfig) -> tuple[Any, ...]:
    """The settings that decide what `try_env` does: configurations that have them in common need one trial."""
    own = (config.env, config.observation, config.visuals, config.transcript, config.success_return, config.success_step)
    hindsight = None if config.hindsight is None else config.hindsight.in_words
    return (*own, config.play_steps > 0, hindsight, asks_oracle(config), takes_frames(config), _shows_frames(config))


def try_env(config: TrainConfig) -> TriedEnvironment:
    """Create the environment, reset it, do one step with an action as an agent gives it, and draw what the run would draw.

    Raises:
        EnvironmentSetupError: it cannot be created, or fails; the message has its error and the place in its code.
        ConfigError: the run is to begin with scripted play or to relabel goals or missions, and the environment has none, or
            nobody can tell when they are reached; or its transcript cannot be written.
    """
    env = make_env(config)
    try:
        if config.play_steps:
            check_play(env)
        judge_for(config, env)
        mission = _use(env, config)
        check_truth(config, env)
        return TriedEnvironment(env.observation_spec, env.action_spec, env.render_spec, env.success_rule, mission)
    finally:
        with suppress(Exception):  # it works; how it ends does not matter
            env.close()


def _use(env: Environment, config: TrainConfig) -> str:
    """Use it; returns its mission."""
    doing = "reset"
    try:
        env.reset(seed=0)
        doing = "mission"
        mission = env.mission
        doing = "step"
        step = env.step(np.zeros((1, *env.action_spec.shape), env.action_spec.dtype)[0])
        if (judge := judge_for(config, env)) is not None:
            try_goals(judge, step)
        if takes_frames(config):
            doing = "render"
            snapshot = env.snapshot()
            if _shows_frames(config):
                make_renderer(env.render_spec).render(snapshot[None])
    except BaseException as error:
        words = in_words(error, doing).removeprefix(f"{config.env.rpartition(':')[2]}: ")
        raise EnvironmentSetupError(f"{config.env} cannot be used: {words}") from error
    return mission


def takes_frames(config: TrainConfig) -> bool:
    """Whether the run takes frames, or what they are drawn from: to be watched, looked at, or asked what is ahead."""
    return config.retention.stores or _shows_frames(config) or (config.scorer is not None and asks_in_words(config.her))


def _shows_frames(config: TrainConfig) -> bool:
    """Whether the run's scorer looks at frames."""
    return config.scorer is not None and not is_control(config.scorer)
