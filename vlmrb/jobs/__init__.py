"""Background jobs: processes that train runs or run trials, and outlive whoever started them.

The queue is a table of the store. Whoever adds a job, sees one end, or merely looks (`reconcile`) starts what may start, so there
is no server: `launching` fills the queue, `dispatching` starts processes, `executing` is what such a process does, `control`
talks to live runs, `presets` and `estimates` help to decide what to launch.
"""

from __future__ import annotations

from vlmrb.jobs.control import (
    cancel,
    delete_run,
    log_tail,
    pause,
    prompt_presets,
    request_lambda,
    request_prompt,
    resume_trial,
    save_prompt,
    stop,
    stop_trial,
    stored_prompt,
    unpause,
    unreadable,
    why_not,
)
from vlmrb.jobs.dispatching import dispatch, job_limit, reconcile, set_job_limit
from vlmrb.jobs.estimates import Estimate, estimate
from vlmrb.jobs.launching import launch, launch_trial, resume
from vlmrb.jobs.presets import LaunchPreset, matched_set, parse_seeds, preset, presets
from vlmrb.rescoring import TrialReport, TrialRow, trial_report

__all__ = [
    "Estimate",
    "LaunchPreset",
    "TrialReport",
    "TrialRow",
    "cancel",
    "delete_run",
    "dispatch",
    "estimate",
    "job_limit",
    "launch",
    "launch_trial",
    "log_tail",
    "matched_set",
    "parse_seeds",
    "pause",
    "preset",
    "presets",
    "prompt_presets",
    "reconcile",
    "request_lambda",
    "request_prompt",
    "resume",
    "resume_trial",
    "save_prompt",
    "set_job_limit",
    "stop",
    "stop_trial",
    "stored_prompt",
    "trial_report",
    "unpause",
    "unreadable",
    "why_not",
]
