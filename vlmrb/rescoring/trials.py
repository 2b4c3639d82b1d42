"""Trials: a prompt tried on a sample of stored clips, whose labels stay as they are.

A trial can be killed at any moment and gone on with: each answer is stored soon after it came.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial

from vlmrb.config import is_control, make_config
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.rescoring.judging import AgreementReport, report
from vlmrb.rescoring.scoring import ScoringProgress, score_clips
from vlmrb.scoring import ScorerOptions, check_scorer, fit_to_pictures, picture_notice, prompt_notice, resolve_prompt
from vlmrb.store import Store
from vlmrb.types import ClipScore, ClipSummary, Prompt, Trial

MAX_SAMPLE = 10_000
"""Clips of a trial at most."""


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One clip of a trial: as it is now, with the label that counts, and what the trial says."""

    clip: ClipSummary
    score: ClipScore

    @property
    def flipped(self) -> bool | None:
        """Whether the trial's label differs from the present one; None where either is not known."""
        before, after = None if self.clip.score is None else self.clip.score.label, self.score.label
        return None if before is None or after is None else before != after


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What a trial has found so far.

    Attributes:
        trial: the trial; `trial.scored` of `len(trial.clip_ids)` clips have an answer.
        prompt: what was asked; None for control scorers.
        agreement: None while nothing is scored.
        rows: one per scored clip, by clip id.
        notices: what a reader should know before believing the answers.
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
) -> int:
    """Set up a trial; `run_trial` runs it. Everything is checked first: nothing is written where something is wrong.

    Args:
        store: where the clips are.
        run_ids: runs whose clips are sampled, half of them with progress where there are enough.
        scorer: the string that chooses the back end.
        prompt: a preset, the text of a question, or a prompt. Control scorers read none.
        sample: clips at most, 1 to `MAX_SAMPLE`.
        seed: of the sample.
        threshold: the label is yes from this P(yes) on.
        frames: of a clip that a model looks at; None for as many as it is made for.
        device: torch device of a local model, or 'auto'.
        dtype: of a local model's weights, or 'auto'.

    Raises:
        ConfigError: a setting is out of range, or 'embedded' is not one model for all of the runs.
        ScorerSetupError: the scorer string names no back end.
        NotFoundError: a run is not there, or none of them has clips.
    """
    check_scorer(scorer)
    question = prompt if isinstance(prompt, Prompt) else resolve_prompt(prompt)
    if not 1 <= sample <= MAX_SAMPLE:
        raise ConfigError(f"sample: got {sample} clips; allowed are 1 to {MAX_SAMPLE}")
    config = make_config(
        scorer=scorer, threshold=threshold, scorer_frames=frames, scorer_device=device, scorer_dtype=dtype, seed=seed
    )
    runs = sorted(set(run_ids))
    if not runs:
        raise ConfigError("runs: none is named; a trial needs the clips of at least one run")
    scorer = fit_to_runs(scorer, store, runs)
    check_scorer(scorer)
    clip_ids = store.sample_clips(runs, sample, seed)
    if not clip_ids:
        raise NotFoundError(f"no clips are stored for {_runs(runs)}; only runs with --keep-clips and a scorer have some")
    prompt_id = None if is_control(scorer) else store.save_prompt(question.name, question.text).prompt_id
    options = asdict(ScorerOptions.of(config))
    return store.create_trial(
        scorer=scorer, prompt_id=prompt_id, threshold=options.pop("threshold"), options=options, clip_ids=clip_ids
    )


def fit_to_runs(scorer: str, store: Store, run_ids: Iterable[int]) -> str:
    """The scorer that 'embedded' stands for with these runs; any other as it is.

    Raises:
        NotFoundError: one of the runs is not there.
        ConfigError: it stands for a different model in some of them.
    """
    fitting = {fit_to_pictures(scorer, store.run(run_id).render_spec) for run_id in run_ids} or {scorer}
    if len(fitting) > 1:
        raise ConfigError(f"runs: {scorer!r} is a model of its own for grid worlds and for robots; make a trial for each kind")
    return fitting.pop()


def notices(store: Store, scorer: str, run_ids: Iterable[int], prompt: Prompt | None) -> tuple[str, ...]:
    """What this scorer can make nothing of: words of the prompt, frames of the runs; in words with a way out, each once.

    Raises:
        NotFoundError: one of the runs is not there.
    """
    found = [prompt_notice(scorer, prompt.text)] if prompt is not None else []
    found += [picture_notice(scorer, store.run(run_id).render_spec) for run_id in run_ids]
    return tuple(dict.fromkeys(filter(None, found)))


def run_trial(store: Store, trial_id: int, progress: Callable[[ScoringProgress], None] | None = None) -> None:
    """Score what a trial has not scored yet, in this process; when that is over its status is 'finished'.

    A trial that was interrupted, or has failed, goes on where it was.

    Raises:
        NotFoundError: there is no such trial.
        RunBusyError: another process runs it.
        ScorerError, StoreError: it has failed, and its status says so.
    """
    import psutil

    store.claim_trial(trial_id, os.getpid(), psutil.Process().create_time())
    try:
        _score_trial(store, trial_id, progress)
    except Exception as error:
        store.end_trial(trial_id, "failed", f"{error}" or type(error).__name__)
        raise
    except BaseException:  # Ctrl-C
        store.end_trial(trial_id, "interrupted")
        raise
    store.end_trial(trial_id, "finished")


def trial_report(store: Store, trial_id: int) -> TrialReport:
    """What a trial has found so far, against the present labels of its clips.

    Raises:
        NotFoundError: there is no such trial.
    """
    trial = store.trial(trial_id)
    there = set(trial.clip_ids)  # a run may be deleted while the trial scores its clips
    scores = [score for score in store.trial_scores(trial_id) if score.clip_id in there]
    clips = store.clip_summaries([score.clip_id for score in scores])
    prompt = None if trial.prompt_id is None else store.prompt(trial.prompt_id)
    return TrialReport(
        trial=trial,
        prompt=prompt,
        agreement=report(clips, scores) if scores else None,
        rows=tuple(TrialRow(clip, score) for clip, score in zip(clips, scores, strict=True)),
        notices=notices(store, trial.scorer, trial.run_ids, prompt),
    )


def _score_trial(store: Store, trial_id: int, progress: Callable[[ScoringProgress], None] | None) -> None:
    trial = store.trial(trial_id)
    scored = {score.clip_id for score in store.trial_scores(trial_id)}
    clips = store.clip_summaries([clip_id for clip_id in trial.clip_ids if clip_id not in scored])
    prompt = (
        resolve_prompt("games") if trial.prompt_id is None else store.prompt(trial.prompt_id)
    )  # control scorers do not look at it
    options = ScorerOptions(threshold=trial.threshold, **trial.options)
    score_clips(
        store, clips, trial.scorer, prompt, options, on_scores=partial(store.add_trial_scores, trial_id), progress=progress
    )


def _runs(run_ids: list[int]) -> str:
    return f"run {run_ids[0]}" if len(run_ids) == 1 else f"runs {', '.join(map(str, run_ids))}"
