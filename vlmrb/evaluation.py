"""Evaluation on held-out seeds: the same episodes every time, never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmrb.types import ActionSpec

FIRST_HELD_OUT_SEED = 2**30
"""Training episodes use seeds below this; evaluation episodes use this one and those that follow."""


def max_parallel(action_spec: ActionSpec) -> int:
    """Maximum number of parallel evaluation environments: few for robot simulators, at a hundred megabytes each."""
    return 8 if action_spec.continuous else 64


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over the episodes of one evaluation."""

    success_rate: float | None  # None if the environment has no notion of success
    episodic_return: float
    episodic_length: float


def evaluate(agent: Any, envs: Sequence[Any], episodes: int, epsilon: float, rng: np.random.Generator) -> Evaluation:
    """Play `episodes` episodes with the agent's best actions; discrete ones are random with probability `epsilon`.

    Args:
        agent: has best_action(observation [N, *shape]) → [N] or [N, A].
        envs: environments to use in parallel, all with the same action_spec.
        episodes: number of episodes; episode i is reset with seed FIRST_HELD_OUT_SEED + i.
        epsilon: in [0, 1]; ignored for continuous actions.
        rng: for the random actions.
    """
    results = []
    for first in range(0, episodes, len(envs)):
        seeds = range(FIRST_HELD_OUT_SEED + first, FIRST_HELD_OUT_SEED + min(first + len(envs), episodes))
        results += _play(agent, envs, seeds, epsilon, rng)
    returns, lengths, successes = zip(*results, strict=True)
    known = [success for success in successes if success is not None]
    return Evaluation(float(np.mean(known)) if known else None, float(np.mean(returns)), float(np.mean(lengths)))


def _play(
    agent: Any, envs: Sequence[Any], seeds: Sequence[int], epsilon: float, rng: np.random.Generator
) -> list[tuple[float, int, bool | None]]:
    """One episode in each of the first len(seeds) environments: (return, length, success)."""
    observation = np.stack([env.reset(seed) for env, seed in zip(envs, seeds, strict=False)])
    returns, lengths = [0.0] * len(seeds), [0] * len(seeds)
    success: list[bool | None] = [None] * len(seeds)
    playing, spec = list(range(len(seeds))), envs[0].action_spec
    while playing:
        action = agent.best_action(observation[playing])
        if not spec.continuous:
            random = rng.random(len(playing)) < epsilon
            action = np.where(random, rng.integers(spec.n, size=len(playing)), action)
        still = []
        for index, choice in zip(playing, action, strict=True):
            step = envs[index].step(choice)
            observation[index] = step.observation
            returns[index] += step.reward
            lengths[index] += 1
            if step.terminated or step.truncated:
                success[index] = step.success
            else:
                still.append(index)
        playing = still
    return list(zip(returns, lengths, success, strict=True))
