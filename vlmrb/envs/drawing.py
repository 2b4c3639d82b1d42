"""OpenGL rendering from any thread: each renderer has one thread that owns the context and does all the drawing."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

import numpy as np

from vlmrb.errors import EnvironmentSetupError, StoreCorruptError
from vlmrb.memory import give_back_memory

_Requests = SimpleQueue[tuple[np.ndarray, "Future[np.ndarray]"] | None]


def check_side(side: int) -> int:
    """Return a frame's side in pixels if it is in range.

    Raises:
        EnvironmentSetupError: it is not within 16 to 1024.
    """
    if not 16 <= side <= 1024:
        raise EnvironmentSetupError(f"a frame of {side}×{side} pixels is out of range; allowed: 16 to 1024")
    return side


class PackedState:
    """Packs the simulator arrays that a frame depends on into bytes, and unpacks them.

    Args:
        parts: pairs (array, index of the rows to pack).
    """

    def __init__(self, parts: Sequence[tuple[np.ndarray, Any]]) -> None:
        self._parts = tuple(parts)
        self.size = len(self.pack())

    def pack(self) -> np.ndarray:
        """The current state, uint8 [size]."""
        return np.concatenate([np.ascontiguousarray(array[index]).view(np.uint8).ravel() for array, index in self._parts])

    def unpack(self, snapshot: np.ndarray) -> None:
        """Restore a state; the next `mj_forward` updates the positions."""
        start = 0
        for array, index in self._parts:
            part = array[index]
            array[index] = snapshot[start : start + part.nbytes].view(part.dtype).reshape(part.shape)
            start += part.nbytes

    def draw_each(self, snapshots: np.ndarray, draw: Callable[[], np.ndarray], env_id: str) -> np.ndarray:
        """uint8 [F, size] → RGB uint8 [F, H, W, 3]: `draw` draws the state that was just restored.

        Raises:
            StoreCorruptError: these are not states of this environment.
        """
        if snapshots.ndim != 2 or snapshots.shape[1] != self.size:
            raise StoreCorruptError(f"data of shape {snapshots.shape} is not a state of {env_id}, or is damaged")
        frames = np.empty((0, 0, 0, 3), np.uint8)
        for index, snapshot in enumerate(snapshots):
            self.unpack(snapshot)
            frame = draw()
            if not index:
                frames = np.empty((len(snapshots), *frame.shape), np.uint8)
            frames[index] = frame
        return frames


class Drawing(Protocol):
    """Draws packed states; usable only in the thread that created it."""

    def draw(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] → RGB uint8 [F, H, W, 3]."""
        ...

    def close(self) -> None:
        """Release the context."""
        ...


class ThreadedRenderer:
    """Draws packed states, from any thread.

    Args:
        make_drawing: called in the drawing thread for the first frame; `render` raises its errors.
    """

    def __init__(self, make_drawing: Callable[[], Drawing]) -> None:
        self._requests: _Requests = SimpleQueue()
        thread = Thread(target=_serve, args=(self._requests, make_drawing), name="mujoco", daemon=True)
        thread.start()
        weakref.finalize(self, _end, self._requests, thread)

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] → RGB uint8 [F, H, W, 3].

        Raises:
            EnvironmentSetupError: no OpenGL works here without a screen.
            StoreCorruptError: these are not states of this environment.
        """
        future: Future[np.ndarray] = Future()
        self._requests.put((np.ascontiguousarray(snapshots), future))
        return future.result()


def _serve(requests: _Requests, make_drawing: Callable[[], Drawing]) -> None:
    """Serve requests until None arrives."""
    drawing: Drawing | None = None
    while (request := requests.get()) is not None:
        snapshots, future = request
        try:
            drawing = drawing or make_drawing()
            future.set_result(drawing.draw(snapshots))
        except BaseException as error:  # noqa: BLE001 - raised in the calling thread
            future.set_exception(error)
    if drawing is not None:
        drawing.close()
        del drawing
        give_back_memory()


def _end(requests: _Requests, thread: Thread) -> None:
    requests.put(None)
    thread.join()


def leave_out_costly(drawing: Any) -> None:
    """Turn off shadows, reflections and haze in an `MjvScene`."""
    import mujoco

    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_HAZE):
        drawing.flags[flag] = False
