"""Clips as they are recorded, stored, listed and looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from vlmrb.types.transitions import Event

if TYPE_CHECKING:
    from vlmrb.types.scoring import ClipScore

ClosedBy = Literal["length", "terminated", "truncated", "interrupted"]
"""Why a clip ended: it was full, its episode ended, or the run was."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Up to `clip_length` consecutive steps of one environment within one episode.

    Attributes:
        clip_id: unique in the store; run_id · CLIPS_PER_RUN + number of the clip in its run.
        env_index: which of the parallel environments.
        episode: number of the episode in its run.
        item_ids: int64 [T]; the steps covered, ascending by E.
        snapshots: uint8 [T, S] (recipes for frames) or uint8 [T, H, W, 3] (frames); each taken after its step.
        rewards: float32 [T].
        events: pairs (index in the clip, Event), ascending.
        closed_by: why the clip ended.
    """

    clip_id: int
    env_index: int
    episode: int
    item_ids: np.ndarray
    snapshots: np.ndarray
    rewards: np.ndarray
    events: tuple[tuple[int, Event], ...]
    closed_by: ClosedBy

    @property
    def start_step(self) -> int:
        """Step (item id) of the first transition."""
        return int(self.item_ids[0])

    @property
    def end_step(self) -> int:
        """Step (item id) of the last transition."""
        return int(self.item_ids[-1])

    def __len__(self) -> int:
        return len(self.item_ids)


CLIPS_PER_RUN = 10_000_000
"""clip_id = run_id · CLIPS_PER_RUN + number; keeps ids readable, unique and below 2^53."""


@dataclass(frozen=True, slots=True)
class ClipSummary:
    """A clip as lists show it: no frames. The score is its newest, by any scorer, or None."""

    clip_id: int
    run_id: int
    number: int
    env_index: int
    episode: int
    start_step: int
    end_step: int
    length: int
    episodic_reward: float  # sum of the clip's rewards
    closed_by: ClosedBy
    superseded: bool  # lies after the checkpoint that a crashed run went on from; not in the curves
    events: tuple[tuple[int, Event], ...]
    score: ClipScore | None
    progress: bool = False  # the simulator saw progress in it (`vlmrb.events`)
    human_label: bool | None = None  # what a person says that the label should be, by their newest word

    @property
    def human_agrees(self) -> bool | None:
        """Whether a person agrees with the present label; None where there is no word or no label."""
        label = None if self.score is None else self.score.label
        return None if label is None or self.human_label is None else label == self.human_label


@dataclass(frozen=True, slots=True)
class ClipFilter:
    """Which clips to look at; every field narrows. Label, probability and prompt are those of a clip's newest score.

    Attributes:
        run_ids: of these runs; empty for all.
        min_step, max_step: clips that start within, both included.
        label: what the score says; 'unknown' is a score without an answer.
        min_probability, max_probability: of P(yes), both included; clips without one are left out.
        event: a simulator event's name ('opened') or name and object ('opened door').
        prompt_id: scored with this prompt.
        agreement: label against progress as the simulator saw it; clips without a label are left out.
        human: whether a person agrees with the label; 'any' and 'none': whether a person has said anything.
        superseded: also those that a resumed run has left behind.
    """

    run_ids: tuple[int, ...] = ()
    min_step: int | None = None
    max_step: int | None = None
    label: Literal["yes", "no", "unknown", "unscored"] | None = None
    min_probability: float | None = None
    max_probability: float | None = None
    event: str | None = None
    prompt_id: int | None = None
    agreement: Literal["agrees", "disagrees"] | None = None
    human: Literal["agreed", "disagreed", "any", "none"] | None = None
    superseded: bool = False


ClipOrder = Literal["newest", "oldest", "score_high", "score_low", "disagreement"]
"""By clip id, by P(yes), or by |P(yes) − progress| (largest first); clips without a probability come last."""


@dataclass(frozen=True, slots=True)
class ClipReplay:
    """What replay made of a clip at the moment its score was applied.

    Attributes:
        step: steps of the run at that moment.
        td_error: mean |δ| of its transitions; NaN where learning has diverged.
        vlm_weight: λ in effect, or None where the replay has none.
        vlm_probability: chance that one draw is one of its transitions by the VLM part (λ·q_P).
        uniform_probability: the same by the other part ((1 − λ)·q_U); all of it where there is no VLM part.
    """

    clip_id: int
    step: int
    td_error: float
    vlm_weight: float | None
    vlm_probability: float
    uniform_probability: float


class TdErrorAndScore(NamedTuple):
    """One clip of a scatter: mean |δ| of its transitions against what the scorer said."""

    clip_id: int
    run_id: int
    td_error: float
    probability: float  # P(yes)
    label: bool
    progress: bool
