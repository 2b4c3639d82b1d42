"""Drawing with OpenGL from any thread: all of it is done in one thread per renderer, which the context belongs to."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

import numpy as np

from vlmrb.errors import EnvironmentSetupError, StoreCorruptError

_Asked = SimpleQueue[tuple[np.ndarray, "Future[np.ndarray]"] | None]


def check_side(side: int) -> int:
    """A frame's side in pixels, as it is.

    Raises:
        EnvironmentSetupError: it is not from 16 to 1024.
    """
    if not 16 <= side <= 1024:
        raise EnvironmentSetupError(f"a frame of {side}×{side} pixels; allowed: 16 to 1024")
    return side


class PackedState:
    """Arrays of a simulator that a frame depends on, as bytes and back.

    Args:
        parts: pairs (array, which of its rows).
    """

    def __init__(self, parts: Sequence[tuple[np.ndarray, Any]]) -> None:
        self._parts = tuple(parts)
        self.size = len(self.pack())

    def pack(self) -> np.ndarray:
        """The present state, uint8 [size]."""
        return np.concatenate([np.ascontiguousarray(array[index]).view(np.uint8).ravel() for array, index in self._parts])

    def unpack(self, snapshot: np.ndarray) -> None:
        """Put a state back; positions follow with the next `mj_forward`."""
        start = 0
        for array, index in self._parts:
            part = array[index]
            array[index] = snapshot[start : start + part.nbytes].view(part.dtype).reshape(part.shape)
            start += part.nbytes

    def draw_each(self, snapshots: np.ndarray, draw: Callable[[], np.ndarray], env_id: str) -> np.ndarray:
        """uint8 [F, size] → RGB uint8 [F, H, W, 3]: `draw` draws the state that has just been put back.

        Raises:
            StoreCorruptError: these are no such states.
        """
        if snapshots.ndim != 2 or snapshots.shape[1] != self.size:
            raise StoreCorruptError(f"data of shape {snapshots.shape} is no state of {env_id}, or a damaged one")
        frames = []
        for snapshot in snapshots:
            self.unpack(snapshot)
            frames.append(np.array(draw()))
        return np.stack(frames)


class Drawing(Protocol):
    """Draws packed states; of use in the thread alone that made it."""

    def draw(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] → RGB uint8 [F, H, W, 3]."""
        ...

    def close(self) -> None:
        """Give the context back."""
        ...


class ThreadedRenderer:
    """Draws packed states, from any thread.

    Args:
        make_drawing: called in the drawing thread when the first frame is asked for; what it raises is raised there.
    """

    def __init__(self, make_drawing: Callable[[], Drawing]) -> None:
        self._asked: _Asked = SimpleQueue()
        thread = Thread(target=_serve, args=(self._asked, make_drawing), name="mujoco", daemon=True)
        thread.start()
        weakref.finalize(self, _end, self._asked, thread)

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] → RGB uint8 [F, H, W, 3].

        Raises:
            EnvironmentSetupError: there is no OpenGL that works without a screen.
            StoreCorruptError: these are no states of this environment.
        """
        future: Future[np.ndarray] = Future()
        self._asked.put((np.ascontiguousarray(snapshots), future))
        return future.result()


def _serve(asked: _Asked, make_drawing: Callable[[], Drawing]) -> None:
    """Draw what is asked for until None is."""
    drawing: Drawing | None = None
    while (order := asked.get()) is not None:
        snapshots, future = order
        try:
            drawing = drawing or make_drawing()
            future.set_result(drawing.draw(snapshots))
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            future.set_exception(error)
    if drawing is not None:
        drawing.close()


def _end(asked: _Asked, thread: Thread) -> None:
    asked.put(None)
    thread.join()


def leave_out_costly(drawing: Any) -> None:
    """Switch shadows, reflections and haze off in an `MjvScene`."""
    import mujoco

    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_HAZE):
        drawing.flags[flag] = False
