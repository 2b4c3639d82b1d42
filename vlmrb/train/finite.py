"""Checks that learning stays finite: what an update reports, and the networks before they are saved or evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from vlmrb.errors import DivergedError


def check_metrics(metrics: Mapping[str, float]) -> None:
    """Check the metrics of an update, losses among them.

    Raises:
        DivergedError: one of them is NaN or infinite.
    """
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise DivergedError(f"{name} is {value}")


def check_networks(state: Mapping[str, Any]) -> None:
    """Check an agent's `state_dict`.

    Raises:
        DivergedError: a weight of its networks, or of an optimiser, is NaN or infinite.
    """
    for name, tensor in _tensors(state):
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DivergedError(f"a number of {name} is {tensor[~tensor.isfinite()].flatten()[0].item()}")


def _tensors(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if hasattr(state, "is_floating_point"):
        yield name, state
    elif isinstance(state, Mapping):
        for key, value in state.items():
            yield from _tensors(value, f"{name}.{key}" if name else str(key))
