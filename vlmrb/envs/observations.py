"""Gymnasium observations as the agent sees them: vectors of float32 or images [H, W, C] of uint8."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.checks import check_finite
from vlmrb.errors import EnvironmentFailedError, EnvironmentSetupError
from vlmrb.types import MIN_IMAGE_SIDE, ObservationSpec

MAX_VALUES = 10_000_000
"""The most numbers in one observation: 40 MB as float32."""


class Observations:
    """Reads the observations of one environment.

    A `Box` of uint8 with three dimensions is an image; one that is channel-first (C, H, W) is turned around. Any other `Box`
    of up to three dimensions is a vector. `Discrete`, `MultiDiscrete`, `MultiBinary`, `Text`, and every `Dict` and `Tuple` of
    these and of boxes are flattened to a vector as `gymnasium.spaces.flatten` does, with one-hot choices.

    Args:
        space: of the environment.
        name: the environment's name, for errors.

    Raises:
        EnvironmentSetupError: the agents' networks cannot take such observations; the message has the ways out.
    """

    def __init__(self, space: gym.Space, name: str) -> None:
        self._space, self._name = space, name
        self._flatten = not isinstance(space, gym.spaces.Box)
        self._channel_first = False
        self.spec = self._spec_of_box(space) if isinstance(space, gym.spaces.Box) else self._spec_of_flattened(space)

    def _spec_of_box(self, space: gym.spaces.Box) -> ObservationSpec:
        shape = tuple(map(int, space.shape))
        if len(shape) > 3 or 0 in shape:
            raise EnvironmentSetupError(
                f"{self._name}: observations of shape {shape}; allowed: vectors and images (H, W, C). Wrap the environment, for "
                "stacked frames in gymnasium.wrappers.GrayscaleObservation before they are stacked, else in FlattenObservation"
            )
        if len(shape) < 3 or space.dtype != np.uint8:
            return self._vector(int(np.prod(shape)))
        self._channel_first = shape[0] < min(MIN_IMAGE_SIDE, *shape[1:])
        height, width, channels = (*shape[1:], shape[0]) if self._channel_first else shape
        if min(height, width) < MIN_IMAGE_SIDE:
            smallest = f"{MIN_IMAGE_SIDE}×{MIN_IMAGE_SIDE}"
            raise EnvironmentSetupError(
                f"{self._name}: observations are images of {height}×{width} pixels; the network needs at least {smallest}. "
                "Register the environment with gymnasium.wrappers.ResizeObservation around it, or FlattenObservation for a vector"
            )
        return ObservationSpec("image", (height, width, channels), "uint8")

    def _spec_of_flattened(self, space: gym.Space) -> ObservationSpec:
        try:
            return self._vector(int(gym.spaces.flatdim(space)))
        except (ValueError, NotImplementedError) as error:  # a Graph or a Sequence is in it
            raise EnvironmentSetupError(
                f"{self._name}: the observation space is {str(space)[:200]}, which has no fixed number of values ({error}). Wrap "
                "the environment so that it is a Box, or Discrete, MultiDiscrete, MultiBinary, Text, or a Dict or Tuple of these"
            ) from error

    def _vector(self, size: int) -> ObservationSpec:
        if not 0 < size <= MAX_VALUES:
            raise EnvironmentSetupError(
                f"{self._name}: an observation has {size:,} values (of {str(self._space)[:200]}); allowed: 1 to {MAX_VALUES:,}"
            )
        return ObservationSpec("vector", (size,), "float32")

    def read(self, observation: Any) -> np.ndarray:
        """One observation as the agent sees it, of `spec`'s shape and dtype.

        Raises:
            EnvironmentFailedError: it is not of its space's shape, not an image of integers from 0 to 255, NaN or infinite.
        """
        if self._flatten:
            observation = gym.spaces.flatten(self._space, observation)
        given = np.asarray(observation)
        if self.spec.kind == "image":
            return self._image(given)
        if given.size != self.spec.shape[0]:
            raise self._wrong(f"has shape {given.shape}", f"its space has {self._space.shape}")
        if given.dtype != np.float32:
            with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which is refused
                given = given.astype(np.float32)
        return check_finite(given.reshape(self.spec.shape))

    def _image(self, image: np.ndarray) -> np.ndarray:
        if image.shape != self._space.shape:
            raise self._wrong(f"has shape {image.shape}", f"its space has {self._space.shape}")
        if image.dtype != np.uint8:
            if image.dtype.kind not in "iu" or image.min() < 0 or image.max() > 255:
                raise self._wrong(f"is of {image.dtype}", "its space has integers from 0 to 255 (uint8)")
            image = image.astype(np.uint8)
        return image.transpose(1, 2, 0) if self._channel_first else image

    def _wrong(self, given: str, expected: str) -> EnvironmentFailedError:
        return EnvironmentFailedError(f"the observation {given}, but {expected}")
