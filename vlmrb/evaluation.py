"""Evaluation on held-out seeds: the same episodes every time, never trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vlmrb.envs.base import Environment
from vlmrb.envs.checks import failed
from vlmrb.errors import DivergedError
from vlmrb.types import ActionSpec

FIRST_HELD_OUT_SEED = 2**30
"""Training episodes use seeds below this; evaluation episodes use this one and those that follow."""

MAX_STEPS = 10_000
"""Length at which an evaluation episode is cut off, if neither the user nor the environment says otherwise."""


def max_parallel(action_spec: ActionSpec) -> int:
    """Maximum number of parallel evaluation environments: few for robot simulators, at a hundred megabytes each."""
    return 8 if action_spec.continuous else 64


def longest_episode(chosen: int | None, time_limit: int | None) -> int:
    """Steps at which an evaluation episode is cut off.

    Args:
        chosen: by the user; None for no choice.
        time_limit: the environment's own.
    """
    return chosen if chosen is not None else max(MAX_STEPS, time_limit or 0)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over the episodes of one evaluation.

    Attributes:
        success_rate: None if no episode says whether it was a success.
        cut_off: episodes that reached the maximum length; they are no successes, unless they had become one before.
    """

    success_rate: float | None
    episodic_return: float
    episodic_length: float
    cut_off: int = 0


class _Played(NamedTuple):
    """One episode."""

    episodic_return: float
    length: int
    success: bool | None
    cut_off: bool


def evaluate(
    agent: Any,
    envs: Sequence[Environment],
    episodes: int,
    epsilon: float,
    rng: np.random.Generator,
    *,
    max_steps: int | None = None,
    goes_on: Callable[[int], bool] = lambda _: True,
) -> Evaluation | None:
    """Play `episodes` episodes with the agent's best actions; discrete ones are random with probability `epsilon`.

    Args:
        agent: has best_action(observation [N, *shape]) → [N] or [N, A].
        envs: environments to use in parallel, all with the same action_spec.
        episodes: number of episodes; episode i is reset with seed FIRST_HELD_OUT_SEED + i.
        epsilon: in [0, 1]; ignored for continuous actions.
        rng: for the random actions.
        max_steps: length at which an episode is cut off; None for `longest_episode`.
        goes_on: called before every step with the number of finished episodes; False ends the evaluation.

    Returns:
        What it found; None if it was ended.

    Raises:
        EnvironmentFailedError: an environment fails, or gives numbers that are none.
        DivergedError: the agent's actions are NaN.
    """
    limit = longest_episode(max_steps, envs[0].time_limit)
    results: list[_Played] = []
    for first in range(0, episodes, len(envs)):
        seeds = range(FIRST_HELD_OUT_SEED + first, FIRST_HELD_OUT_SEED + min(first + len(envs), episodes))
        played = _play(agent, envs, seeds, epsilon, rng, limit, lambda done, before=first: goes_on(before + done))  # type: ignore[misc]
        if played is None:
            return None
        results += played
    returns, lengths, successes, cut_off = zip(*results, strict=True)
    ended = [success for success, cut in zip(successes, cut_off, strict=True) if not cut]
    if ended and set(ended) == {None}:  # the environment has no notion of success: being cut off is no failure
        successes = tuple(success or None for success in successes)
    known = [success for success in successes if success is not None]
    rate = float(np.mean(known)) if known else None
    return Evaluation(rate, float(np.mean(returns)), float(np.mean(lengths)), sum(cut_off))


def _play(
    agent: Any,
    envs: Sequence[Environment],
    seeds: Sequence[int],
    epsilon: float,
    rng: np.random.Generator,
    limit: int,
    goes_on: Callable[[int], bool],
) -> list[_Played] | None:
    """One episode in each of the first len(seeds) environments; None if it is to end."""
    first = []
    for env, seed in zip(envs, seeds, strict=False):
        if not goes_on(0):
            return None
        try:
            first.append(np.array(env.reset(seed)))  # a copy: environments may share one array
        except BaseException as error:
            raise failed(error, f"evaluation, episode with seed {seed}", "reset") from error
    observation = np.stack(first)
    returns, lengths = [0.0] * len(seeds), [0] * len(seeds)
    success: list[bool | None] = [None] * len(seeds)
    cut_off = [False] * len(seeds)
    playing, spec = list(range(len(seeds))), envs[0].action_spec
    while playing:
        if not goes_on(len(seeds) - len(playing)):
            return None
        action = agent.best_action(observation[playing])
        if not spec.continuous:
            random = rng.random(len(playing)) < epsilon
            action = np.where(random, rng.integers(spec.n, size=len(playing)), action)
        elif not np.isfinite(action).all():
            raise DivergedError("the agent's actions are NaN: its networks have diverged")
        still = []
        for index, choice in zip(playing, action, strict=True):
            try:
                step = envs[index].step(choice)
                observation[index] = step.observation
            except BaseException as error:
                raise failed(error, f"evaluation, episode with seed {seeds[index]}", "step") from error
            returns[index] += step.reward
            lengths[index] += 1
            if step.terminated or step.truncated:
                success[index] = step.success
            elif lengths[index] >= limit:
                success[index], cut_off[index] = step.success is True, True
            else:
                still.append(index)
        playing = still
    return [_Played(*each) for each in zip(returns, lengths, success, cut_off, strict=True)]
