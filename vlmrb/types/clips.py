"""Clips as they are recorded, stored, listed and filtered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from vlmrb.types.transitions import Event

if TYPE_CHECKING:
    from vlmrb.types.scoring import ClipScore

ClosedBy = Literal["length", "terminated", "truncated", "interrupted"]
"""Why a clip ended: it was full, its episode ended, or its run did."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Up to `clip_length` consecutive steps of one environment within one episode.

    Attributes:
        clip_id: unique in the store; run_id · CLIPS_PER_RUN + the clip's number in its run.
        env_index: index of the parallel environment.
        episode: the episode's number in its run.
        item_ids: int64 [T]; the steps covered, E apart, ascending.
        snapshots: uint8 [T, S] (recipes for frames) or uint8 [T, H, W, 3] (frames); each taken after its step.
        rewards: float32 [T].
        events: pairs (index in the clip, Event), ascending.
        closed_by: why the clip ended.
        overlap: how many of its first steps are the last ones of the clip before; in [0, T).
        mission: what its episode is about, in words; '' if the environment does not say.
    """

    clip_id: int
    env_index: int
    episode: int
    item_ids: np.ndarray
    snapshots: np.ndarray
    rewards: np.ndarray
    events: tuple[tuple[int, Event], ...]
    closed_by: ClosedBy
    overlap: int = 0
    mission: str = ""

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
    """A clip as lists show it, without frames. `score` is its newest, by any scorer, or None."""

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
    superseded: bool  # after the checkpoint that a crashed run resumed from; not in the curves
    events: tuple[tuple[int, Event], ...]
    score: ClipScore | None
    progress: bool = False  # the simulator saw progress in it (`vlmrb.events`)
    human_label: bool | None = None  # the label that a person gave it most recently
    mission: str = ""  # what its episode is about, in words

    @property
    def human_agrees(self) -> bool | None:
        """Whether a person agrees with the current label; None if either label is missing."""
        label = None if self.score is None else self.score.label
        return None if label is None or self.human_label is None else label == self.human_label


@dataclass(frozen=True, slots=True)
class ClipFilter:
    """Which clips to select; every field narrows the selection. Label, P(yes) and prompt are those of the newest score.

    Attributes:
        run_ids: from these runs; empty for all.
        min_step, max_step: range of the clip's first step, inclusive.
        label: label of the score; 'unknown' is a score without an answer.
        min_probability, max_probability: range of P(yes), inclusive; clips without one are left out.
        event: a simulator event's name ('opened') or name and object ('opened door').
        prompt_id: scored with this prompt.
        agreement: whether the label agrees with the simulator's progress events; clips without a label are left out.
        min_spread: smallest spread of P(yes) among the members of a vote or cascade (`ClipScore.spread`), inclusive; clips that
            fewer than two have an answer to are left out.
        human: whether a person agrees with the label; 'any' and 'none': with and without a human label.
        not_labelled_by: without a label by the person of this name; '' is whoever gave none.
        superseded: include clips that a resumed run has superseded.
    """

    run_ids: tuple[int, ...] = ()
    min_step: int | None = None
    max_step: int | None = None
    label: Literal["yes", "no", "unknown", "unscored"] | None = None
    min_probability: float | None = None
    max_probability: float | None = None
    min_spread: float | None = None
    event: str | None = None
    prompt_id: int | None = None
    agreement: Literal["agrees", "disagrees"] | None = None
    human: Literal["agreed", "disagreed", "any", "none"] | None = None
    not_labelled_by: str | None = None
    superseded: bool = False


ClipOrder = Literal["newest", "oldest", "score_high", "score_low", "disagreement", "spread", "threshold", "prompts"]
"""By clip id, by P(yes), by |P(yes) − progress|, by the spread among voters (largest first), by |P(yes) − threshold| (smallest
first), or by how far apart P(yes) of different prompts is, that of the newest score and those of trials (largest first). Clips
without it come last."""


@dataclass(frozen=True, slots=True)
class HumanLabel:
    """A person's verdict on a clip's label.

    Attributes:
        annotator: the person's name; '' if none was given.
        agrees: whether the label is right.
        label: the right label according to the person; None where nobody knows which label was judged.
        note: why.
        created_at: seconds since the epoch.
    """

    clip_id: int
    annotator: str
    agrees: bool
    label: bool | None
    note: str
    created_at: float


@dataclass(frozen=True, slots=True)
class ClipReplay:
    """Replay statistics of a clip when its score was applied.

    Attributes:
        step: step of the run at that moment.
        td_error: mean |δ| of its transitions; NaN if learning has diverged.
        vlm_weight: λ in effect, or None if the replay method has none.
        vlm_probability: probability that a draw picks one of its transitions through the VLM part (λ·q_P).
        uniform_probability: the same through the other part ((1 − λ)·q_U); the whole if there is no VLM part.
    """

    clip_id: int
    step: int
    td_error: float
    vlm_weight: float | None
    vlm_probability: float
    uniform_probability: float


class ClipSpan(NamedTuple):
    """Which items a stored clip covers, and what is known about it."""

    clip_id: int
    start_step: int
    stride: int  # from one item to the next
    length: int
    label: bool | None  # of its newest score
    progress: bool


class TdErrorAndScore(NamedTuple):
    """One clip of a scatter plot: mean |δ| of its transitions against its score."""

    clip_id: int
    run_id: int
    td_error: float
    probability: float  # P(yes)
    label: bool
    progress: bool
