"""Hindsight in words: a drawn item may take a mission that its episode accomplished, as far as a scorer has said so.

For tasks whose mission is part of the observation. A clip is asked about missions besides its own, of those that the environment
has given so far in the run. A yes marks the clip's last step with that mission. When a batch has been drawn, each of its items
takes with probability 1/2 a mission that its own step or a later one of its episode is marked with, each mark alike. The words of
the mission change in what the agent sees before and after. The first step from the item on that is marked with the new mission
earns REWARD and ends the episode; all steps before it earn 0. Items without such a mark stay as they are.

Samplers choose items as they are stored, as with goals (`vlmrb.replay.hindsight`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vlmrb.replay.hindsight import Held, Relabelling
from vlmrb.types import Batch, ObservationSpec

MAX_MISSIONS = 1_000
"""Distinct missions that are kept; later ones are never asked about."""

SHARED = 8
"""Clips that follow each other in a run and are asked about the same missions, so that a scorer can take them as one batch."""

REWARD = 1.0
"""Of the step that accomplishes a new mission: what MiniGrid pays for a success, without its discount for the time taken."""

_NONE = -1


class Missions:
    """Distinct missions in the order in which they were first given, with their words as the agent sees them.

    Args:
        spec: of the observations; the last `spec.mission` values are the words.
    """

    def __init__(self, spec: ObservationSpec) -> None:
        self.texts: list[str] = []
        self.words = np.zeros((MAX_MISSIONS, spec.mission), spec.dtype)
        self._numbers: dict[str, int] = {}

    def see(self, texts: Sequence[str], observations: np.ndarray) -> None:
        """Keep the missions of E episodes (texts [E]) that are new, with what the agent observed in each, [E, D]."""
        for text, observation in zip(texts, observations, strict=True):
            if text and text not in self._numbers and len(self.texts) < MAX_MISSIONS:
                self._keep(text, observation[-self.words.shape[1] :])

    def _keep(self, text: str, words: np.ndarray) -> None:
        number = self._numbers[text] = len(self.texts)
        self.texts.append(text)
        self.words[number] = words

    def number(self, text: str) -> int | None:
        """Its place among the missions; None if it is not kept."""
        return self._numbers.get(text)

    def load(self, texts: Sequence[str], words: np.ndarray) -> None:
        """Replace all missions."""
        self.texts, self._numbers = [], {}
        for text, of_text in zip(texts, words, strict=True):
            self._keep(str(text), of_text)


class HindsightInWords:
    """Replaces missions in batches.

    Args:
        relabelling: `words:k`.
        spec: of the observations.
        capacity: of the buffer.
        seed: of which missions are asked about.

    Attributes:
        relabelled: which items of the last batch have another mission, bool [B].
        missions: those that the environment has given so far.
    """

    def __init__(self, relabelling: Relabelling, spec: ObservationSpec, capacity: int, seed: int) -> None:
        from vlmrb.replay import kernels

        assert relabelling.in_words and spec.mission, (relabelling, spec)
        self._kernels, self._k, self._share, self._seed = kernels, relabelling.k, relabelling.share, seed
        self.relabelled = np.zeros(0, bool)
        self.missions = Missions(spec)
        self._accomplished = np.full(capacity, _NONE, np.int16)  # by slot, number of the mission that the step accomplished

    def added(self, slots: np.ndarray, missions: Sequence[str], observations: np.ndarray) -> None:
        """New items lie at these slots (int64 [E]), of episodes with these missions."""
        self._accomplished[slots] = _NONE
        self.missions.see(missions, observations)

    def others(self, number: int) -> tuple[str, ...]:
        """Up to k missions to ask the run's nth clip about; its own may be among them, as SHARED clips are asked alike.

        They depend on the seed, the clip's number and the missions given so far, and on nothing else.
        """
        texts = self.missions.texts
        rng = np.random.default_rng([self._seed, number // SHARED])
        chosen = rng.choice(len(texts), min(self._k, len(texts)), replace=False)
        return tuple(texts[at] for at in chosen) if len(texts) > 1 else ()

    def accomplish(self, slot: int, mission: str) -> None:
        """The step of this item has accomplished a mission; one that is not kept is passed over."""
        if (number := self.missions.number(mission)) is not None:
            self._accomplished[slot] = number

    def forget(self) -> None:
        """No step has accomplished anything."""
        self._accomplished[:] = _NONE

    def relabel(self, batch: Batch, slots: np.ndarray, held: Held, rng: np.random.Generator) -> None:
        """Give a batch, whose items lie at these slots (int64 [B]), its new missions; its arrays are changed in place."""
        numbers, ends, ahead = self._kernels.missions_ahead(
            held.words,
            self._accomplished,
            slots,
            held.next_item_id,
            held.n_envs,
            held.boundary,
            rng.random((2, len(slots))),
            self._share,
        )
        self.relabelled = numbers >= 0
        rows = np.flatnonzero(self.relabelled)
        if not len(rows):
            return
        n_step = len(held.powers) - 1
        reached = ahead[rows] < n_step  # within the n-step return, which ends there
        there, steps = rows[reached], ahead[rows[reached]]
        batch.rewards[rows], batch.terminated[rows] = 0.0, 0.0
        batch.rewards[there], batch.terminated[there] = REWARD * held.powers[steps], 1.0
        batch.discounts[there] = held.powers[steps + 1]
        batch.next_observations[there] = held.next_observations[ends[there]]
        words = self.missions.words[numbers[rows]]
        batch.observations[rows, -words.shape[1] :] = words
        batch.next_observations[rows, -words.shape[1] :] = words

    def state_dict(self, size: int) -> dict[str, Any]:
        """What the first `size` slots hold, and the missions; arrays and JSON."""
        texts = self.missions.texts
        return {"accomplished": self._accomplished[:size], "words": self.missions.words[: len(texts)], "missions": list(texts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave; without any, as in a run that had no hindsight in words, begin with nothing."""
        self.forget()
        if "missions" in state:
            self._accomplished[: len(state["accomplished"])] = state["accomplished"]
            self.missions.load(state["missions"], state["words"])
