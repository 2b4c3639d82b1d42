"""Records that travel between the parts: frozen, named, without logic.

Shapes use E = parallel environments, T = steps of a clip, B = minibatch, F = frames, S = bytes of a snapshot.
A *step* is one step of one environment; the steps of a run are counted over all its environments, and the
item id of a transition is the number of its step (0, 1, 2, …; environment e of E holds e, e+E, e+2E, …).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

ItemId = int
"""Permanent number of a transition. Slots of the ring buffer are reused, item ids never are."""


@dataclass(frozen=True, slots=True)
class ObservationSpec:
    """What the agent sees.

    Attributes:
        kind: 'grid' (categorical cells and extras, flat), 'vector' (numbers) or 'image' (H, W, C).
        shape: shape of one observation as it lies in the replay buffer.
        dtype: NumPy dtype name, 'uint8' or 'float32'.
        grid_shape: for 'grid', (width, height, 3): the first width·height·3 values are cells
            (object, colour, state) in MiniGrid's encoding, the rest extras; otherwise None.
        extras: for 'grid', the number of values each extra can take, in order.
    """

    kind: Literal["grid", "vector", "image"]
    shape: tuple[int, ...]
    dtype: str
    grid_shape: tuple[int, int, int] | None = None
    extras: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What the agent may do: one of `n` choices (an int64), or A numbers (float32 [A]).

    In the engine every number of a continuous action lies in [−1, 1]; the environment maps it to its own bounds.

    Attributes:
        n: how many choices; 0 for continuous actions.
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


@dataclass(frozen=True, slots=True)
class Event:
    """Something the simulator did in one step: ground truth that labels are judged by. Never reaches the learner.

    Attributes:
        name: what happened: 'picked_up', 'dropped', 'unlocked', 'opened', 'closed', 'goal_reached', 'died', 'success', …
        object: type of the object it happened to ('key', 'door', …) or ''.
        color: its colour or ''.
    """

    name: str
    object: str = ""
    color: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.color, self.object) if part)


class Transition(NamedTuple):
    """One step of all E parallel environments.

    `next_observation` is what followed the action, also where an episode ended (never the first one of the next
    episode). Bootstrap on `terminated` only; `truncated` cuts the n-step return without a terminal value.
    """

    observation: np.ndarray  # [E, *shape]
    action: np.ndarray  # int64 [E], or float32 [E, A] in [−1, 1]
    reward: np.ndarray  # float32 [E]
    next_observation: np.ndarray  # [E, *shape]
    terminated: np.ndarray  # bool [E]
    truncated: np.ndarray  # bool [E]


class Batch(NamedTuple):
    """A minibatch with the exact probability that each item had of being drawn.

    `discounts` is γ^k for a k-step return (k ≤ n); the target is rewards + discounts·(1 − terminated)·V(next).
    """

    observations: np.ndarray  # [B, *shape]
    actions: np.ndarray  # int64 [B], or float32 [B, A] in [−1, 1]
    rewards: np.ndarray  # float32 [B], k-step discounted return
    next_observations: np.ndarray  # [B, *shape], k steps later
    terminated: np.ndarray  # float32 [B], 0 or 1
    discounts: np.ndarray  # float32 [B]
    item_ids: np.ndarray  # int64 [B]
    probabilities: np.ndarray  # float64 [B]
    weights: np.ndarray  # float32 [B], importance weights in (0, 1]; all 1 where not used


class Feedback(NamedTuple):
    """What the agent found out about the items of a batch; None for what the replay method does not want."""

    td_errors: np.ndarray  # float32 [B], signed
    reducible_losses: np.ndarray | None = None  # float32 [B], loss of the online network minus that of the target network


class AgentUpdate(NamedTuple):
    """What one gradient step gives back."""

    feedback: Feedback
    metrics: dict[str, float]


class Episode(NamedTuple):
    """An episode that has ended."""

    step: int  # step at which it ended
    env_index: int
    number: int  # counted over the run
    seed: int  # the seed it was reset with
    length: int
    episodic_return: float
    success: bool | None  # None where the environment has no notion of success


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
class Prompt:
    """One version of a named prompt. Data, never code; the text is untrusted.

    Attributes:
        name: preset or the user's name; free text on the command line is named 'custom'.
        version: 1, 2, 3, … within the name.
        text: the yes/no question shown to the model.
        prompt_id: its row in the store, or None where it is not stored.
    """

    name: str
    version: int
    text: str
    prompt_id: int | None = None


@dataclass(frozen=True, slots=True)
class ClipScore:
    """What a scorer said about a clip.

    Attributes:
        clip_id: the clip.
        probability: P(yes) in [0, 1], or None for 'unknown' (no usable answer).
        yes_logit: log-sum-exp of the raw logits (or log-probabilities) of the yes variants; None where there are none.
        no_logit: the same for the no variants.
        threshold: the label is yes where probability ≥ threshold.
        scorer: the string that chose the back end, such as 'hf:/models/plm' or 'oracle'.
        model: name of the model, or of the control.
        revision: commit hash or content fingerprint of the model, '' where there is none.
        prompt_id: stored prompt version that was asked, or None for controls that read none.
        frame_indices: which frames of the clip the model looked at; empty for controls.
        latency_s: seconds of the worker's time for this clip (its share of the batch, rendering included).
        error: why the score is unknown, or ''.
    """

    clip_id: int
    probability: float | None
    yes_logit: float | None
    no_logit: float | None
    threshold: float
    scorer: str
    model: str
    revision: str
    prompt_id: int | None
    frame_indices: tuple[int, ...] = ()
    latency_s: float = 0.0
    error: str = ""

    @property
    def label(self) -> bool | None:
        """True (yes), False (no) or None (unknown)."""
        return None if self.probability is None else self.probability >= self.threshold


class FrameRenderer(Protocol):
    """Turns snapshots into frames; made from a JSON `render_spec`, so it can be rebuilt in any process."""

    def render(self, snapshots: np.ndarray) -> np.ndarray:
        """uint8 [F, S] or [F, H, W, 3] → RGB frames uint8 [F, H, W, 3]."""
        ...


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """A clip as the scoring process hands it to a back end.

    Attributes:
        clip: the clip; the controls read its events or rewards.
        frames: RGB uint8 [F, H, W, 3], evenly spaced over the clip; F = 0 for scorers that need none.
        frame_indices: which frames of the clip these are.
    """

    clip: Clip
    frames: np.ndarray
    frame_indices: tuple[int, ...]


class ClipScorer(Protocol):
    """A back end that answers one yes/no question about clips."""

    frames_per_clip: int
    """How many evenly spaced frames it wants per clip; 0 for none."""

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """One score per request, in order. `latency_s` may stay 0: the worker fills it in.

        Raises:
            ScorerError: the back end as a whole has failed; a single clip that gave no usable answer is
                'unknown' (probability None) instead.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


RunStatus = Literal["created", "queued", "running", "paused", "finished", "stopped", "failed", "interrupted"]
"""'interrupted' is never written by a live run: it is what a dead process's 'running' or 'paused' reads as; 'queued' is what a
run reads as while a job waits to train it."""


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A live change asked of a run: one row of the append-only control table.

    Attributes:
        name: 'lambda' (value: number in [0, 1], 'none' or 'schedule'), 'prompt' (value: prompt id), 'pause', 'resume' or 'stop'.
        value: JSON-serialisable value, or None.
        status: 'requested', 'applied' or 'rejected'.
        applied_step: step at which it took effect, once applied.
        error: the reason, once rejected.
    """

    control_id: int
    run_id: int
    name: str
    value: Any
    requested_at: float  # seconds since the epoch
    status: Literal["requested", "applied", "rejected"] = "requested"
    applied_step: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as lists show it. `status` is the true one: a dead process reads as 'interrupted'."""

    run_id: int
    name: str
    status: RunStatus
    env: str
    algo: str
    replay: str
    scorer: str | None
    seed: int
    total_steps: int
    step: int
    steps_per_second: float | None
    created_at: float  # seconds since the epoch
    started_at: float | None
    ended_at: float | None
    heartbeat_at: float | None
    pid: int | None
    error: str
    config: dict[str, Any] = field(default_factory=dict)
    render_spec: dict[str, Any] = field(default_factory=dict)
    success_rule: str = ""
    counters: dict[str, float] = field(default_factory=dict)  # clips, clips_scored, positive, unknown, stale, dropped
    tags: tuple[str, ...] = ()
    set_name: str = ""  # the matched set that it was launched in, or ''


@dataclass(frozen=True, slots=True)
class RunListItem:
    """A run with its best and its latest `eval/success_rate`, in [0, 1]; None where none was measured yet."""

    run: RunSummary
    best_success: float | None
    latest_success: float | None


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


TrialStatus = Literal["created", "running", "finished", "failed", "interrupted"]
"""As `RunStatus`: 'interrupted' is what a dead process's 'running' reads as, too."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A prompt tried on a sample of stored clips. Its scores never become the clips' own.

    Attributes:
        prompt_id: what is asked, or None for scorers that read no prompt.
        options: of the scorer, such as frames and device.
        run_ids, clip_ids: the sample, ascending; those of deleted runs are gone from it.
        scored: clips that have an answer (also 'unknown').
        model, revision: who answers, once the first answer is there.
    """

    trial_id: int
    status: TrialStatus
    created_at: float  # seconds since the epoch
    ended_at: float | None
    scorer: str
    prompt_id: int | None
    threshold: float
    options: dict[str, Any]
    run_ids: tuple[int, ...]
    clip_ids: tuple[int, ...]
    scored: int
    model: str
    revision: str
    pid: int | None
    error: str


JobKind = Literal["train", "trial"]
JobStatus = Literal["queued", "starting", "running", "finished", "failed", "cancelled", "interrupted"]
"""'starting' has been handed to a process that has not reported yet; 'interrupted' is a process that is gone without a word."""


@dataclass(frozen=True, slots=True)
class Job:
    """A background process that is to train a run or to run a trial. `status` is the true one.

    Attributes:
        target_id: run id or trial id, by kind.
        exit_code: of the process, once it has ended by itself.
        error: why it failed, or ''.
    """

    job_id: int
    kind: JobKind
    target_id: int
    status: JobStatus
    queued_at: float  # seconds since the epoch
    started_at: float | None
    ended_at: float | None
    pid: int | None
    host: str | None
    exit_code: int | None
    error: str
