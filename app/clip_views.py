"""Clips as the pages show them: cards in a grid, and the full details of one clip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.colors import OTHER
from vlmrb.events import is_progress
from vlmrb.panels import rule_of
from vlmrb.playback import THUMBNAIL_FRAMES
from vlmrb.prompt_library import questions_of
from vlmrb.replay.registry import replay_methods
from vlmrb.types import ClipReplay, ClipScore, ClipSummary, Event, Prompt, RunSummary, Vote

Label = Literal["yes", "no", "unknown", "unscored"]

_LABELS: Mapping[bool | None, Label] = {True: "yes", False: "no", None: "unknown"}

SHOWN_EVENTS = 8
"""Maximum number of distinct events on a card."""


@dataclass(frozen=True, slots=True)
class ClipCard:
    """A clip in the grid.

    Attributes:
        edition: changes when the id refers to a different clip (another store, or a run that reuses a deleted run's id).
            It is part of the URL of the clip's images, which browsers cache.
        thumbnail_frames: number of frames side by side in its thumbnail.
        spread: how far apart the voters' P(yes) are; None unless several answered.
        events: its distinct events: progress first, and what came last in the clip before what led there.
        progress: whether the simulator saw progress.
        agrees: whether the label matches `progress`; None without a label.
        human: a person's verdict on the current label; None without one.
    """

    clip_id: int
    run_id: int
    run_name: str
    edition: str
    start_step: int
    end_step: int
    length: int
    thumbnail_frames: int
    label: Label
    probability: float | None
    threshold: float | None
    spread: float | None
    events: tuple[str, ...]
    progress: bool
    agrees: bool | None
    human: Literal["agreed", "disagreed"] | None
    superseded: bool


@dataclass(frozen=True, slots=True)
class EventAt:
    """An event, the frame (from 0) that shows it, and that frame's step in the run."""

    frame: int
    step: int
    words: str
    progress: bool


@dataclass(frozen=True, slots=True)
class ScoreView:
    """A score of a clip.

    Attributes:
        prompt: 'name@version', or '' for control scorers, which read no prompt.
        answers: to each question of a set; empty if there is only one, `probability`.
        votes: of the members of a vote or cascade that were asked; empty for a scorer alone.
        panel: how their answers became one, in words; '' for a scorer alone.
        spread: as on the card.
    """

    label: Label
    probability: float | None
    threshold: float
    yes_logit: float | None
    no_logit: float | None
    scorer: str
    model: str
    revision: str
    prompt: str
    prompt_text: str
    frame_indices: tuple[int, ...]
    latency_s: float
    error: str
    answers: tuple[AnswerView, ...]
    votes: tuple[VoteView, ...]
    panel: str
    spread: float | None


@dataclass(frozen=True, slots=True)
class AnswerView:
    """The answer to one question of a set."""

    question: str
    label: Label
    probability: float | None


@dataclass(frozen=True, slots=True)
class VoteView:
    """What a member of a vote or cascade said: of each question, its label and P(yes)."""

    member: str
    labels: tuple[Label, ...]
    answers: tuple[float | None, ...]
    latency_s: float
    error: str


@dataclass(frozen=True, slots=True)
class ReplayView:
    """A clip's replay probabilities when its score was applied.

    Attributes:
        step: the run's step at that moment.
        td_error: mean |δ| of the clip's transitions.
        vlm_weight: λ at that moment; None without a mixture.
        vlm_probability: probability that one draw picks the clip through the VLM part.
        other_probability: the same for the other part.
        other: label of the other part: the base method of a mixture, or the replay method itself.
        token, other_token: colour tokens of the VLM part and of the other part.
        uniform: probability of picking a clip of this length under uniform replay, given how full the buffer was.
        times_uniform: the total probability divided by `uniform`.
    """

    step: int
    td_error: float
    vlm_weight: float | None
    vlm_probability: float
    other_probability: float
    other: str
    token: str
    other_token: str
    uniform: float
    times_uniform: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A person's verdict on a label, its time (seconds since the epoch), and who it was; '' if they gave no name."""

    agrees: bool
    note: str
    created_at: float
    annotator: str


@dataclass(frozen=True, slots=True)
class ClipView:
    """Everything known about a clip; `problem` says what could not be read. Scores and verdicts are newest first."""

    card: ClipCard
    env: str
    method: str
    env_index: int
    episode: int
    closed_by: str
    mission: str
    episodic_reward: float
    rewards: tuple[float, ...]
    events: tuple[EventAt, ...]
    scores: tuple[ScoreView, ...]
    replay: ReplayView | None
    verdicts: tuple[Verdict, ...]
    problem: str


def clip_cards(clips: Iterable[ClipSummary], runs: Mapping[int, RunSummary]) -> list[ClipCard]:
    """Cards in the order of `clips`; `runs` by id. Clips whose run has just been deleted are left out."""
    return [clip_card(clip, runs[clip.run_id]) for clip in clips if clip.run_id in runs]


def clip_card(clip: ClipSummary, run: RunSummary) -> ClipCard:
    """One card."""
    label = label_of(clip.score)
    known = label in ("yes", "no")
    return ClipCard(
        clip_id=clip.clip_id,
        run_id=clip.run_id,
        run_name=run.name,
        edition=f"{run.created_at:.6f}",
        start_step=clip.start_step,
        end_step=clip.end_step,
        length=clip.length,
        thumbnail_frames=min(clip.length, THUMBNAIL_FRAMES),
        label=label,
        probability=clip.score.probability if clip.score else None,
        threshold=clip.score.threshold if clip.score else None,
        spread=clip.score.spread if clip.score else None,
        events=told_on_card(clip.events),
        progress=clip.progress,
        agrees=(label == "yes") == clip.progress if known else None,
        human=None if clip.human_agrees is None else "agreed" if clip.human_agrees else "disagreed",
        superseded=clip.superseded,
    )


def label_of(score: ClipScore | None) -> Label:
    """'unknown' means a score without a usable answer."""
    if score is None:
        return "unscored"
    return _LABELS[score.label]


def words_of(event: Event) -> str:
    """'picked up yellow key'; 'goal reached'."""
    return "goal reached" if event.name == "goal_reached" else str(event).replace("_", " ")


def told_on_card(events: Sequence[tuple[int, Event]]) -> tuple[str, ...]:
    """Distinct events in words, progress first, the latest first: a narrow card cuts off what is at the end."""
    latest = sorted((event for _, event in reversed(events)), key=lambda event: not is_progress(event))
    return tuple(dict.fromkeys(words_of(event) for event in latest))[:SHOWN_EVENTS]


def events_at(clip: ClipSummary) -> tuple[EventAt, ...]:
    """A clip's events with their frames and steps."""
    stride = (clip.end_step - clip.start_step) // max(clip.length - 1, 1)
    return tuple(
        EventAt(frame, clip.start_step + stride * frame, words_of(event), is_progress(event)) for frame, event in clip.events
    )


def score_view(score: ClipScore, prompts: Mapping[int, Prompt]) -> ScoreView:
    """One score; `prompts` by id."""
    prompt = prompts.get(score.prompt_id) if score.prompt_id is not None else None
    return ScoreView(
        label=label_of(score),
        probability=score.probability,
        threshold=score.threshold,
        yes_logit=score.yes_logit,
        no_logit=score.no_logit,
        scorer=score.scorer,
        model=score.model,
        revision=score.revision,
        prompt=f"{prompt.name}@{prompt.version}" if prompt else "",
        prompt_text=score.asked or (prompt.text if prompt else ""),
        frame_indices=score.frame_indices,
        latency_s=score.latency_s,
        error=score.error,
        answers=_answers(score, prompt) if len(score.answers) > 1 else (),
        votes=tuple(_vote(vote, score.threshold) for vote in score.votes),
        panel=_rule_in_words(score),
        spread=score.spread,
    )


def _vote(vote: Vote, threshold: float) -> VoteView:
    labels = tuple(_LABELS[None if answer is None else answer >= threshold] for answer in vote.answers)
    return VoteView(vote.member, labels, vote.answers, vote.latency_s, vote.error)


def _rule_in_words(score: ClipScore) -> str:
    """How the members' answers became the score's."""
    rule = rule_of(score.scorer)
    if not score.votes or rule is None:
        return ""
    if rule == "cascade":
        asked = "The small member was in doubt, so the large one was asked. Its answer counts, if it has one."
        return asked if len(score.votes) > 1 else "The small member was in no doubt, so the large one was not asked."
    if rule == "mean":
        return "P(yes) is the mean of what the members say."
    return "The majority of the members' labels decides; in a tie, the mean of their P(yes)."


def _answers(score: ClipScore, prompt: Prompt | None) -> tuple[AnswerView, ...]:
    return tuple(
        AnswerView(question, _LABELS[label], answer)
        for question, label, answer in zip(questions_of(score, prompt), score.labels, score.answers, strict=True)
    )


def replay_view(replay: ClipReplay, run: RunSummary, length: int) -> ReplayView:
    """How likely one draw was to pick the clip, for each part of the mixture and compared with uniform replay.

    Args:
        replay: as recorded.
        run: the clip's run.
        length: number of transitions in the clip.
    """
    whole = replay.vlm_probability + replay.uniform_probability
    kept = min(replay.step, int(run.config.get("buffer_size", replay.step)))
    uniform = min(1.0, length / max(1, kept))
    other = str(run.config.get("base", "uniform")) if replay.vlm_weight is not None else run.replay
    method = replay_methods().get(other)
    return ReplayView(
        step=replay.step,
        td_error=replay.td_error,
        vlm_weight=replay.vlm_weight,
        vlm_probability=replay.vlm_probability,
        other_probability=replay.uniform_probability,
        other=method.label if method is not None else other,
        token=f"method-{run.replay}" if run.replay in replay_methods() else OTHER,
        other_token=f"method-{other}" if method is not None else OTHER,
        uniform=uniform,
        times_uniform=whole / uniform,
    )
