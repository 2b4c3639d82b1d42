"""What the agent sees and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIN_IMAGE_SIDE = 36
"""Pixels of the smallest side that an image may have: what is left of fewer after the network's convolutions is nothing."""


@dataclass(frozen=True, slots=True)
class ObservationSpec:
    """What the agent sees.

    Attributes:
        kind: 'grid' (categorical cells and extras, flat), 'vector' (numbers) or 'image' (H, W, C), no side below MIN_IMAGE_SIDE.
        shape: shape of one observation in the replay buffer.
        dtype: NumPy dtype name, 'uint8' or 'float32'.
        grid_shape: for 'grid', (width, height, 3): the first width·height·3 values are cells
            (object, colour, state) in MiniGrid's encoding, the rest extras; otherwise None.
        extras: for 'grid', the number of values each extra can take, in order.
        goal: for 'vector', how many of the last values are the desired goal; 0 if the task has none.
        mission: how many of the last values are the mission's words; 0 if the agent does not see them.
    """

    kind: Literal["grid", "vector", "image"]
    shape: tuple[int, ...]
    dtype: str
    grid_shape: tuple[int, int, int] | None = None
    extras: tuple[int, ...] = ()
    goal: int = 0
    mission: int = 0


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What the agent may do: one of `n` choices (an int64), or A numbers (float32 [A]).

    In the engine every number of a continuous action is in [−1, 1]; the environment maps it to its own bounds.

    Attributes:
        n: number of choices; 0 for continuous actions.
        low, high: the environment's own bounds, one per number; empty for discrete actions.
    """

    n: int = 0
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers rather than choices."""
        return self.n == 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one action: () or (A,)."""
        return (len(self.low),) if self.continuous else ()

    @property
    def dtype(self) -> str:
        """NumPy dtype name of actions: 'int64' or 'float32'."""
        return "float32" if self.continuous else "int64"
