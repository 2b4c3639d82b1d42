"""Hindsight experience replay (Andrychowicz et al. 2017): a drawn item may take a goal that its episode has reached.

What is stored stays as it was. When a batch has been drawn, each of its items has its desired goal replaced with probability
k / (k + 1) by one that its episode achieved:

    future:k     after the item's own step or a later one, each alike
    final:k      after the last step of the episode; of one that is still going on, the last so far
    episode:k    after any step of the episode that the buffer still holds

The rewards of its n-step return are those for the new goal. Where the environment says which goals end an episode, the return
ends with the step that reaches the new goal, as a terminal one, and the end of the episode that was recorded is no end for
another goal. Where it does not, the return has its recorded steps, and terminated if they did.

Samplers choose items as they are stored. What the agent finds out about an item, such as its TD error, is about the goal that it
had in the batch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vlmrb.types import Batch, JudgeGoals

STRATEGIES = ("future", "final", "episode")
WORDS = "words"
MAX_K, MAX_OTHERS = 16, 15
OFF = "off"
FORM = (
    f"{OFF}, or future:K, final:K or episode:K with K from 1 to {MAX_K}, such as future:4, or {WORDS}:K with K from 1 to "
    f"{MAX_OTHERS}"
)


@dataclass(frozen=True, slots=True)
class Relabelling:
    """How goals are replaced.

    Attributes:
        strategy: where the new ones come from, of STRATEGIES; or WORDS, for missions (`vlmrb.replay.words`).
        k: new goals per old one, 1 to MAX_K; of WORDS, how many missions a clip is asked about, 1 to MAX_OTHERS.
    """

    strategy: str
    k: int

    @classmethod
    def parse(cls, text: Any) -> Relabelling | None:
        """What 'future:4' says; None for 'off'.

        Raises:
            ValueError: it says anything else; the message is the allowed form.
        """
        words = text.strip() if isinstance(text, str) else ""
        if words == OFF:
            return None
        found = re.fullmatch(rf"({'|'.join((*STRATEGIES, WORDS))}):([0-9]{{1,3}})", words)
        if found is None or not 1 <= int(found[2]) <= (MAX_OTHERS if found[1] == WORDS else MAX_K):
            raise ValueError(f"allowed: {FORM}")
        return cls(found[1], int(found[2]))

    def __str__(self) -> str:
        return f"{self.strategy}:{self.k}"

    @property
    def in_words(self) -> bool:
        """Whether missions are replaced, as a scorer says that they were accomplished."""
        return self.strategy == WORDS

    @property
    def share(self) -> float:
        """The probability that an item's goal or mission is replaced.

        Of missions it is one half, however many are asked about: what failed for an item's own mission has to stay in the
        batches, or the network takes for granted that whatever the agent does is what it was asked for.
        """
        return 0.5 if self.in_words else self.k / (self.k + 1)


def asks_in_words(her: Any) -> bool:
    """Whether this value of `her` means hindsight in words, which asks a scorer; of wrong values, whether it seems to."""
    return str(her).partition(":")[0].strip() == WORDS


class Held(NamedTuple):
    """What a buffer holds, as far as hindsight looks at it (`vlmrb.replay.kernels`)."""

    words: np.ndarray  # uint32 [capacity, W], the records
    boundary: int  # word that the next observation begins at
    steps: np.ndarray  # int32 [capacity], number of the step in its episode
    achieved: np.ndarray  # float32 [capacity, G]
    next_observations: np.ndarray  # [capacity, *shape]
    next_item_id: int
    n_envs: int
    powers: np.ndarray  # float32, γ^0 … γ^n


class Hindsight:
    """Replaces goals in batches.

    Args:
        relabelling: how.
        judge: what steps are worth by another goal; called once per batch.

    Attributes:
        relabelled: which items of the last batch have another goal, bool [B].
    """

    def __init__(self, relabelling: Relabelling, judge: JudgeGoals) -> None:
        from vlmrb.replay import kernels

        self._kernels, self._judge = kernels, judge
        self._strategy, self._share = STRATEGIES.index(relabelling.strategy), relabelling.share
        self.relabelled = np.zeros(0, bool)

    def relabel(self, batch: Batch, slots: np.ndarray, held: Held, rng: np.random.Generator) -> None:
        """Give a batch, whose items lie at these slots (int64 [B]), its new goals; its arrays are changed in place.

        Raises:
            EnvironmentFailedError: the environment's own code fails, or gives rewards that are none.
        """
        goal_slots = self._kernels.hindsight_goals(
            held.words,
            held.steps,
            slots,
            held.next_item_id,
            held.n_envs,
            held.boundary,
            rng.random((2, len(slots))),
            self._share,
            self._strategy,
        )
        self.relabelled = goal_slots >= 0
        rows = np.flatnonzero(self.relabelled)
        if len(rows):
            self._judge_again(batch, rows, slots[rows], held.achieved[goal_slots[rows]], held)

    def _judge_again(self, batch: Batch, rows: np.ndarray, slots: np.ndarray, goals: np.ndarray, held: Held) -> None:
        """Give rows (int64 [M]) of the batch their new goals (float32 [M, G]) and what follows from them."""
        steps, firsts = self._kernels.hindsight_steps(
            held.words, slots, held.next_item_id, held.n_envs, len(held.powers) - 1, held.boundary
        )
        counts = np.diff(firsts)  # steps of each return
        rewards, ends = self._judge(held.achieved[steps], np.repeat(goals, counts, axis=0))
        reached = np.zeros(len(steps), bool) if ends is None else ends
        returns, taken = self._kernels.hindsight_returns(rewards, reached, firsts, held.powers)
        batch.rewards[rows] = returns
        if ends is not None:
            batch.terminated[rows] = reached[firsts[:-1] + taken - 1]
            batch.discounts[rows] = held.powers[taken]
            short = np.flatnonzero(taken < counts)
            batch.next_observations[rows[short]] = held.next_observations[steps[firsts[short] + taken[short] - 1]]
        batch.observations[rows, -goals.shape[1] :] = goals
        batch.next_observations[rows, -goals.shape[1] :] = goals
