"""Gymnasium observations as the agent sees them: vectors of float32 or images [H, W, C] of uint8."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.checks import check_finite
from vlmrb.errors import EnvironmentFailedError, EnvironmentSetupError, shown
from vlmrb.types import MIN_IMAGE_SIDE, ObservationSpec

MAX_VALUES = 10_000_000
"""The most numbers in one observation: 40 MB as float32."""


_WHAT = "the observation"


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
            EnvironmentFailedError: it is not of its space's shape, not an image of integers from 0 to 255, a choice that its
                space does not have, NaN, infinite, or no number.
        """
        if self._flatten:
            return check_finite(flat(self._space, observation, _WHAT))
        if self.spec.kind == "image":
            return self._image(_array(observation, _WHAT))
        return check_finite(_flat_box(self._space, observation, _WHAT))

    def _image(self, image: np.ndarray) -> np.ndarray:
        if image.shape != self._space.shape:
            raise EnvironmentFailedError(f"{_WHAT} has shape {image.shape}, but its space has {self._space.shape}")
        if image.dtype != np.uint8:
            if image.dtype.kind not in "iu" or image.min() < 0 or image.max() > 255:
                raise EnvironmentFailedError(f"{_WHAT} is of {image.dtype}, but its space has integers from 0 to 255 (uint8)")
            image = image.astype(np.uint8)
        return image.transpose(1, 2, 0) if self._channel_first else image


def flat(space: gym.Space, value: Any, what: str) -> np.ndarray:
    """A value of a space as `gymnasium.spaces.flatten` lays it out, float32 [N].

    Unlike there, no value is changed to fit: boxes keep their fractions whatever the dtype of their space, and a choice that the
    space does not have is not taken for another one.

    Args:
        space: has a fixed number of values.
        value: of the space; choices may be floats or arrays of one element.
        what: the value's name, for errors.

    Raises:
        EnvironmentFailedError: the value is not of this space, or a part of it is missing.
    """
    if isinstance(space, gym.spaces.Dict):
        return _joined(flat(part, _part(value, key, what), f"{what}[{key!r}]") for key, part in space.spaces.items())
    if isinstance(space, gym.spaces.Tuple):
        if not isinstance(value, (tuple, list, np.ndarray)) or len(value) != len(space.spaces):
            raise EnvironmentFailedError(f"{what} is {shown(value)}, but its space is a Tuple of {len(space.spaces)} parts")
        return _joined(flat(part, value[at], f"{what}[{at}]") for at, part in enumerate(space.spaces))
    if isinstance(space, gym.spaces.Discrete):
        return _one_hot(space, np.array([space.n]), space.start, value, what)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return _one_hot(space, space.nvec.ravel(), space.start.ravel(), value, what)
    if isinstance(space, (gym.spaces.Box, gym.spaces.MultiBinary)):
        return _flat_box(space, value, what)
    try:
        return np.asarray(gym.spaces.flatten(space, value), np.float32).ravel()
    except Exception as error:
        raise _not_in(space, value, what) from error


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *parts])


def _part(value: Any, key: Any, what: str) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError) as error:
        raise EnvironmentFailedError(f"{what} has no {key!r}, but its space has") from error


def _one_hot(space: gym.Space, counts: np.ndarray, first: Any, value: Any, what: str) -> np.ndarray:
    """Choices as zeros and ones.

    Args:
        space: of the choices.
        counts: how many each has, int64 [C].
        first: their smallest values, [C] or one number.
        value: what was chosen, [C] numbers in any shape.
        what: the value's name.
    """
    chosen = _array(value, what).ravel()
    places = chosen - first if chosen.size == counts.size else np.zeros(0)
    if not (places.size and (places == np.rint(places)).all() and (places >= 0).all() and (places < counts).all()):
        raise _not_in(space, value, what)
    hot = np.zeros(int(counts.sum()), np.float32)
    hot[np.cumsum(counts) - counts + places.astype(np.int64)] = 1.0
    return hot


def _flat_box(space: gym.Space, value: Any, what: str) -> np.ndarray:
    """The numbers of a Box or a MultiBinary, float32 [N]; too large ones become infinite."""
    given = _array(value, what)
    if given.size != math.prod(space.shape or ()):
        raise EnvironmentFailedError(f"{what} has shape {given.shape}, but its space has {space.shape}")
    if given.dtype != np.float32:
        with np.errstate(over="ignore"):
            given = given.astype(np.float32)
    return given.ravel()


def _array(value: Any, what: str) -> np.ndarray:
    """Numbers as an array.

    Raises:
        EnvironmentFailedError: these are none, or they make no array.
    """
    try:
        given = np.asarray(value)
        if given.dtype == object and given.ndim:  # Python's numbers of any size
            given = given.astype(np.float64)
    except Exception as error:  # lists of different lengths; tensors that do not convert themselves
        raise EnvironmentFailedError(f"{what} is {shown(value)}, which is no array of numbers") from error
    if given.dtype.kind not in "biuf":
        raise EnvironmentFailedError(f"{what} is {shown(value)}; it must be numbers")
    return given


def _not_in(space: gym.Space, value: Any, what: str) -> EnvironmentFailedError:
    return EnvironmentFailedError(f"{what} is {shown(value, form=str)}, which is not in its space, {shown(space, form=str)}")
