"""What tests of replay methods share: new items, what an agent says of them, and observed against expected frequencies."""

from __future__ import annotations

import numpy as np

from vlmrb.replay import Added, Sampler
from vlmrb.types import Feedback

SIZE = 40
"""Items that most of these tests draw from."""

DRAWS = 20_000


def added(slots: np.ndarray, *, episode_length: int = 0, n_envs: int = 1) -> Added:
    """Items whose ids are their slots, one after another; their episodes have so many steps each, or no end (0)."""
    times = slots // n_envs
    episodes, steps = np.divmod(times, episode_length) if episode_length else (np.zeros_like(times), times)
    ended = steps == episode_length - 1
    return Added(slots, episodes * n_envs + slots % n_envs, steps, ended, slots[:, None].astype(np.float32), n_envs)


def add(sampler: Sampler, slots: np.ndarray, **shape: int) -> None:
    """Tell a sampler of new items, if it listens."""
    if hasattr(sampler, "add"):
        sampler.add(slots, added(slots, **shape))


def td(errors: list[float] | np.ndarray) -> Feedback:
    """Feedback of TD errors alone."""
    return Feedback(np.asarray(errors, np.float32))


def fits(slots: np.ndarray, probabilities: np.ndarray) -> None:
    """Assert that draws have these probabilities (float64 [size]), by a chi-square test at the level 1 : 30,000."""
    assert np.isclose(probabilities.sum(), 1.0)
    counts, expected = np.bincount(slots, minlength=len(probabilities)), probabilities * len(slots)
    assert counts[probabilities == 0].sum() == 0
    rare = expected < 5  # together one cell
    counts, expected = (np.append(values[~rare], values[rare].sum()) for values in (counts, expected))
    counts, expected = counts[expected > 0], expected[expected > 0]
    freedom = len(counts) - 1
    quantile = freedom * (1 - 2 / (9 * freedom) + 4 * np.sqrt(2 / (9 * freedom))) ** 3  # Wilson and Hilferty, 4 σ
    assert ((counts - expected) ** 2 / expected).sum() < quantile


def stated(sampler: Sampler, size: int = SIZE, seed: int = 0, draws: int = DRAWS) -> tuple[np.ndarray, np.ndarray]:
    """Draws, and the probabilities that `sample` states of each slot (0 for those not drawn): always the same ones."""
    slots, probabilities, _ = sampler.sample(draws, size, np.random.default_rng(seed))
    table = np.zeros(size)
    table[slots] = probabilities
    np.testing.assert_array_equal(table[slots], probabilities)
    return slots, table
