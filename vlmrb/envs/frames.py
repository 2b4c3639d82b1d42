"""Turn what an environment's `render()` returns into a frame that a clip can keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.envs.headless import cannot_draw
from vlmrb.errors import EnvironmentSetupError, shown

_ALLOWED = "allowed: an array [H, W, 3] of bytes 0 to 255, or of floats 0 to 1; grey and RGBA pictures are converted"

_WITHOUT = "A run without clips draws none: no --scorer, and --keep-clips none"
_OVERSHOOT = 0.1  # how far floats may be out of range
_BRIGHTEST = 2.0  # of floats that go to 1 and overshoot


class FrameMaker:
    """Makes frames of one environment's pictures: RGB uint8 [H, W, 3], all of one size within an episode.

    Floats are taken to go from 0 to 1, until a picture shows that they go to 255. Grey pictures become RGB, alpha is left
    out, and channels may come first. A picture of another size than the episode's first is scaled to fit into that.

    Args:
        name: the environment's name, for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._scale = 255.0  # of floats
        self._size: tuple[int, int] | None = None

    def begin_episode(self) -> None:
        """The next frame may have any size."""
        self._size = None

    def draw(self, env: Any) -> np.ndarray:
        """The frame of a Gymnasium environment's current state. Raises like `frame`, also if `render()` fails."""
        try:
            picture = env.render()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the environment's own code
            if hasattr(env.unwrapped, "mujoco_renderer"):
                raise cannot_draw(error) from error
            raise EnvironmentSetupError(
                f"{self._name}: render() fails with {type(error).__name__}: {shown(error, 300, str)}. {_WITHOUT}"
            ) from error
        return self.frame(picture)

    def frame(self, picture: Any) -> np.ndarray:
        """A new array, whatever `render()` does with its own afterwards.

        Raises:
            EnvironmentSetupError: this is no picture.
        """
        if picture is None:
            raise self._error("returned no picture (None)")
        try:
            array = np.asarray(picture)
        except Exception as error:  # lists of unequal lengths, tensors on a GPU
            raise self._error(f"returned {type(picture).__name__}, which is no array ({shown(error, 300, str)})") from error
        colours = self._colours(array)
        frame = np.ascontiguousarray(self._bytes(colours))
        frame = frame.copy() if np.may_share_memory(frame, array) else frame
        self._size = self._size or frame.shape[:2]
        return frame if frame.shape[:2] == self._size else _fit(frame, *self._size)

    def _colours(self, array: np.ndarray) -> np.ndarray:
        """The picture as [H, W, 3], with its values as they are."""
        shape, channels = array.shape, (1, 3, 4)
        if array.ndim == 3 and shape[2] not in channels and shape[0] in channels:
            array = np.moveaxis(array, 0, 2)
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim != 3 or array.shape[2] not in channels or 0 in shape:
            raise self._error(f"returned a picture of shape {list(shape)}")
        return np.broadcast_to(array, (*array.shape[:2], 3)) if array.shape[2] == 1 else array[..., :3]

    def _bytes(self, array: np.ndarray) -> np.ndarray:
        """The picture's values as uint8."""
        if array.dtype == np.uint8:
            return array
        if array.dtype == bool:
            return array.astype(np.uint8) * 255
        if array.dtype.kind not in "iuf":
            raise self._error(f"returned a picture of {array.dtype}")
        low, high = array.min(), array.max()
        if not (low >= -_OVERSHOOT and high <= 255 + _OVERSHOOT):  # NaN is neither
            raise self._error(f"returned a picture with values from {low:g} to {high:g}")
        if array.dtype.kind in "iu":
            return array.astype(np.uint8)
        if high > _BRIGHTEST:
            self._scale = 1.0
        return np.rint(np.clip(array * self._scale, 0, 255)).astype(np.uint8)

    def _error(self, problem: str) -> EnvironmentSetupError:
        return EnvironmentSetupError(f"{self._name}: render() {problem}; {_ALLOWED}. {_WITHOUT}")


def _fit(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale a frame to fit into this size, in the middle of black."""
    from PIL import Image

    scale = min(height / frame.shape[0], width / frame.shape[1])
    rows, columns = (max(1, round(side * scale)) for side in frame.shape[:2])  # of a thin line something is left, too
    fitted = np.zeros((height, width, 3), np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    scaled = Image.fromarray(frame).resize((columns, rows), Image.Resampling.NEAREST)
    fitted[top : top + rows, left : left + columns] = np.asarray(scaled)
    return fitted
