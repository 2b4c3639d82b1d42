"""Map the engine's continuous actions to a Gymnasium action space."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from vlmrb.errors import EnvironmentSetupError
from vlmrb.types import ActionSpec


class BoxActions:
    """Maps the engine's actions, float32 [A] in [−1, 1], to a `Box`: −1 is its lower bound, 1 its upper bound.

    Args:
        space: real-valued, with finite bounds, of any shape.
        name: the environment's name, for errors.

    Raises:
        EnvironmentSetupError: the space is integer-valued or empty, or has an infinite bound.
    """

    def __init__(self, space: gym.spaces.Box, name: str) -> None:
        if not np.issubdtype(space.dtype, np.floating) or 0 in space.shape:
            raise EnvironmentSetupError(
                f"{name}: the action space is {space}; a Box action space must hold real numbers (float32)"
            )
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which is refused
            low, high = (np.asarray(bound).astype(np.float32).ravel() for bound in (space.low, space.high))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise EnvironmentSetupError(
                f"{name}: the action space is {space}; exploration needs finite bounds. "
                "Register the environment with finite bounds, or wrap it in gymnasium.wrappers.RescaleAction"
            )
        self.spec = ActionSpec(low=tuple(low.tolist()), high=tuple(high.tolist()))
        self._low, self._high = low, high
        self._centre, self._half = low / 2 + high / 2, high / 2 - low / 2  # halved first: no overflow
        self._shape, self._dtype = space.shape, space.dtype

    def map(self, action: np.ndarray) -> np.ndarray:
        """The action in the space's own shape and dtype, clipped to its bounds."""
        mapped = np.minimum(np.maximum(self._centre + self._half * action, self._low), self._high)
        return mapped.astype(self._dtype, copy=False).reshape(self._shape)
