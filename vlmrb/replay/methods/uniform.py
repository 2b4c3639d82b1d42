"""Uniform replay: every item alike."""

from __future__ import annotations

import numpy as np

from vlmrb.replay.method import ReplayMethod
from vlmrb.replay.sampling import Sample, Score, ones


class UniformSampler:
    """Every item with probability 1 / size."""

    def sample(self, batch_size: int, size: int, rng: np.random.Generator, score: Score | None = None) -> Sample:
        """Draw."""
        slots = rng.integers(0, size, size=batch_size)
        return Sample(slots, self.chances(slots, size), ones(batch_size))

    def chances(self, slots: np.ndarray, size: int) -> np.ndarray:
        """1 / size each."""
        return np.full(len(slots), 1.0 / size)


METHOD = ReplayMethod(
    key="uniform",
    label="Uniform",
    summary="all transitions equally often",
    color="slate",
    make=lambda config, capacity: UniformSampler(),
    usual=True,
)
