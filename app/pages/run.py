"""The page of one run: live curves, log, settings, its branches, and controls that change λ and the prompt while it trains."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.bench import Variant, contestants_of, variants_of
from app.branch_form import BranchForm, BranchVerdict, asked_from, branch_form, check_branches, make_branches
from app.checks import MAX_ID, a_choice, a_count, a_number, a_text, an_id
from app.clocks import clock_curves
from app.colors import stored_tokens
from app.family import Family, family_of
from app.live_changes import Change, change_of, prompt_words
from app.microscope import Drawn, Recorded, drawn_at, recorded
from app.presses import Launched, Presses
from app.prompt_library import known_prompts
from app.reasons import reasons_of
from app.run_actions import jobs_of_idle, run_actions
from app.run_rows import RunRow, Setting, run_rows, settings_of
from app.studio import Studio
from app.widgets import widget
from vlmrb import jobs
from vlmrb.analysis.comparison import method_of
from vlmrb.analysis.downsample import downsample
from vlmrb.config import replay_ratio
from vlmrb.errors import ConfigError, NotFoundError, VlmrbError
from vlmrb.housekeeping import size_of_run
from vlmrb.panels import reads_prompt
from vlmrb.prompt_library import find_question, questions_asked
from vlmrb.retention import retention_of
from vlmrb.store import Store
from vlmrb.types import IMPORTED, MAX_QUESTIONS, RUNNING_S, LiveChange, Prompt, RunSize, RunSummary

MAX_POINTS = 600
"""Maximum number of points per curve when first drawn; later points are added as they are."""

MAX_LOG_BYTES = 64_000

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a browser has drawn: the last step of each curve, and the run's step and process id at that time."""

    last_steps: dict[str, int]
    step: int = 0
    pid: int = 0


@dataclass(frozen=True, slots=True)
class RunLook:
    """The current state of a run, and the new points of its curves.

    Attributes:
        curves: steps and values by metric, after the browser's last step.
        afresh: whether the curves are complete and replace those drawn before.
        cannot_change: why 'lambda', 'prompt' and 'question' cannot be changed now; '' if they can.
        held: λ as the last live change holds it: a number, 'none' for no mixture, or 'schedule'.
        prompt: the prompt in use.
        questions: what its questions are, or the kinds of progress that an oracle reports.
    """

    row: RunRow
    pid: int
    curves: dict[str, Curve]
    afresh: bool
    changes: list[Change]
    cannot_change: dict[str, str]
    held: float | str
    prompt: str
    questions: list[str]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What does not change while a run trains.

    Attributes:
        color: its method's colour token.
        replay_ratio: samples drawn per stored transition; None if another program trained the run.
        imported: whether one did.
    """

    color: str
    settings: list[Setting]
    replay_ratio: float | None
    imported: bool
    success_rule: str
    play_steps: int
    eval_interval: int
    keeps_clips: bool
    has_scorer: bool
    scorer: str
    reads_prompt: bool
    folder: str


@dataclass(frozen=True, slots=True)
class Log:
    """The end of a run's log; `text` is None if the browser has this version.

    Attributes:
        where: on which cluster and node the run trains, with what, and what is said of it; '' if it does on this machine.
    """

    text: str | None
    version: str
    where: str = ""


def build(studio: Studio) -> None:
    """Add the page's components to the open Blocks."""
    store = studio.store

    def facts(request: dict[str, Any]) -> RunFacts:
        """What does not change while the run trains."""
        return facts_of(store, an_id(request, "run"))

    def look(request: dict[str, Any]) -> RunLook:
        """The run's current state; `since` has the last drawn step of each curve, `step` and `pid` the last ones seen."""
        return look_at(store, an_id(request, "run"), seen_by(request))

    def size(request: dict[str, Any]) -> RunSize:
        """What the run takes in the store, by table, and on the disk."""
        return size_of_run(store, an_id(request, "run"))

    def log(request: dict[str, Any]) -> Log:
        """The end of the log, unless `version` is current."""
        return read_log(store, an_id(request, "run"), a_text(request, "version", 20))

    def change_lambda(request: dict[str, Any]) -> int:
        """Request a new λ: a number as `weight`, or 'none' or 'schedule' as `mode`."""
        run_id, mode = an_id(request, "run"), a_choice(request, "mode", ("none", "schedule"))
        weight = a_number(request, "weight", 0, 1)
        if mode is None and weight is None:
            raise ConfigError("λ: give a number from 0 to 1, no mixture, or the schedule")
        return jobs.request_lambda(store, run_id, mode if mode is not None else weight)

    def change_prompt(request: dict[str, Any]) -> int:
        """Request a new prompt: `prompt_id` of a stored one, or `prompt`, a preset's name or a text."""
        run_id = an_id(request, "run")
        prompt = an_id(request, "prompt_id") if request.get("prompt_id") is not None else a_text(request, "prompt")
        return jobs.request_prompt(store, run_id, prompt)

    def change_question(request: dict[str, Any]) -> int:
        """Let a question of the set rule: its `number`, from 1, or none for what is configured."""
        number = None if request.get("number") is None else a_count(request, "number", MAX_QUESTIONS, 1)
        return jobs.request_question(store, an_id(request, "run"), "schedule" if number is None else number)

    def prompts(_: dict[str, Any]) -> list[Prompt]:
        """Presets and stored prompts, newest version of each name last."""
        return known_prompts(store)

    def shared(request: dict[str, Any]) -> list[jobs.SharedLook]:
        """How the shared scorers of the run are doing."""
        return studio.shared_scorers.look(store.run(an_id(request, "run")).scorer)

    def family(request: dict[str, Any]) -> Family:
        """The run's parent, siblings, branches and kept checkpoints, and when it succeeded."""
        return family_of(store, an_id(request, "run"))

    def reasons(request: dict[str, Any]) -> list[str]:
        """Why the run's labels help it to learn, or cannot."""
        return reasons_of(store, an_id(request, "run"))

    def draws(request: dict[str, Any]) -> Recorded:
        """The steps at which the run's draws were recorded, and the runs to look at beside it."""
        return recorded(store, an_id(request, "run"))

    def drawn(request: dict[str, Any]) -> Drawn:
        """What the run drew at the recorded step nearest to `step`."""
        return drawn_at(store, an_id(request, "run"), a_count(request, "step", MAX_ID, 0))

    def branching(request: dict[str, Any]) -> BranchForm:
        """Where the run can be branched off, and what a branch can change."""
        return branch_form(store, an_id(request, "run"))

    def contestants(request: dict[str, Any]) -> list[Variant]:
        """Contestants of the prompt bench, for a branch with each."""
        return variants_of(store, contestants_of(request)).variants

    def check_branch(request: dict[str, Any]) -> BranchVerdict:
        """The dialog's problems by field, or the size of the launch."""
        return check_branches(store, asked_from(request))

    presses = Presses()

    def branch(request: dict[str, Any]) -> Launched:
        """Make and queue branches; `press` identifies one press of the button."""
        asked = asked_from(request)
        return presses.once(a_text(request, "press", 60), lambda: make_branches(store, asked))

    functions = (
        facts,
        look,
        size,
        log,
        change_lambda,
        change_prompt,
        change_question,
        prompts,
        shared,
        family,
        reasons,
        draws,
        drawn,
        branching,
        contestants,
        check_branch,
        branch,
    )
    widget("run_view", *functions, *run_actions(studio))


def facts_of(store: Store, run_id: int) -> RunFacts:
    """What does not change while a run trains.

    Raises:
        NotFoundError: there is no such run.
    """
    run = store.run(run_id)
    label = method_of(run).label
    return RunFacts(
        color=stored_tokens(store, label)[label],
        settings=settings_of(run),
        replay_ratio=replay_ratio(run.config),
        imported=IMPORTED in run.config,
        success_rule=run.success_rule,
        play_steps=int(run.config.get("play_steps", 0)),
        eval_interval=int(run.config.get("eval_interval", 1)),
        keeps_clips=IMPORTED not in run.config and retention_of(run.config).stores,
        has_scorer=run.scorer is not None,
        scorer=run.scorer or "",
        reads_prompt=reads_prompt(run.scorer),
        folder=str(store.folder_of_run(run_id)),
    )


def seen_by(request: dict[str, Any]) -> Seen:
    """What a browser says it has drawn.

    Raises:
        ConfigError: the request is malformed.
    """
    since = request.get("since") or {}
    if not isinstance(since, dict) or len(since) > 200:
        raise ConfigError("since: expected an object of steps by curve; reload the page")
    steps = {str(name)[:200]: a_count(since, name, MAX_ID, 0) for name in since}
    return Seen(steps, step=a_count(request, "step", MAX_ID, 0), pid=a_count(request, "pid", MAX_ID, 0))


def look_at(store: Store, run_id: int, seen: Seen) -> RunLook:
    """The current state of a run, and the points of its curves that a browser has not seen.

    Raises:
        NotFoundError: there is no such run.
    """
    items = store.run_list(run_ids=[run_id])
    if not items:
        raise NotFoundError(f"there is no run {run_id}; it may have been deleted")
    run = items[0].run
    afresh = not seen.last_steps or _was_resumed(run, seen)
    requests = store.live_changes(run_id)
    prompts = {prompt.prompt_id: prompt for prompt in store.prompts()} if requests else {}
    asked = _prompt_in_use(store, run, requests, prompts)
    return RunLook(
        row=run_rows(items, jobs_of_idle(store, [run]))[0],
        pid=run.pid or seen.pid,
        curves=new_points(store, run, {} if afresh else seen.last_steps),
        afresh=afresh,
        changes=[change_of(request, prompts) for request in reversed(requests)],
        cannot_change={
            "lambda": jobs.why_not(run, "lambda"),
            "prompt": jobs.why_not(run, "prompt"),
            "question": jobs.why_not(run, "question"),
        },
        held=_held(requests),
        prompt=str(run.config.get("prompt", "")) if asked is None else prompt_words(asked),
        questions=[] if asked is None else list(questions_asked(run.scorer, asked)),
    )


def _held(requests: Sequence[LiveChange]) -> float | str:
    """λ as the last live change that was applied holds it, or 'schedule'."""
    held = "schedule"
    for request in requests:
        if request.name == "lambda" and request.status == "applied":
            held = request.value
    return held if held == "none" or isinstance(held, (int, float)) else "schedule"


def _was_resumed(run: RunSummary, seen: Seen) -> bool:
    """Whether another process has resumed the run, from a checkpoint before the last drawn point."""
    return run.step < seen.step or bool(run.pid and seen.pid and run.pid != seen.pid)


def new_points(store: Store, run: RunSummary, last_steps: Mapping[str, int]) -> dict[str, Curve]:
    """Curves after the last known steps; unknown curves come complete, in at most MAX_POINTS points."""
    names = store.metric_names(run.run_id)
    since = {(run.run_id, name): last_steps[name] for name in names if name in last_steps}
    found = {name: curve for (_, name), curve in store.curves([run.run_id], names, since=since).items()}
    if RUNNING_S not in last_steps:  # an earlier version may have trained the run, wholly or in part
        found |= clock_curves(store, run)
    return {name: downsample(*curve, MAX_POINTS) for name, curve in found.items() if len(curve[0])}


def _prompt_in_use(
    store: Store, run: RunSummary, requests: Sequence[LiveChange], prompts: Mapping[int | None, Prompt]
) -> Prompt | None:
    """The prompt applied last, or the one that the run started with; None if a preset of that name no longer exists."""
    for request in reversed(requests):
        if request.name == "prompt" and request.status == "applied" and request.value in prompts:
            return prompts[request.value]
    try:
        return find_question(store, str(run.config.get("prompt", "")))
    except VlmrbError:
        return None


def read_log(store: Store, run_id: int, version: str) -> Log:
    """The end of a run's log, unless the browser has this version."""
    text, job = jobs.log_tail(store, run_id, max_bytes=MAX_LOG_BYTES), store.job_of("train", run_id)
    current, where = f"{zlib.crc32(text.encode()):08x}", "" if job is None else jobs.where(job)
    return Log(None if current == version else text, current, where)
