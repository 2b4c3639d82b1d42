"""Trials: try a prompt on a sample of stored clips without changing their labels.

A trial can be killed at any moment and resumed: answers are stored soon after they arrive.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from vlmrb.config import make_config
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.panels import parse_panel, reads_prompt
from vlmrb.rescoring.judging import AgreementReport, report
from vlmrb.rescoring.scoring import ScoringProgress, check_missions, score_clips
from vlmrb.scoring import (
    ScorerOptions,
    check_reads,
    check_scorer,
    picture_notice,
    prompt_notice,
    resolve_prompt,
    settle_scorer,
)
from vlmrb.store import Store, patiently
from vlmrb.types import ClipScore, ClipSummary, Prompt, Trial

MAX_SAMPLE = 10_000
"""Maximum number of clips in a trial."""


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One clip of a trial, with its current score and the trial's."""

    clip: ClipSummary
    score: ClipScore

    @property
    def flipped(self) -> bool | None:
        """Whether the trial's label differs from the current one; None if either is unknown."""
        before, after = None if self.clip.score is None else self.clip.score.label, self.score.label
        return None if before is None or after is None else before != after


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What a trial has found so far.

    Attributes:
        trial: the trial; `trial.scored` of its `len(trial.clip_ids)` clips have an answer.
        prompt: the question; None for scorers that read none.
        agreement: None until a clip is scored.
        rows: one per scored clip, ordered by clip id.
        notices: caveats about the answers.
    """

    trial: Trial
    prompt: Prompt | None
    agreement: AgreementReport | None
    rows: tuple[TrialRow, ...]
    notices: tuple[str, ...]


def create_trial(
    store: Store,
    *,
    run_ids: Iterable[int],
    scorer: str,
    prompt: str | Prompt,
    sample: int = 200,
    seed: int = 0,
    threshold: float = 0.5,
    frames: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    same_clips_as: int | None = None,
) -> int:
    """Create a trial; `run_trial` runs it. Everything is checked before anything is written.

    Args:
        store: holds the clips.
        run_ids: runs to sample clips from; half of the sample shows progress if there are enough such clips.
        scorer: back-end string.
        prompt: a preset, the text of a question, or a prompt; control scorers, for example, do not read it.
        sample: maximum number of clips, 1 to `MAX_SAMPLE`.
        seed: of the sample.
        threshold: label a clip yes if P(yes) reaches this.
        frames: frames per clip shown to a model; None for the model's default.
        device: torch device of a local model, or 'auto'.
        dtype: of a local model's weights, or 'auto'.
        same_clips_as: a trial whose clips are to be taken in place of a sample. If there is a trial of these clips with the
            same scorer, options and prompt, it is returned: the answers would be the same.

    Raises:
        ConfigError: a setting is out of range, 'embedded' stands for different models in these runs, or the prompt is about
            missions and a clip has none.
        ScorerSetupError: the scorer string names no back end.
        NotFoundError: a run or the other trial does not exist, or none of the runs has clips.
    """
    check_scorer(scorer)
    question = prompt if isinstance(prompt, Prompt) else resolve_prompt(prompt)
    if not 1 <= sample <= MAX_SAMPLE:
        raise ConfigError(f"sample: got {sample} clips; allowed: 1 to {MAX_SAMPLE}")
    config = make_config(
        scorer=scorer, threshold=threshold, scorer_frames=frames, scorer_device=device, scorer_dtype=dtype, seed=seed
    )
    other = None if same_clips_as is None else store.trial(same_clips_as)
    runs = sorted(set(run_ids)) if other is None else list(other.run_ids)
    if not runs:
        raise ConfigError("runs: none given; a trial needs clips from at least one run")
    scorer = fit_to_runs(scorer, store, runs)
    check_scorer(scorer)
    clip_ids = store.sample_clips(runs, sample, seed) if other is None else list(other.clip_ids)
    if not clip_ids:
        raise NotFoundError(f"no clips are stored for {_runs(runs)}; a run with --keep-clips none stores none")
    if question.needs_mission:
        check_missions(question, scorer, store.clip_summaries(clip_ids))
    prompt_id = store.save_prompt(question.name, question.text).prompt_id if reads_prompt(scorer) else None
    options = asdict(ScorerOptions.of(config))
    threshold = options.pop("threshold")
    made: dict[str, Any] = {"scorer": scorer, "prompt_id": prompt_id, "options": options, "clip_ids": clip_ids}
    if other is not None:
        at = threshold if threshold_matters(scorer) else None
        if (found := store.find_trial(**made, threshold=at)) is not None:
            return found
    return store.create_trial(**made, threshold=threshold)


def threshold_matters(scorer: str) -> bool:
    """Whether P(yes) itself depends on the threshold: whom a cascade asks, and what a majority comes to, do."""
    return parse_panel(scorer) is not None


def fit_to_runs(scorer: str, store: Store, run_ids: Iterable[int]) -> str:
    """The scorer settled for these runs (`settle_scorer`), with the model that 'embedded' stands for in them.

    Raises:
        NotFoundError: one of the runs does not exist.
        ConfigError: it stands for different models in different runs.
        ScorerSetupError: the string names no back end, two members of a panel would be the same, or it cannot read their clips.
    """
    recipes = [store.run(run_id).render_spec for run_id in run_ids]
    for recipe in recipes:
        check_reads(scorer, recipe)
    fitting = {settle_scorer(scorer, recipe) for recipe in recipes} or {settle_scorer(scorer, {})}
    if len(fitting) > 1:
        raise ConfigError(f"runs: {scorer!r} is one model for grid worlds and another for robots; create a trial for each kind")
    return fitting.pop()


def notices(store: Store, scorer: str, run_ids: Iterable[int], prompt: Prompt | None) -> tuple[str, ...]:
    """Caveats: prompt words and frames that this scorer cannot interpret. Each names a way out and appears once.

    Raises:
        NotFoundError: one of the runs does not exist.
    """
    specs = [store.run(run_id).render_spec for run_id in run_ids]
    found = [] if prompt is None else [prompt_notice(scorer, prompt, specs[0] if specs else {})]
    found += [picture_notice(scorer, spec) for spec in specs]
    return tuple(dict.fromkeys(filter(None, found)))


def run_trial(store: Store, trial_id: int, progress: Callable[[ScoringProgress], None] | None = None) -> None:
    """Score the clips that a trial has not scored yet, in this process; its status is then 'finished'.

    An interrupted or failed trial resumes where it stopped.

    Raises:
        NotFoundError: the trial does not exist.
        RunBusyError: another process is running it.
        ScorerError, StoreError: the trial failed, and its status says so.
    """
    import psutil

    started_at = psutil.Process().create_time()
    patiently(lambda: store.claim_trial(trial_id, os.getpid(), started_at))
    try:
        _score_trial(store, trial_id, progress)
    except Exception as error:
        reason = f"{error}" or type(error).__name__
        patiently(lambda: store.end_trial(trial_id, "failed", reason))
        raise
    except BaseException:  # Ctrl-C
        store.end_trial(trial_id, "interrupted")
        raise
    patiently(lambda: store.end_trial(trial_id, "finished"))


def trial_report(store: Store, trial_id: int, truth: str | None = None) -> TrialReport:
    """What a trial has found so far, compared with its clips' current labels.

    Args:
        truth: as for `report`.

    Raises:
        NotFoundError: the trial does not exist.
        ConfigError: there is no such truth.
    """
    trial = store.trial(trial_id)
    existing = set(trial.clip_ids)  # a run may be deleted while the trial scores its clips
    scores = [score for score in store.trial_scores(trial_id) if score.clip_id in existing]
    clips = store.clip_summaries([score.clip_id for score in scores])
    prompt = None if trial.prompt_id is None else store.prompt(trial.prompt_id)
    return TrialReport(
        trial=trial,
        prompt=prompt,
        agreement=report(clips, scores, prompt, truth) if scores else None,
        rows=tuple(TrialRow(clip, score) for clip, score in zip(clips, scores, strict=True)),
        notices=notices(store, trial.scorer, trial.run_ids, prompt),
    )


def _score_trial(store: Store, trial_id: int, progress: Callable[[ScoringProgress], None] | None) -> None:
    trial = store.trial(trial_id)
    scored = {score.clip_id for score in store.trial_scores(trial_id)}
    clips = store.clip_summaries([clip_id for clip_id in trial.clip_ids if clip_id not in scored])
    prompt = resolve_prompt("games") if trial.prompt_id is None else store.prompt(trial.prompt_id)  # which nobody reads
    options = ScorerOptions(threshold=trial.threshold, **trial.options)
    score_clips(
        store, clips, trial.scorer, prompt, options, on_scores=partial(store.add_trial_scores, trial_id), progress=progress
    )


def _runs(run_ids: list[int]) -> str:
    return f"run {run_ids[0]}" if len(run_ids) == 1 else f"runs {', '.join(map(str, run_ids))}"
