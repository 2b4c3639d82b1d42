"""A replay method of your own: recent transitions more often than old ones.

Install it beside the project, from the root of the checkout. Commands and studio then offer it like any other method:

    pip install assets/examples/own_replay_method
    python -m vlmrb train --env CartPole-v1 --replay recent --total-steps 30000

It can also be the base method of `vlm`, which draws what the labels do not decide:

    python -m vlmrb train --env DoorKey-5x5 --replay vlm --base recent --scorer oracle --total-steps 30000

`python -m vlmrb train --help` lists it under --replay. All it takes is METHOD below, and the entry point in pyproject.toml beside
this file that names it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.replay import Added, ReplayMethod, Sample
from vlmrb.replay.sampling import Score


class RecentSampler:
    """Draws two items uniformly and takes the newer one: the item of rank r (0 is the oldest) with probability (2r + 1) / size².

    A sampler sees slots, which are places in a ring, so it must know which of them holds the newest item.

    Args:
        capacity: slots of the ring.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity, self._newest = capacity, 0

    def add(self, slots: np.ndarray, added: Added) -> None:
        """The last of the new items is the newest one."""
        self._newest = int(slots[-1])

    def sample(self, batch_size: int, size: int, rng: np.random.Generator, score: Score | None = None) -> Sample:
        """Draw `batch_size` of the `size` slots that are filled."""
        ranks = rng.integers(0, size, (2, batch_size)).max(axis=0)
        slots = (self._newest - (size - 1 - ranks)) % self._capacity
        return Sample(slots, self.chances(slots, size), np.ones(batch_size, np.float32))

    def chances(self, slots: np.ndarray, size: int) -> np.ndarray:
        """The probability of one draw to choose each of `slots`; over all slots it adds up to 1."""
        ranks = size - 1 - (self._newest - slots) % self._capacity
        return (2 * ranks + 1) / size**2

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to hold; without it a resumed run would take the wrong item for the newest."""
        return {"newest": self._newest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore."""
        self._newest = int(state["newest"])


METHOD = ReplayMethod(
    key="recent",
    label="Recent",
    summary="newer transitions more often",
    color="cyan",
    make=lambda config, capacity: RecentSampler(capacity),
)
