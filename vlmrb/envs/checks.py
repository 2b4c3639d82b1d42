"""What an environment gives, checked at every step: one finite reward, finite observations; its failures in words."""

from __future__ import annotations

import traceback
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from vlmrb.errors import EnvironmentFailedError, VlmrbError, shown

MAX_NUMBER = float(np.finfo(np.float32).max)
"""The largest reward: the replay buffer holds float32."""


def as_reward(reward: Any) -> float:
    """A reward as a number; an array of one element is one.

    Raises:
        EnvironmentFailedError: it is not one number, NaN, infinite, or too large for float32.
    """
    if not isinstance(reward, Real):
        try:
            given = np.asarray(reward)
        except ValueError:  # lists of different lengths, or nested too deep
            given = np.empty(0)
        if given.size != 1 or given.dtype.kind not in "biuf":
            raise EnvironmentFailedError(f"the reward is {shown(reward, form=str)}; it must be one number")
        reward = given.item()
    if not -MAX_NUMBER <= reward <= MAX_NUMBER:
        raise EnvironmentFailedError(
            f"the reward is {shown(reward, form=str)}; it must be a finite number (of at most {MAX_NUMBER:.2g})"
        )
    return float(reward)


def check_finite(observation: np.ndarray, what: str = "observation") -> np.ndarray:
    """The observation (float32, any shape), or `what` else it is, unchanged.

    Raises:
        EnvironmentFailedError: one of its numbers is NaN or infinite.
    """
    if not np.isfinite(observation).all():
        at = int(np.flatnonzero(~np.isfinite(observation.ravel()))[0])
        raise EnvironmentFailedError(
            f"{what}[{at}] is {observation.ravel()[at]}; {what}s must be finite numbers (of at most {MAX_NUMBER:.2g})"
        )
    return observation


def in_words(error: Exception, doing: str) -> str:
    """What went wrong in an environment, with the place in its code.

    Args:
        error: as it was caught.
        doing: what the environment was asked for: 'reset', 'step' or 'render'.
    """
    if isinstance(error, VlmrbError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{doing} fails with {type(error).__name__}: {shown(error, 300, str)}{place}"


def failed(error: Exception, where: str, doing: str) -> EnvironmentFailedError:
    """The error to raise for what went wrong in an environment.

    Args:
        error: as it was caught.
        where: in which environment and episode.
        doing: as for `in_words`.
    """
    return EnvironmentFailedError(f"{where}: {in_words(error, doing)}")
