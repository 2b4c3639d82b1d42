"""Several questions about the same frames, which are prepared and go through the vision tower only once.

The text model reads the visual features once per question. The models of `transformers` have methods that compute these features,
whose results are kept for the next question. A model without these methods sees the frames again for each question, and its
answers are the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_PREPARE = "preprocess"  # of image and video processors
_SEE = ("get_image_features", "get_video_features")  # of models


@contextmanager
def one_look(processor: Any, network: Any) -> Iterator[Callable[[], None]]:
    """Within this context, only the first pass over the frames prepares and sees them; later passes get the same results.

    Args:
        processor: of the model; its image or video processor prepares the frames.
        network: the model.

    Yields:
        A function to call before each pass. All passes must show the same frames.
    """
    kept: list[tuple[Any, str, _Remembered]] = []
    parts = [getattr(processor, name, None) for name in ("image_processor", "video_processor")]
    for owner, name in [*((part, _PREPARE) for part in parts), *((part, name) for part in network.modules() for name in _SEE)]:
        if callable(call := getattr(owner, name, None)):
            kept.append((owner, name, _Remembered(call)))

    def rewind() -> None:
        for _, _, remembered in kept:
            remembered.rewind()

    try:
        for owner, name, remembered in kept:
            setattr(owner, name, remembered)
        yield rewind
    finally:
        for owner, name, _ in kept:
            delattr(owner, name)


class _Remembered:
    """A function whose nth call of a pass returns the result of the nth call of the first pass."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._results: list[Any] = []
        self._next = 0

    def rewind(self) -> None:
        """Start the next pass."""
        self._next = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._next == len(self._results):
            self._results.append(self._call(*args, **kwargs))
        self._next += 1
        return copy.copy(self._results[self._next - 1])  # callers take entries out
