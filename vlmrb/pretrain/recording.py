"""Clips of simulated episodes, cut as a training run would cut them."""

from __future__ import annotations

import numpy as np

from vlmrb.clips import ClipRecorder
from vlmrb.envs.base import Action, Environment
from vlmrb.types import Clip


class EpisodeRecorder:
    """Steps an environment through one episode and cuts it into clips.

    Args:
        env: just reset.
        length: maximum number of steps in a clip.

    Attributes:
        over: the episode has ended.
    """

    def __init__(self, env: Environment, length: int) -> None:
        self._env, self._recorder = env, ClipRecorder(1, length, run_id=0)
        self._steps = 0
        self.over = False

    def step(self, action: Action) -> list[Clip]:
        """Take one step; return the clips that it completes (at most one)."""
        outcome = self._env.step(action)
        closed = self._recorder.add(
            np.array([self._steps]),
            [self._env.snapshot()],
            np.array([outcome.reward], np.float32),
            [outcome.events],
            np.array([outcome.terminated]),
            np.array([outcome.truncated]),
        )
        self._steps += 1
        self.over = outcome.terminated or outcome.truncated
        return closed
