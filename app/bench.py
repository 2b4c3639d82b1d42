"""The prompt bench as data: trials of the same clips side by side, and contestants as settings of runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.checks import a_text
from app.clip_views import told_on_card
from vlmrb import jobs
from vlmrb.errors import ConfigError, NotFoundError, shown
from vlmrb.playback import THUMBNAIL_FRAMES
from vlmrb.prompt_library import prompt_presets
from vlmrb.store import Store
from vlmrb.truths import truths_for
from vlmrb.types import CLIPS_PER_RUN, ClipScore, ClipSummary, Prompt, Trial, TrialStatus

MAX_ENTRIES_TEXT = 400


@dataclass(frozen=True, slots=True)
class BenchQuestion:
    """A question of a set, which may compete alone, and the truth that fits it."""

    text: str
    truth: str


@dataclass(frozen=True, slots=True)
class BenchTrial:
    """A trial on the bench.

    Attributes:
        fixed: whether its P(yes) depends on its threshold, so that no other can be tried on the same answers.
        truth: what fits its prompt.
        seconds: mean time per clip; None while it has no answers.
        answered: whether it has answers, so that the clips hold its P(yes).
        questions: of a set, each with what fits it; empty for a single question.
    """

    trial_id: int
    status: TrialStatus
    waits: bool
    scorer: str
    model: str
    prompt: Prompt | None
    threshold: float
    fixed: bool
    truth: str
    scored: int
    total: int
    seconds: float | None
    answered: bool
    questions: tuple[BenchQuestion, ...]
    error: str


@dataclass(frozen=True, slots=True)
class BenchClip:
    """A clip that all contestants with answers have scored.

    Attributes:
        truths: what its events show (`vlmrb.truths`).
        probabilities: P(yes) of each trial; None for unknown.
        answers: of each trial of a set, P(yes) of its questions; empty for a single question.
    """

    clip_id: int
    run_id: int
    edition: str
    start_step: int
    thumbnail_frames: int
    events: tuple[str, ...]
    truths: tuple[str, ...]
    probabilities: tuple[float | None, ...]
    answers: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class BenchView:
    """Trials of the same clips. The page computes everything that depends on thresholds and truths from the clips.

    Attributes:
        runs: that the clips come from.
        truths: what the answers can be judged by.
        ready: number of clips that all contestants with answers have scored.
        clips: these; left out if the page has them.
    """

    trials: list[BenchTrial]
    runs: tuple[int, ...]
    truths: list[str]
    ready: int
    clips: list[BenchClip]


@dataclass(frozen=True, slots=True)
class Variant:
    """A contestant as the settings that make a run label its clips like it.

    Attributes:
        name: for people.
        settings: texts by name, as in a form.
    """

    name: str
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class Variants:
    """Contestants to train with, and a run that they were tried on."""

    variants: list[Variant]
    run_id: int


def bench_view(store: Store, trial_ids: Sequence[int], seen: int = 0) -> BenchView:
    """Trials of the same clips; the clips are left out if there are no more than `seen`.

    Raises:
        ConfigError: there are none or too many, or they are of different clips.
        NotFoundError: one of them does not exist.
    """
    found = jobs.same_clips(store, trial_ids)
    runs = found.trials[0].run_ids
    editions = {run.run_id: f"{run.created_at:.6f}" for run in store.runs(run_ids=runs)}
    scores = [own or [None] * len(found.clips) for own in found.scores]
    return BenchView(
        trials=[_trial(store, found, at) for at in range(len(found.trials))],
        runs=runs,
        truths=found.truths,
        ready=len(found.clips),
        clips=[_clip(*each, editions) for each in zip(found.clips, found.shown, zip(*scores, strict=True), strict=True)]
        if len(found.clips) > seen
        else [],
    )


def _trial(store: Store, found: jobs.SameClips, at: int) -> BenchTrial:
    trial: Trial = found.trials[at]
    waits, error = standing(store, trial, next((score.error for score in found.scores[at] if score.error), ""))
    return BenchTrial(
        trial_id=trial.trial_id,
        status=trial.status,
        waits=waits,
        scorer=trial.scorer,
        model=trial.model,
        prompt=found.prompts[at],
        threshold=trial.threshold,
        fixed=jobs.threshold_matters(trial.scorer),
        truth=found.fitting_truth(at),
        scored=trial.scored,
        total=len(trial.clip_ids),
        seconds=found.seconds(at),
        answered=bool(found.scores[at]),
        questions=_questions(found, at),
        error=error,
    )


def _questions(found: jobs.SameClips, at: int) -> tuple[BenchQuestion, ...]:
    prompt = found.prompts[at]
    asked = () if prompt is None else prompt.questions
    if len(asked) < 2:
        return ()
    return tuple(BenchQuestion(*each) for each in zip(asked, truths_for(asked, found.truths), strict=True))


def standing(store: Store, trial: Trial, unknown: str) -> tuple[bool, str]:
    """Whether a trial waits in the queue, and what went wrong with it, or else why an answer is unknown; '' for nothing."""
    job = store.job_of("trial", trial.trial_id)
    return job is not None and job.status in ("queued", "starting"), trial.error or (job.error if job else "") or unknown


def _clip(clip: ClipSummary, truths: frozenset[str], scores: tuple[ClipScore | None, ...], editions: dict[int, str]) -> BenchClip:
    return BenchClip(
        clip_id=clip.clip_id,
        run_id=clip.run_id,
        edition=editions.get(clip.clip_id // CLIPS_PER_RUN, ""),
        start_step=clip.start_step,
        thumbnail_frames=min(clip.length, THUMBNAIL_FRAMES),
        events=told_on_card(clip.events),
        truths=tuple(sorted(truths)),
        probabilities=tuple(None if score is None else score.probability for score in scores),
        answers=tuple(() if score is None or len(score.answers) < 2 else score.answers for score in scores),
    )


def contestants_of(request: dict[str, Any]) -> list[jobs.Entry]:
    """Trials with thresholds from a URL, such as '12:0.5,13.2:0.4', where 13.2 is the second question of trial 13.

    What follows a second colon is the truth, for the page alone.

    Raises:
        ConfigError: it is malformed, or there are none or too many.
    """
    text = a_text(request, "bench", MAX_ENTRIES_TEXT * jobs.MAX_CONTESTANTS)
    found = []
    for part in filter(None, text.split(",")):
        given = re.fullmatch(r"([1-9][0-9]{0,17})(?:\.([1-9][0-9]?))?(?::([0-9.]{1,12})?(?::.*)?)?", part)
        try:
            threshold = float(given[3]) if given and given[3] else None
        except ValueError:
            given = None
        if given is None or not 0 <= (threshold or 0) <= 1:
            raise ConfigError(
                f"bench: got {shown(part)}; expected trials (or a question: 13.2) and thresholds from 0 to 1: 12:0.5,13.2:0.4"
            )
        found.append(jobs.Entry(int(given[1]), threshold, question=int(given[2]) if given[2] else None))
    if not 0 < len(found) <= jobs.MAX_CONTESTANTS:
        raise ConfigError(f"bench: got {len(found)} contestants; allowed: 1 to {jobs.MAX_CONTESTANTS}")
    return found


def variants_of(store: Store, contestants: Sequence[jobs.Entry]) -> Variants:
    """Contestants as variants of a run; those that would make the same run are there once.

    Raises:
        ConfigError: a trial has no such question.
        NotFoundError: a trial does not exist.
    """
    found: dict[str, Variant] = {}
    trials = [store.trial(entry.trial_id) for entry in contestants]
    for trial, entry in zip(trials, contestants, strict=True):
        threshold = trial.threshold if entry.threshold is None else entry.threshold
        settings = {"scorer": trial.scorer, "threshold": f"{threshold:g}"}
        if trial.options.get("frames") is not None:
            settings["scorer_frames"] = str(trial.options["frames"])
        prompt = jobs.question_asked(entry, None if trial.prompt_id is None else store.prompt(trial.prompt_id))
        if prompt is not None:
            settings["prompt"] = _reference(prompt)
        title = "no prompt" if prompt is None else _title(prompt, entry.question)
        name = f"{title} · {trial.scorer} · yes from {settings['threshold']}"
        found.setdefault(repr(sorted(settings.items())), Variant(name, settings))
    runs = [run.run_id for run in store.runs(run_ids=trials[0].run_ids)]
    if not runs:
        raise NotFoundError(f"the runs of trial {trials[0].trial_id} are gone; try the prompts on clips of another run")
    return Variants(list(found.values()), min(runs))


def _reference(prompt: Prompt) -> str:
    """What a run's setting says for a prompt: a preset by name and version, others by their text."""
    preset = any((each.name, each.version, each.text) == (prompt.name, prompt.version, prompt.text) for each in prompt_presets())
    return f"{prompt.name}@{prompt.version}" if preset else prompt.text


def _title(prompt: Prompt, question: int | None) -> str:
    if question is None and prompt.name != "custom":
        return f"{prompt.name}@{prompt.version}"
    return " ".join(prompt.text.split())
