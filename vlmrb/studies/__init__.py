"""Studies: experiments written down before they start, made through the queue, and reported from a file.

From low to high: `measures` reads a number off a run's curve, `design` reads and checks a study's file, `files` keeps its
folder (the fixed file and `curves.jsonl`), `claims` compares arms, `report` and `picture` write what came out, `runs` finds a
study's runs in a store and makes the missing ones, `cost` says what that takes, and `background` carries studies on.
"""

from __future__ import annotations

from vlmrb.studies.background import carry_on, job_of, number_of, start, stop
from vlmrb.studies.claims import Verdict, judge_claims
from vlmrb.studies.cost import Cost, cost_of
from vlmrb.studies.design import Cell, Claim, Study, find_study, presets
from vlmrb.studies.files import StudyFolder, begun_studies, default_folder
from vlmrb.studies.report import report_text, write_report
from vlmrb.studies.runs import CellState, Progress, advance, collect, planned, progress_of, set_destination

__all__ = [
    "Cell",
    "CellState",
    "Claim",
    "Cost",
    "Progress",
    "Study",
    "StudyFolder",
    "Verdict",
    "advance",
    "begun_studies",
    "carry_on",
    "collect",
    "cost_of",
    "default_folder",
    "find_study",
    "job_of",
    "judge_claims",
    "number_of",
    "planned",
    "presets",
    "progress_of",
    "set_destination",
    "report_text",
    "start",
    "stop",
    "write_report",
]
