"""Records passed between the parts of the engine: frozen, named, without logic.

Shapes use E = parallel environments, T = steps in a clip, B = minibatch size, F = frames, S = bytes of a snapshot.
A *step* is one step of one environment. A run counts steps over all its environments, and the item id of a
transition is the number of its step (0, 1, 2, …; environment e of E has e, e+E, e+2E, …).

Import from here; the files below only group the records by subject.
"""

from __future__ import annotations

from vlmrb.types.clips import (
    CLIPS_PER_RUN,
    Clip,
    ClipFilter,
    ClipOrder,
    ClipReplay,
    ClipSpan,
    ClipSummary,
    ClosedBy,
    HumanLabel,
    TdErrorAndScore,
)
from vlmrb.types.draws import MOST_DRAWN, DrawnClip, Draws, Kinds
from vlmrb.types.jobs import ACTIVE_JOB, Job, JobKind, JobStatus
from vlmrb.types.live import (
    EDITS,
    LIVE,
    LIVE_CHANGES,
    Change,
    LiveChange,
    SetLambda,
    SetPrompt,
    SetQuestion,
    SetStatus,
    Unreadable,
)
from vlmrb.types.runs import (
    CLOCK_S,
    EVALUATION_S,
    IMPORTED,
    RUNNING_S,
    SPEED,
    SUCCESS,
    Lineage,
    RunCounters,
    RunFigures,
    RunListItem,
    RunStatus,
    RunSummary,
)
from vlmrb.types.scoring import (
    MAX_QUESTIONS,
    PLACEHOLDERS,
    ClipScore,
    ClipScorer,
    FrameRenderer,
    LooksAhead,
    OtherMissions,
    Prompt,
    Rule,
    ScoringRequest,
    TextRenderer,
    Vote,
    spread,
)
from vlmrb.types.spaces import MIN_IMAGE_SIDE, ActionSpec, ObservationSpec
from vlmrb.types.transitions import AgentUpdate, Batch, Episode, Event, Feedback, ItemId, Judged, JudgeGoals, Transition
from vlmrb.types.trials import Trial, TrialStatus

__all__ = [
    "ACTIVE_JOB",
    "SUCCESS",
    "CLOCK_S",
    "EVALUATION_S",
    "RUNNING_S",
    "SPEED",
    "IMPORTED",
    "ActionSpec",
    "AgentUpdate",
    "Batch",
    "CLIPS_PER_RUN",
    "Change",
    "Clip",
    "ClipFilter",
    "ClipOrder",
    "ClipReplay",
    "ClipScore",
    "ClipScorer",
    "ClipSpan",
    "ClipSummary",
    "ClosedBy",
    "DrawnClip",
    "Draws",
    "EDITS",
    "Episode",
    "Event",
    "Feedback",
    "FrameRenderer",
    "HumanLabel",
    "ItemId",
    "Job",
    "JobKind",
    "JobStatus",
    "JudgeGoals",
    "Judged",
    "Kinds",
    "LIVE",
    "LIVE_CHANGES",
    "MAX_QUESTIONS",
    "MOST_DRAWN",
    "PLACEHOLDERS",
    "Lineage",
    "LooksAhead",
    "LiveChange",
    "MIN_IMAGE_SIDE",
    "ObservationSpec",
    "OtherMissions",
    "Prompt",
    "Rule",
    "RunCounters",
    "RunFigures",
    "RunListItem",
    "RunStatus",
    "RunSummary",
    "ScoringRequest",
    "SetLambda",
    "SetPrompt",
    "SetQuestion",
    "SetStatus",
    "TdErrorAndScore",
    "TextRenderer",
    "Transition",
    "Trial",
    "TrialStatus",
    "Unreadable",
    "Vote",
    "spread",
]
