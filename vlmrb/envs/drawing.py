"""Drawing with OpenGL from any thread: all of it is done in one thread per renderer, which the context belongs to."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

import numpy as np

from vlmrb.errors import EnvironmentSetupError

_Asked = SimpleQueue[tuple[np.ndarray, "Future[np.ndarray]"] | None]


def check_side(side: int) -> int:
    """A frame's side in pixels, as it is.

    Raises:
        EnvironmentSetupError: it is not from 16 to 1024.
    """
    if not 16 <= side <= 1024:
        raise EnvironmentSetupError(f"a frame of {side}×{side} pixels; allowed: 16 to 1024")
    return side


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
