"""Score stored clips again with any scorer and prompt: into their run, or as a trial that leaves their labels alone."""

from __future__ import annotations

from vlmrb.rescoring.judging import AgreementReport, JudgedQuestion, report
from vlmrb.rescoring.scoring import ScoringProgress, choose_clips, score_clips
from vlmrb.rescoring.trials import TrialReport, TrialRow, create_trial, fit_to_runs, notices, run_trial, trial_report

__all__ = [
    "AgreementReport",
    "JudgedQuestion",
    "ScoringProgress",
    "TrialReport",
    "TrialRow",
    "choose_clips",
    "create_trial",
    "fit_to_runs",
    "notices",
    "report",
    "run_trial",
    "score_clips",
    "trial_report",
]
