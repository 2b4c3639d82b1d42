"""Background jobs: processes that train runs, run trials or carry studies on, and outlive the process that started them.

The queue is a table of the store. There is no server: any process that adds a job, ends one or calls `reconcile` starts the
jobs that may start. `launching` and `trials` fill the queue, `dispatching` hands it to
`launchers`, `executing` is what such a
process does and `logs` what it writes, `live` requests changes from live runs, `ending` ends other jobs, `removing` removes
runs, `presets` and `estimates` help decide what to launch,
`shared_scorers` asks servers how they are. Studies are jobs, too, but `vlmrb.studies` does their work.
"""

from __future__ import annotations

from vlmrb.jobs.dispatching import dispatch, in_words, job_limit, log_tail, reconcile, set_job_limit, where
from vlmrb.jobs.ending import end
from vlmrb.jobs.estimates import Estimate, Pace, estimate, paces, until_last_ends
from vlmrb.jobs.launchers import (
    default_destination,
    destination,
    known_destinations,
    set_default_destination,
    set_limit_of,
    set_limits,
)
from vlmrb.jobs.launching import Tried, branch, check_all, launch, resume
from vlmrb.jobs.live import pause, request_lambda, request_prompt, request_question, stop, unpause, why_not
from vlmrb.jobs.presets import LaunchPreset, matched_set, parse_seeds, preset, presets
from vlmrb.jobs.removing import cancel, delete_run
from vlmrb.jobs.shared_scorers import SharedLook, SharedScorers
from vlmrb.jobs.trials import launch_trial, repeat_trial, resume_trial, stop_trial
from vlmrb.rescoring import (
    MAX_CONTESTANTS,
    Entry,
    SameClips,
    TrialReport,
    TrialRow,
    question_asked,
    same_clips,
    threshold_matters,
    trial_report,
)

__all__ = [
    "MAX_CONTESTANTS",
    "Estimate",
    "LaunchPreset",
    "Entry",
    "SameClips",
    "SharedLook",
    "SharedScorers",
    "Pace",
    "TrialReport",
    "TrialRow",
    "Tried",
    "branch",
    "cancel",
    "check_all",
    "default_destination",
    "delete_run",
    "dispatch",
    "end",
    "estimate",
    "in_words",
    "job_limit",
    "known_destinations",
    "launch",
    "launch_trial",
    "log_tail",
    "matched_set",
    "parse_seeds",
    "paces",
    "pause",
    "destination",
    "preset",
    "presets",
    "reconcile",
    "repeat_trial",
    "request_lambda",
    "request_prompt",
    "request_question",
    "resume",
    "resume_trial",
    "question_asked",
    "same_clips",
    "set_default_destination",
    "set_job_limit",
    "set_limit_of",
    "set_limits",
    "stop",
    "stop_trial",
    "threshold_matters",
    "trial_report",
    "unpause",
    "until_last_ends",
    "where",
    "why_not",
]
