"""A run as the pages show it: its state, progress, time left, and available actions."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlmrb.analysis.comparison import method_of
from vlmrb.config import defaults_of_run, is_known, replay_ratio
from vlmrb.config import settings as described
from vlmrb.types import IMPORTED, LIVE, LOCAL, Job, RunListItem, RunSummary

SILENT_S = 60.0
"""After this long without a heartbeat, a live run's row says so."""

ENDED_EARLY = ("stopped", "interrupted", "failed", "cancelled")

_ACTIONS = {
    "queued": ("cancel",),
    "running": ("pause", "stop"),
    "paused": ("continue", "stop"),
    "finished": ("delete",),
    "created": ("resume", "delete"),
    **dict.fromkeys(ENDED_EARLY, ("resume", "delete")),
}


@dataclass(frozen=True, slots=True)
class RunRow:
    """One row of the run table.

    Attributes:
        state: the run's status; 'cancelled' if it was removed from the queue before it started.
        doing: what it does at the moment, other than training; or ''.
        method: the method's label, as in comparisons.
        eta_s: seconds left at the current speed, without evaluations; None if the run makes no progress.
        positive_rate: fraction of yes among clips with an answer; None before the first.
        backlog: clips waiting to be scored; None without a scorer.
        parent_id, parent_step, parent_moment: where it comes from if it is a branch; else None, None and ''.
        warning: a problem that did not end the run, or what the scorer cannot read of the prompt.
        actions: what can be done with the run now.
        extra: values of the columns that the user has added, by column.
    """

    run_id: int
    name: str
    state: str
    doing: str
    set_name: str
    tags: tuple[str, ...]
    env: str
    algo: str
    method: str
    seed: int
    step: int
    total_steps: int
    eta_s: float | None
    steps_per_second: float | None
    best_success: float | None
    latest_success: float | None
    positive_rate: float | None
    backlog: int | None
    clips: int
    created_at: float
    started_at: float | None
    ended_at: float | None
    error: str
    warning: str
    actions: tuple[str, ...]
    parent_id: int | None
    parent_step: int | None
    parent_moment: str
    extra: dict[str, float | int | str | bool | None] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """A fingerprint of the row's contents."""
        return f"{zlib.crc32(repr(self).encode()):08x}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that differs between runs; `values` are in the order of the runs, as text."""

    name: str
    description: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of one run."""

    name: str
    group: str
    description: str
    value: str
    default: str
    changed: bool


def run_rows(
    items: Iterable[RunListItem], jobs: Mapping[int, Job], extra: Mapping[int, dict[str, Any]] | None = None
) -> list[RunRow]:
    """Rows of the table, in the order of `items`.

    Args:
        items: the runs.
        jobs: the newest job of each run that has not started.
        extra: values of added columns by run id.
    """
    return [_row(item, jobs.get(item.run.run_id), (extra or {}).get(item.run.run_id, {})) for item in items]


def _row(item: RunListItem, job: Job | None, extra: dict[str, Any]) -> RunRow:
    run, counters = item.run, item.run.counters
    state = state_of(run, job)
    error = run.error or (job.error if job is not None and state == "failed" else "")
    return RunRow(
        run_id=run.run_id, name=run.name, state=state, doing=_doing(run, job), set_name=run.set_name, tags=run.tags,
        env=run.env, algo=run.algo,
        method=method_of(run).label, seed=run.seed, step=run.step, total_steps=run.total_steps, eta_s=eta_s(run),
        steps_per_second=run.steps_per_second, best_success=item.best_success, latest_success=item.latest_success,
        positive_rate=counters.positive_rate, backlog=counters.backlog if run.scorer is not None else None,
        clips=counters.clips, created_at=run.created_at, started_at=run.started_at, ended_at=run.ended_at,
        error=error, warning=_warning(run),
        actions=_ACTIONS.get(state, ()), parent_id=run.parent_id, parent_step=run.parent_step, parent_moment=run.parent_moment,
        extra=extra,
    )  # fmt: skip


def _doing(run: RunSummary, job: Job | None) -> str:
    if run.status in LIVE:
        return run.counters.doing
    if job is None or job.status not in ("starting", "running"):
        return ""
    return job.state if job.launcher != LOCAL and not job.node else "loading"


def _warning(run: RunSummary) -> str:
    """What is wrong with a run that goes on nevertheless, or ''."""
    counters = run.counters
    notices = (
        counters.scoring_error,
        counters.unknown_notice,
        counters.store_notice,
        counters.checkpoint_notice,
        counters.environment_notice,
        counters.prompt_notice,
    )
    return _silence(run) or next(filter(None, notices), "")


def _silence(run: RunSummary) -> str:
    """That a live run has not been heard of for a while; ''. The time, not the age: rows are compared to find changes."""
    if run.status not in LIVE or run.heartbeat_at is None or time.time() - run.heartbeat_at < SILENT_S:
        return ""
    at = time.strftime("%H:%M:%S", time.localtime(run.heartbeat_at))
    return f"no heartbeat since {at}: the run is in a long evaluation, or its store is busy and its rows wait"


def state_of(run: RunSummary, job: Job | None) -> str:
    """The run's status; if it never started, the outcome of its newest job."""
    if run.status == "created" and job is not None and job.status in ENDED_EARLY:
        return job.status
    return run.status


def eta_s(run: RunSummary) -> float | None:
    """Seconds left at the current speed; None if the run makes no progress."""
    if run.status != "running" or not run.steps_per_second or run.steps_per_second < 0:
        return None
    return max(0, run.total_steps - run.step) / run.steps_per_second


def differences(runs: Sequence[RunSummary]) -> list[Difference]:
    """Settings that differ between the runs, in configuration order; settings that an older run lacks have their defaults."""
    configs = [all_settings(run) for run in runs]
    names = list(dict.fromkeys(name for config in configs for name in config))
    shown = {name: tuple(as_words(config[name]) if name in config else "–" for config in configs) for name in names}
    return [Difference(name, describe_setting(name), values) for name, values in shown.items() if len(set(values)) > 1]


def settings_of(run: RunSummary) -> list[Setting]:
    """All settings of a run, non-default ones first."""
    usual = _usual(run)
    defaults, settings = _with_ratio(usual), []
    for name, value in _with_ratio(usual | run.config).items():
        default = defaults.get(name)
        settings.append(Setting(name, _group(name), describe_setting(name), as_words(value), as_words(default), value != default))
    return sorted(settings, key=lambda setting: not setting.changed)


def all_settings(run: RunSummary) -> dict[str, Any]:
    """A run's settings and its replay ratio; those that an older run lacks have their defaults."""
    return _with_ratio(_usual(run) | run.config)


def setting_of(run: RunSummary, name: str) -> Any:
    """The value of one setting, or of the replay ratio.

    Raises:
        KeyError: the run does not have it.
    """
    if name == "replay_ratio" and is_known(run.config):
        return replay_ratio(run.config)
    return run.config[name] if name in run.config else _usual(run)[name]


def _usual(run: RunSummary) -> dict[str, Any]:
    """The defaults of a run's settings; none where they are not known."""
    return defaults_of_run(run.config) if is_known(run.config) else {}


def _with_ratio(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with the replay ratio after the two that decide it."""
    settings = {}
    for name, value in config.items():
        settings[name] = value
        if name == "batch_size" and is_known(config):
            settings["replay_ratio"] = replay_ratio(config)
    return settings


def as_words(value: Any) -> str:
    """A setting's value for people: None → 'none', True → 'yes', 300000 → '300,000'."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def describe_setting(name: str) -> str:
    """What a setting is, in a few words."""
    if name == "replay_ratio":
        return "samples drawn per stored transition: batch_size / train_freq"
    if name == IMPORTED:
        return "where the curves of this run are from: another program trained it, so that the other settings say nothing"
    setting = described().get(name)
    return setting.description if setting else "a setting of another version of VLM-RB"


def _group(name: str) -> str:
    setting = described().get("train_freq" if name == "replay_ratio" else name)
    return setting.group if setting else ""
