"""What an environment gives, checked at every step: one finite reward, finite observations, clear ends; its failures in words."""

from __future__ import annotations

import traceback
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from vlmrb.envs.success import as_success
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
        except Exception:  # noqa: BLE001  lists of different lengths, or nested too deep; tensors that do not convert themselves
            given = np.empty(0, object)
        if given.size != 1 or given.dtype.kind not in "biuf":
            form = str if given.dtype.kind in "biuf" else repr  # '1.0' needs its quotes to be seen as text
            raise EnvironmentFailedError(f"the reward is {shown(reward, form=form)}; it must be one number")
        reward = given.item()
    elif isinstance(reward, np.generic):
        reward = reward.item()  # compared as float16, the largest number would be infinite, and infinity allowed
    if not -MAX_NUMBER <= reward <= MAX_NUMBER:
        raise EnvironmentFailedError(
            f"the reward is {shown(reward, form=str)}; it must be a finite number (of at most {MAX_NUMBER:.2g})"
        )
    return float(reward)


def as_flag(given: Any, name: str) -> bool:
    """Whether an episode has ended: True, False, 0 or 1, also in an array of one element.

    Args:
        given: by a step.
        name: 'terminated' or 'truncated'.

    Raises:
        EnvironmentFailedError: it is none of these. None, 'False' and NaN all have truth values in Python, and mean none here.
    """
    if isinstance(given, bool):
        return given
    flag = as_success(given)
    if flag is None:
        raise EnvironmentFailedError(f"{name} is {shown(given)}; it must be True or False")
    return flag


def check_finite(observation: np.ndarray, what: str = "observation") -> np.ndarray:
    """The observation (float32, any shape), or `what` else it is, unchanged.

    Raises:
        EnvironmentFailedError: one of its numbers is NaN or infinite.
    """
    if not np.isfinite(observation).all():
        at = int(np.flatnonzero(~np.isfinite(observation.ravel()))[0])
        raise EnvironmentFailedError(
            f"{what}[{at}] is {observation.ravel()[at]}; it must be a finite number (of at most {MAX_NUMBER:.2g})"
        )
    return observation


def in_words(error: BaseException, doing: str) -> str:
    """What went wrong in an environment, with the place in its code.

    Args:
        error: as it was caught; sys.exit() and panics of compiled code are failures like others.
        doing: what the environment was asked for: 'reset', 'step' or 'render'.

    Raises:
        KeyboardInterrupt: this is one: somebody ends the run.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, VlmrbError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{doing} fails with {type(error).__name__}: {shown(error, 300, str)}{place}"


def failed(error: BaseException, where: str, doing: str) -> EnvironmentFailedError:
    """The error to raise for what went wrong in an environment.

    Args:
        error: as it was caught.
        where: in which environment and episode.
        doing: as for `in_words`.
    """
    return EnvironmentFailedError(f"{where}: {in_words(error, doing)}")
