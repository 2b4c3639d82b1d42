"""What the replay buffer and a sampler say to each other.

A sampler works on slots (places in the ring buffer). It must have `sample` and `chances`. It has any of the following only
if it needs them; the buffer and the Trainer look at which ones are there:

    add(slots, context)            new items lie at these slots; whatever was there is gone
    feedback(slots, feedback)      what the agent found out about items that it has just learned from
    label(slots, priorities)       what a clip's labels make of its items: float64 [K] in [0, 1], 1 for yes and 0 for no
    weigh(weights)                 how λ is shared among the strata: floats ≥ 0, one per stratum; () for equal shares
    succeeded(step)                a training episode has succeeded, with this step
    advance(step)                  follow the schedules to this step of the run
    parts(slots, size)             `chances` split into what the labels lead to and the rest (`Parts`)
    change(name, value)            a live change that the method takes (`ReplayMethod.live`)
    figures()                      numbers for the run's curves, by metric
    state_dict(), load_state_dict(state)
    take_labels(state)            the labels, and nothing else, of what another sampler of the method saved (`labels`)

One that draws by label also says, after each `sample`, which of the batch the labels chose: `by_labels`, int64 [n], places in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from vlmrb.errors import DivergedError
from vlmrb.types import Feedback

Score = Callable[[np.ndarray], np.ndarray]
"""Gives the |TD error| (float32 [N]) of the items at some slots (int64 [N]) by the agent's present networks."""


class Sample(NamedTuple):
    """Chosen slots: independent draws with replacement."""

    slots: np.ndarray  # int64 [B]
    probabilities: np.ndarray  # float64 [B], of one draw
    weights: np.ndarray  # float32 [B], importance weights > 0; all 1 where not used


class Parts(NamedTuple):
    """How likely one draw is to choose each of some slots, by what leads to it; the whole is the sum of both parts."""

    vlm_weight: float | None  # λ in effect, None where the method has none
    vlm: np.ndarray  # float64 [N], λ·q_P; 0 where there is no such part or it has no mass
    other: np.ndarray  # float64 [N], (1 − λ)·q_B; the whole where there is no VLM part


class Added(NamedTuple):
    """What `add` learns about new items."""

    item_ids: np.ndarray  # int64 [N]
    episodes: np.ndarray  # int64 [N], never used twice
    steps: np.ndarray  # int64 [N], number of the step in its episode, from 0
    ended: np.ndarray  # bool [N], whether the episode ended with this step
    observations: np.ndarray  # [N, *shape], what the agent saw before the step
    n_envs: int  # consecutive items of one episode lie this many slots apart


FEEDBACK = Feedback._fields
"""What a method may want (`ReplayMethod.feedback`); every agent can compute all of it."""


class Sampler(Protocol):
    """Chooses slots among the first `size` of the buffer."""

    def sample(self, batch_size: int, size: int, rng: np.random.Generator, score: Score | None = None) -> Sample:
        """Draw `batch_size` slots from [0, size).

        Args:
            score: for samplers that look at items before they choose; the Trainer always gives it.
        """
        ...

    def chances(self, slots: np.ndarray, size: int) -> np.ndarray:
        """The probability that one draw chooses each of `slots` (int64 [N], below `size`): float64 [N]."""
        ...


def check_finite(values: np.ndarray, what: str) -> np.ndarray:
    """The values (float32 [N]), unchanged.

    Raises:
        DivergedError: one of them is NaN or infinite.
    """
    finite = np.isfinite(values)
    if not finite.all():
        raise DivergedError(f"{what} is {values[~finite][0]}")
    return values


def finite_only(slots: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slots (int64 [N]) and their values (float64 [N]) without those that are NaN or infinite, so that no priority is."""
    finite = np.isfinite(values)
    return (slots, values) if finite.all() else (slots[finite], values[finite])


def importance_weights(probabilities: np.ndarray, size: int, beta: float) -> np.ndarray:
    """(N · P(i))^−β, divided by the largest of the batch (Schaul et al. 2016, section 3.4): float32 [B] in (0, 1]."""
    weights = (size * probabilities) ** -beta
    weights /= weights.max()
    scaled: np.ndarray = weights.astype(np.float32)
    return scaled


def ones(batch_size: int) -> np.ndarray:
    """The weights of a batch that is not corrected: float32 [B]."""
    return np.ones(batch_size, np.float32)
