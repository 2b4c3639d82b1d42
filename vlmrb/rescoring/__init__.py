"""Score stored clips again with any scorer and prompt: into their run, or as a trial that leaves their labels alone."""

from __future__ import annotations

from vlmrb.rescoring.bench import (
    MAX_CONTESTANTS,
    BenchReport,
    Contestant,
    Entry,
    SameClips,
    bench_report,
    question_asked,
    same_clips,
)
from vlmrb.rescoring.judging import AgreementReport, JudgedQuestion, report
from vlmrb.rescoring.scoring import ScoringProgress, check_missions, choose_clips, score_clips
from vlmrb.rescoring.trials import (
    TrialReport,
    TrialRow,
    create_trial,
    fit_to_runs,
    notices,
    run_trial,
    threshold_matters,
    trial_report,
)

__all__ = [
    "MAX_CONTESTANTS",
    "AgreementReport",
    "BenchReport",
    "Contestant",
    "Entry",
    "JudgedQuestion",
    "SameClips",
    "ScoringProgress",
    "TrialReport",
    "TrialRow",
    "bench_report",
    "check_missions",
    "choose_clips",
    "create_trial",
    "fit_to_runs",
    "notices",
    "report",
    "run_trial",
    "question_asked",
    "same_clips",
    "score_clips",
    "threshold_matters",
    "trial_report",
]
