"""One run: its curves as they grow, its log and settings, and the λ and prompt that can be changed while it trains."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.checks import MAX_ID, a_choice, a_count, a_number, a_text, an_id
from app.colors import method_tokens
from app.prompt_library import known_prompts
from app.run_actions import jobs_of_idle, run_actions
from app.run_rows import RunRow, Setting, run_rows, settings_of
from app.studio import Studio
from app.widgets import widget
from vlmrb import jobs
from vlmrb.analysis.comparison import method_of
from vlmrb.analysis.downsample import downsample
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.store import Store
from vlmrb.types import LiveChange, Prompt, RunSummary

MAX_POINTS = 600
"""Points of a curve when it is first drawn; what comes later is drawn as it is."""

MAX_LOG_BYTES = 64_000

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Change:
    """A live change as the page shows it; `value` in words."""

    change_id: int
    name: str
    value: str
    status: str
    requested_at: float
    applied_step: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a browser has drawn: the last step of each curve, and the run's step and process at that time."""

    last_steps: dict[str, int]
    step: int = 0
    pid: int = 0


@dataclass(frozen=True, slots=True)
class RunLook:
    """A run now, and what is new of its curves.

    Attributes:
        curves: steps and values by metric; what came after the browser's last step.
        afresh: the curves are whole and take the place of what was drawn before.
        cannot_change: why 'lambda' and 'prompt' cannot be changed now; '' where they can.
        prompt: the question that clips are asked now.
    """

    row: RunRow
    pid: int
    curves: dict[str, Curve]
    afresh: bool
    changes: list[Change]
    cannot_change: dict[str, str]
    prompt: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What does not change while a run trains; `color` is the token of its method's colour."""

    color: str
    settings: list[Setting]
    success_rule: str
    play_steps: int
    eval_interval: int
    keeps_clips: bool
    has_scorer: bool
    scorer: str
    folder: str


@dataclass(frozen=True, slots=True)
class Log:
    """The end of a run's log; None where it is what the browser has already."""

    text: str | None
    version: str


def build(studio: Studio) -> None:
    """Add the page's components to the Blocks that is open."""
    store = studio.store

    def facts(request: dict[str, Any]) -> RunFacts:
        """What does not change while the run trains."""
        return facts_of(store, an_id(request, "run"))

    def look(request: dict[str, Any]) -> RunLook:
        """The run now; `since` has the last step of each curve that is drawn, `step` and `pid` what was seen last."""
        return look_at(store, an_id(request, "run"), seen_by(request))

    def log(request: dict[str, Any]) -> Log:
        """The end of the log, unless `version` is what it is."""
        return read_log(store, an_id(request, "run"), a_text(request, "version", 20))

    def change_lambda(request: dict[str, Any]) -> int:
        """Ask the run for another λ: a number, or 'none' or 'schedule' as `mode`."""
        run_id, mode = an_id(request, "run"), a_choice(request, "mode", ("none", "schedule"))
        weight = a_number(request, "weight", 0, 1)
        if mode is None and weight is None:
            raise ConfigError("λ: give a number from 0 to 1, no mixture, or the schedule")
        return jobs.request_lambda(store, run_id, mode if mode is not None else weight)

    def change_prompt(request: dict[str, Any]) -> int:
        """Ask the run to put another question to its scorer: `prompt_id` of a stored one, or `prompt`, a preset or a text."""
        run_id = an_id(request, "run")
        prompt = an_id(request, "prompt_id") if request.get("prompt_id") is not None else a_text(request, "prompt")
        return jobs.request_prompt(store, run_id, prompt)

    def prompts(_: dict[str, Any]) -> list[Prompt]:
        """Presets and the questions that are stored, newest version of each name last."""
        return known_prompts(store)

    widget("run_view", facts, look, log, change_lambda, change_prompt, prompts, *run_actions(studio))


def facts_of(store: Store, run_id: int) -> RunFacts:
    """What does not change while a run trains.

    Raises:
        NotFoundError: there is no such run.
    """
    run = store.run(run_id)
    tokens = method_tokens(method_of(one).label for one in store.runs())  # of all, so that it is the colour of other pages
    return RunFacts(
        color=tokens[method_of(run).label],
        settings=settings_of(run),
        success_rule=run.success_rule,
        play_steps=int(run.config.get("play_steps", 0)),
        eval_interval=int(run.config.get("eval_interval", 1)),
        keeps_clips=run.scorer is not None and bool(run.config.get("keep_clips", True)),
        has_scorer=run.scorer is not None,
        scorer=run.scorer or "",
        folder=str(store.folder_of_run(run_id)),
    )


def seen_by(request: dict[str, Any]) -> Seen:
    """What a browser says it has drawn.

    Raises:
        ConfigError: it is not of this form.
    """
    since = request.get("since") or {}
    if not isinstance(since, dict) or len(since) > 200:
        raise ConfigError("since: an object of steps by curve is needed; reload the page")
    steps = {str(name)[:200]: a_count(since, name, MAX_ID, 0) for name in since}
    return Seen(steps, step=a_count(request, "step", MAX_ID, 0), pid=a_count(request, "pid", MAX_ID, 0))


def look_at(store: Store, run_id: int, seen: Seen) -> RunLook:
    """A run now, and what is new of its curves since a browser last looked.

    Raises:
        NotFoundError: there is no such run.
    """
    items = store.run_list(run_ids=[run_id])
    if not items:
        raise NotFoundError(f"there is no run {run_id}; it may have been deleted")
    run = items[0].run
    afresh = not seen.last_steps or _went_back(run, seen)
    requests = store.live_changes(run_id)
    prompts = {prompt.prompt_id: prompt for prompt in store.prompts()} if requests else {}
    return RunLook(
        row=run_rows(items, jobs_of_idle(store, [run]))[0],
        pid=run.pid or seen.pid,
        curves=new_points(store, run_id, {} if afresh else seen.last_steps),
        afresh=afresh,
        changes=[_change(request, prompts) for request in reversed(requests)],
        cannot_change={"lambda": jobs.why_not(run, "lambda"), "prompt": jobs.why_not(run, "prompt")},
        prompt=_prompt_in_use(run, requests, prompts),
    )


def _went_back(run: RunSummary, seen: Seen) -> bool:
    """Whether another process has gone on with the run, from a checkpoint before what is drawn."""
    return run.step < seen.step or bool(run.pid and seen.pid and run.pid != seen.pid)


def new_points(store: Store, run_id: int, last_steps: Mapping[str, int]) -> dict[str, Curve]:
    """Curves after the steps that are known; those that are not known at all come whole, in MAX_POINTS points at most."""
    names = store.metric_names(run_id)
    since = {(run_id, name): last_steps[name] for name in names if name in last_steps}
    found = store.curves([run_id], names, since=since)
    return {name: downsample(*curve, MAX_POINTS) for (_, name), curve in found.items() if len(curve[0])}


def _change(request: LiveChange, prompts: Mapping[int | None, Prompt]) -> Change:
    value = request.value
    if request.name == "prompt":
        prompt = prompts.get(value if isinstance(value, int) else None)
        words = _prompt_words(prompt) if prompt is not None else f"prompt {value}"
    elif request.name == "lambda":
        words = {"schedule": "as scheduled", "none": "no mixture"}.get(str(value), str(value))
    else:
        words = ""
    return Change(
        request.change_id, request.name, words, request.status, request.requested_at, request.applied_step, request.error
    )


def _prompt_words(prompt: Prompt) -> str:
    return f"{prompt.name}@{prompt.version}: {prompt.text}"


def _prompt_in_use(run: RunSummary, requests: Sequence[LiveChange], prompts: Mapping[int | None, Prompt]) -> str:
    """The newest question that was applied, else the one that the run began with."""
    for request in reversed(requests):
        if request.name == "prompt" and request.status == "applied" and request.value in prompts:
            return _prompt_words(prompts[request.value])
    return str(run.config.get("prompt", ""))


def read_log(store: Store, run_id: int, version: str) -> Log:
    """The end of a run's log, unless it is the version that the browser has."""
    text = jobs.log_tail(store, run_id, max_bytes=MAX_LOG_BYTES)
    current = f"{zlib.crc32(text.encode()):08x}"
    return Log(None if current == version else text, current)
