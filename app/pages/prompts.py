"""The prompts page: write a prompt, try it on stored clips before applying it to a run, save it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.bench import BenchView, bench_view, standing
from app.checks import MAX_TEXT, a_count, a_number, a_text, an_id, ids
from app.clip_views import told_on_card
from app.prompt_library import known_prompts
from app.studio import Studio
from app.widgets import widget
from vlmrb import jobs
from vlmrb.analysis.comparison import method_of
from vlmrb.errors import NotFoundError
from vlmrb.jobs import TrialReport, TrialRow
from vlmrb.panels import CONTROLS
from vlmrb.playback import THUMBNAIL_FRAMES
from vlmrb.prompt_library import save_prompt
from vlmrb.store import Store
from vlmrb.truths import PROGRESS, choices, truths_of
from vlmrb.types import CLIPS_PER_RUN, LIVE, LiveChange, Prompt, RunSummary, Trial, TrialStatus

MAX_SAMPLE = 2_000
MAX_NAME = 60
RECENT_TRIALS = 12
MAX_SCORER = 2_000
"""Characters in a scorer's name: a vote names up to nine."""


@dataclass(frozen=True, slots=True)
class RunChoice:
    """A run whose clips can be used in a trial, or that can take the prompt."""

    run_id: int
    name: str
    method: str
    status: str
    scorer: str | None
    clips: int
    takes_prompt: str  # '' if it does, else why not


@dataclass(frozen=True, slots=True)
class Library:
    """All options on the page."""

    prompts: list[Prompt]
    runs: list[RunChoice]
    scorers: list[str]
    trials: list[RecentTrial]


@dataclass(frozen=True, slots=True)
class RecentTrial:
    """A trial in the list of earlier trials."""

    trial_id: int
    status: str
    scorer: str
    prompt: str
    scored: int
    clips: int
    created_at: float


@dataclass(frozen=True, slots=True)
class TriedClip:
    """One clip of a trial, with what the page needs to evaluate any threshold.

    Attributes:
        probability: the trial's P(yes); None for unknown.
        before: the current label; None if there is none.
        answers: the trial's answers to the questions of a set; empty for a single question.
        truths: what its events show (`vlmrb.truths`).
        human: the right label according to a person; None without a verdict.
    """

    clip_id: int
    run_id: int
    edition: str
    start_step: int
    thumbnail_frames: int
    events: tuple[str, ...]
    probability: float | None
    before: bool | None
    before_probability: float | None
    answers: tuple[float | None, ...]
    truths: tuple[str, ...]
    human: bool | None
    error: str


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question of a set, and the truth that fits it."""

    question: str
    truth: str


@dataclass(frozen=True, slots=True)
class TrialView:
    """The current state of a trial. The page computes everything that depends on the threshold from the clips."""

    trial_id: int
    status: TrialStatus
    waits: bool
    scorer: str
    model: str
    prompt: Prompt | None
    threshold: float
    scored: int
    total: int
    error: str
    notices: list[str]
    rule: str  # how a clip's answers to a set of questions become its label; '' for a single question
    truths: list[str]  # what the answers can be judged by
    truth: str  # what fits the prompt
    questions: list[AskedQuestion]  # of a set
    clips: list[TriedClip]


def build(studio: Studio) -> None:
    """Add the page's components to the open Blocks."""
    store = studio.store

    def library(_: dict[str, Any]) -> Library:
        """Prompts, runs, scorers and recent trials."""
        return read_library(store)

    def try_prompt(request: dict[str, Any]) -> int:
        """Score stored clips with the prompt, a sample or those of another trial, in the background; returns the trial's id."""
        return jobs.launch_trial(
            store,
            run_ids=ids(request, "runs"),
            scorer=a_text(request, "scorer", MAX_SCORER).strip(),
            prompt=a_text(request, "prompt"),
            sample=a_count(request, "sample", MAX_SAMPLE, default=200),
            threshold=_share(request, "threshold", 0.5),
            frames=a_count(request, "frames", 256, default=0) or None,
            same_clips_as=an_id(request, "same_clips_as") if request.get("same_clips_as") else None,
        )

    def bench(request: dict[str, Any]) -> BenchView:
        """Trials of the same clips; without the clips if the page has already `seen` as many."""
        return bench_view(store, ids(request, "trials"), a_count(request, "seen", 10**9, default=0))

    def trial(request: dict[str, Any]) -> TrialView:
        """The current state of a trial; without its clips if the page has already `seen` as many."""
        return view_of(store, an_id(request, "trial"), a_count(request, "seen", 10**9, default=0))

    def add_trial(request: dict[str, Any]) -> int:
        """Try what a trial has tried on the clips of another; returns the id of a trial that does, which may be there."""
        return jobs.repeat_trial(store, an_id(request, "trial"), an_id(request, "same_clips_as"))

    def stop_trial(request: dict[str, Any]) -> None:
        """Stop a trial."""
        jobs.stop_trial(store, an_id(request, "trial"))

    def resume_trial(request: dict[str, Any]) -> None:
        """Resume a trial."""
        jobs.resume_trial(store, an_id(request, "trial"))

    def save(request: dict[str, Any]) -> Prompt:
        """Save the text as the next version of a name."""
        return save_prompt(store, a_text(request, "name", MAX_NAME), a_text(request, "text"))

    def apply(request: dict[str, Any]) -> int:
        """Ask a live run to use the text from now on; returns the id of the live change."""
        return jobs.request_prompt(store, an_id(request, "run"), a_text(request, "text"))

    def applied(request: dict[str, Any]) -> LiveChange:
        """That live change, with its status."""
        run_id, change_id = an_id(request, "run"), an_id(request, "control")
        for row in store.live_changes(run_id):
            if row.change_id == change_id:
                return row
        raise NotFoundError(f"there is no live change {change_id} of run {run_id}")

    widget(
        "prompt_lab",
        library,
        try_prompt,
        trial,
        bench,
        add_trial,
        stop_trial,
        resume_trial,
        save,
        apply,
        applied,
        max_text=MAX_TEXT,
        max_sample=MAX_SAMPLE,
        max_name=MAX_NAME,
        controls=CONTROLS,
        max_contestants=jobs.MAX_CONTESTANTS,
    )


def read_library(store: Store) -> Library:
    """Prompts, runs that have clips or can take a prompt, scorers used by runs, and recent trials."""
    runs = [run for run in store.runs() if run.counters.clips or run.status in LIVE]
    used = dict.fromkeys(run.scorer for run in runs if run.scorer)
    prompts = {prompt.prompt_id: prompt for prompt in store.prompts()}
    return Library(
        prompts=known_prompts(store),
        runs=[_choice(run) for run in runs],
        scorers=list(used),
        trials=[_recent(trial, prompts) for trial in store.trials(RECENT_TRIALS)],
    )


def _choice(run: RunSummary) -> RunChoice:
    return RunChoice(
        run.run_id, run.name, method_of(run).label, run.status, run.scorer, run.counters.clips,
        jobs.why_not(run, "prompt"),
    )  # fmt: skip


def _recent(trial: Trial, prompts: dict[int | None, Prompt]) -> RecentTrial:
    prompt = prompts.get(trial.prompt_id)
    words = "no prompt" if prompt is None else f"{prompt.name}@{prompt.version}: {prompt.text}"
    return RecentTrial(trial.trial_id, trial.status, trial.scorer, words, trial.scored, len(trial.clip_ids), trial.created_at)


def view_of(store: Store, trial_id: int, seen: int = 0) -> TrialView:
    """The current state of a trial; its clips are left out if there are no more than `seen`.

    Raises:
        NotFoundError: there is no such trial.
    """
    found: TrialReport = jobs.trial_report(store, trial_id)
    trial, agreement = found.trial, found.agreement
    waits, error = standing(store, trial, agreement.first_error if agreement else "")
    editions = {run.run_id: f"{run.created_at:.6f}" for run in store.runs(run_ids=trial.run_ids)}
    return TrialView(
        trial_id=trial_id,
        status=trial.status,
        waits=waits,
        scorer=trial.scorer,
        model=trial.model,
        prompt=found.prompt,
        threshold=trial.threshold,
        scored=trial.scored,
        total=len(trial.clip_ids),
        error=error,
        notices=[*found.notices, *([agreement.missing_votes] if agreement and agreement.missing_votes else [])],
        rule=agreement.rule if agreement else "",
        truths=choices(truths_of(row.clip.events) for row in found.rows),
        truth=agreement.truth if agreement else PROGRESS,
        questions=[AskedQuestion(each.question, each.truth) for each in agreement.questions] if agreement else [],
        clips=[_tried(row, editions) for row in found.rows] if len(found.rows) > seen else [],
    )


def _tried(row: TrialRow, editions: dict[int, str]) -> TriedClip:
    clip, before = row.clip, row.clip.score
    return TriedClip(
        clip_id=clip.clip_id,
        run_id=clip.run_id,
        edition=editions.get(clip.clip_id // CLIPS_PER_RUN, ""),
        start_step=clip.start_step,
        thumbnail_frames=min(clip.length, THUMBNAIL_FRAMES),
        events=told_on_card(clip.events),
        probability=row.score.probability,
        before=None if before is None else before.label,
        before_probability=None if before is None else before.probability,
        answers=row.score.answers if len(row.score.answers) > 1 else (),
        truths=tuple(sorted(truths_of(clip.events))),
        human=clip.human_label,
        error=row.score.error,
    )


def _share(request: dict[str, Any], name: str, default: float) -> float:
    value = a_number(request, name, 0, 1)
    return default if value is None else value
