"""Who judges the goals or missions that a run relabels its transitions with: found, and tried before the run is made."""

from __future__ import annotations

import numpy as np

from vlmrb.config import TrainConfig
from vlmrb.envs.base import Environment, EnvStep
from vlmrb.errors import ConfigError, EnvironmentFailedError, shown
from vlmrb.panels import members_of
from vlmrb.truths import accomplished
from vlmrb.types import JudgeGoals


def judge_for(config: TrainConfig, env: Environment) -> JudgeGoals | None:
    """What a run asks about the goals that it relabels with; None if it relabels none.

    Raises:
        ConfigError: it is to relabel goals or missions, and the environment has none or does not say what reaching them is worth.
    """
    if config.hindsight is None:
        return None
    if config.hindsight.in_words:
        if not env.observation_spec.mission:
            raise ConfigError(
                f"her: got {config.her!r}, but the agent sees no mission in {config.env}, so that it cannot be given another. "
                "Choose an environment whose missions differ, such as BabyAI-GoToLocal-v0 or MiniGrid-Fetch-8x8-N3-v0, without "
                "wrappers that hide the mission; or set her to off"
            )
        return None
    if not env.observation_spec.goal:
        raise ConfigError(
            f"her: got {config.her!r}, but {config.env} has no goals to relabel. Choose an environment whose observations are a "
            "Dict of exactly 'observation', 'achieved_goal' and 'desired_goal', or a task of OGBench without 'singletask' in its "
            "id, such as cube-single-v0; or set her to off"
        )
    judge: JudgeGoals | None = getattr(env, "judge", None)
    if judge is None:
        raise ConfigError(
            f"her: got {config.her!r}, but {config.env} has no compute_reward(achieved_goal, desired_goal, info), which says "
            "what a step would have earned with another goal. Add it to the environment, or set her to off"
        )
    return judge


def check_truth(config: TrainConfig, env: Environment) -> None:
    """Check that `oracle` knows whether the present mission is accomplished, if a run is to ask it about others like it.

    Raises:
        ConfigError: it does not.
    """
    if not asks_oracle(config) or (getattr(env, "missions_are_acts", False) and accomplished(env.mission, "", ()) is not None):
        return
    raise ConfigError(
        f"her: got {config.her!r}, but the scorer oracle cannot tell when a mission of {config.env} is accomplished, such as "
        f"{shown(env.mission, 100)}. It can for BabyAI tasks to go to, pick up or open one thing, such as BabyAI-GoToLocal-v0, "
        "and for MiniGrid-Fetch; for others give a scorer that looks at clips: embedded, hf:<hub id or folder> or "
        "openai:<base-url>#<model>"
    )


def asks_oracle(config: TrainConfig) -> bool:
    """Whether a run asks `oracle` about other missions."""
    in_words = config.hindsight is not None and config.hindsight.in_words
    return in_words and any(member.scorer == "oracle" for member in members_of(config.scorer or ""))


def try_goals(judge: JudgeGoals, step: EnvStep) -> None:
    """Check that the environment judges goals as it judged a step, and many at once.

    Raises:
        EnvironmentFailedError: it does not.
    """
    assert step.achieved_goal is not None
    size = len(step.achieved_goal)
    achieved, desired = (np.tile(goal, (size + 1, 1)) for goal in (step.achieved_goal, step.observation[-size:]))
    judged = judge(achieved, desired)
    reward = float(judged.rewards[0])
    if not np.isclose(reward, step.reward, rtol=1e-3, atol=1e-4):
        raise EnvironmentFailedError(
            f"compute_reward gives {reward:g} for the goals of a step whose reward was {step.reward:g}. With her they must be "
            "the same, or relabelled transitions would have rewards of another kind. Let step return what compute_reward gives "
            "(a wrapper that changes rewards needs a compute_reward of its own), or set her to off"
        )
    if judged.terminated is not None and bool(judged.terminated[0]) != step.terminated:
        raise EnvironmentFailedError(
            f"compute_terminated gives {bool(judged.terminated[0])} for the goals of a step that was "
            f"{'the end of its episode' if step.terminated else 'not the end of its episode'}. With her they must agree: let "
            "step return what compute_terminated gives, or set her to off"
        )
    judge(achieved, achieved)  # as every goal is reached here, one True for all of them is found out
