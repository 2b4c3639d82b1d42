"""Scoring: the back ends that answer the yes/no question about a clip, and the process they run in.

`make_scorer` turns a string into a back end; nothing heavy is imported before that.
"""

from __future__ import annotations

from vlmrb.events import PROGRESS_EVENTS, is_progress
from vlmrb.scoring.backends import Asker, ScorerOptions, check_scorer, make_scorer, settle_scorer
from vlmrb.scoring.embedded import fit_to_pictures, picture_kind, picture_notice, pictures_of, prompt_notice
from vlmrb.scoring.prompts import accepted_prompt, load_presets, resolve_prompt
from vlmrb.scoring.transcripts import check_reads
from vlmrb.scoring.worker import ScoringWorker, frames_at

__all__ = [
    "PROGRESS_EVENTS",
    "Asker",
    "ScorerOptions",
    "ScoringWorker",
    "accepted_prompt",
    "check_reads",
    "check_scorer",
    "fit_to_pictures",
    "frames_at",
    "is_progress",
    "load_presets",
    "make_scorer",
    "picture_kind",
    "picture_notice",
    "pictures_of",
    "prompt_notice",
    "resolve_prompt",
    "settle_scorer",
]
