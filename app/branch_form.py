"""The dialog that branches a run, as data: where a branch can start, what can change, and the branches that a form gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.checks import MAX_ID, a_choice, a_count, a_text, an_id
from app.launch_form import (
    SCORERS,
    Filled,
    FormMethod,
    FormSetting,
    a_value,
    by_field,
    filled_from,
    form_problems,
    given_values,
    methods_of_form,
    places,
    settings_of_form,
    varied,
)
from app.presses import Launched
from app.run_rows import as_words
from vlmrb import jobs
from vlmrb.branching import FIXED, branch_points
from vlmrb.config import defaults_for, make_config, unread_settings
from vlmrb.errors import ConfigError, VlmrbError
from vlmrb.jobs import Estimate
from vlmrb.moments import SUCCESSES
from vlmrb.prompt_library import prompt_presets, unreadable
from vlmrb.replay.registry import replay_methods
from vlmrb.store import Store
from vlmrb.types import Prompt, RunSummary

HIDDEN = (*FIXED, "total_steps")
"""Settings that the dialog does not offer: a branch cannot change them, or another field stands for them."""

MAX_STEPS = 10**12


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint to branch off at.

    Attributes:
        at: what names it in a request: 'first-success', 'fifth-success' or its step.
        size: bytes on the disk.
        kept: whether it stays; others give way to newer ones while the run trains.
    """

    at: str | int
    moment: str
    step: int
    size: int
    kept: bool


@dataclass(frozen=True, slots=True)
class BranchForm:
    """What the dialog shows.

    Attributes:
        methods: all replay methods; `method` is the parent's.
        settings: those that a branch can change.
        now: the parent's values, as text; settings that its replay method does not read are missing.
        total_steps: where the parent ends.
    """

    name: str
    points: list[Point]
    methods: list[FormMethod]
    method: str
    settings: list[FormSetting]
    now: dict[str, str]
    scorers: tuple[tuple[str, str], ...]
    prompts: list[Prompt]
    total_steps: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A filled-in dialog.

    Attributes:
        form: its `settings` are those that change.
        at: a step, 'first-success' or 'fifth-success'.
        steps: how many more to train for, as text; '' to end where the parent does.
    """

    run_id: int
    form: Filled
    at: str | int
    steps: str


@dataclass(frozen=True, slots=True)
class BranchVerdict:
    """The result of checking a dialog.

    Attributes:
        problems: messages by field.
        size: number of branches and estimated time on this machine; None if there are problems.
        notices: what the scorer cannot read of the prompt.
    """

    problems: dict[str, str]
    size: Estimate | None
    notices: list[str]


def points_of(store: Store, run_id: int) -> list[Point]:
    """Where a run can be branched off; of a kept step only the first, and those of successes first.

    Raises:
        NotFoundError: there is no such run.
        CheckpointError: its folder cannot be read.
    """
    found: dict[str | int, Point] = {}
    for each in branch_points(store, run_id):
        at = each.moment if each.moment in SUCCESSES else each.step
        found.setdefault(at, Point(at, each.moment, each.step, each.size, each.kept))
    return list(found.values())


def branch_form(store: Store, run_id: int) -> BranchForm:
    """What the dialog of a run shows. Raises like `points_of`."""
    run = store.run(run_id)
    settings = [setting for setting in settings_of_form() if setting.name not in HIDDEN]
    unread = unread_settings(run.replay, _base_of(run), run.config.get("her")) if run.replay in replay_methods() else set()
    config = run.config | {"keep_checkpoints": None}  # a branch keeps none, unless it is told to
    now = {each.name: _in_field(config[each.name]) for each in settings if each.name in config}
    return BranchForm(
        name=run.name,
        points=points_of(store, run_id),
        methods=methods_of_form(),
        method=run.replay,
        settings=settings,
        now={name: value for name, value in now.items() if name not in unread},
        scorers=SCORERS,
        prompts=prompt_presets(),
        total_steps=run.total_steps,
    )


def _in_field(value: Any) -> str:
    """A value as somebody would type it."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else as_words(value)


def _base_of(run: RunSummary) -> str:
    method = replay_methods().get(run.replay)
    return str(run.config.get("base", "uniform")) if method is not None and method.mixes else "uniform"


def asked_from(request: Mapping[str, Any]) -> Asked:
    """The dialog sent by a browser.

    Raises:
        ConfigError: the request is malformed.
    """
    values = dict(request)
    moment = values.get("at") if isinstance(values.get("at"), str) else None
    at = a_choice({"at": moment}, "at", tuple(SUCCESSES)) if moment else a_count(values, "at", MAX_ID, 0)
    return Asked(an_id(values, "run"), filled_from(values), at or 0, a_text(values, "steps", 20).strip())


def check_branches(store: Store, asked: Asked) -> BranchVerdict:
    """What is wrong with each field by itself, or the size of the launch; nothing is written.

    Whether the values fit together, and to the parent, is checked when the branches are made.

    Raises:
        NotFoundError: there is no such run.
    """
    run = store.run(asked.run_id)
    seeds, problems = form_problems(asked.form)
    problems |= _problems_of_settings(asked.form)
    steps, wrong = _steps(asked)
    problems |= {"steps": wrong} if wrong else {}
    if problems:
        return BranchVerdict(problems, None, [])
    changes = changes_of(asked.form, run)
    try:
        notices = dict.fromkeys(_notice(store, run, change) for change in changes)
        each = make_config(**run.config).model_copy(
            update={"total_steps": steps or max(1, run.total_steps - _step(store, asked))}
        )
        configs = [each.model_copy(update={"replay": change["replay"]}) for change in changes for _ in seeds]
        return BranchVerdict({}, jobs.estimate(store, configs), [words for words in notices if words])
    except VlmrbError as error:
        return BranchVerdict(_by_field(error, asked), None, [])


def make_branches(store: Store, asked: Asked) -> Launched:
    """Make and queue the branches, or return what the form's fields or the engine's checks have against it.

    If there are problems, nothing was written.
    """
    seeds, problems = form_problems(asked.form)
    steps, wrong = _steps(asked)
    problems |= _problems_of_settings(asked.form) | ({"steps": wrong} if wrong else {})
    if problems:
        return Launched([], "", problems)
    form = asked.form
    try:
        changes = changes_of(form, store.run(asked.run_id))
        run_ids = jobs.branch(store, asked.run_id, asked.at, changes, seeds, steps=steps, set_name=form.set_name, tags=form.tags)
    except VlmrbError as error:
        return Launched([], "", _by_field(error, asked))
    return Launched(run_ids, form.set_name, {})


def changes_of(form: Filled, parent: RunSummary) -> list[dict[str, Any]]:
    """For each method and value, what differs from the parent; settings that a method does not read are left out."""
    found: list[dict[str, Any]] = []
    for method in form.methods:
        for own in varied(form):
            given = given_values(form.settings) | own
            unread = unread_settings(method, str(given.get("base", _base_of(parent))), given.get("her", parent.config.get("her")))
            change = {"replay": method} | {name: value for name, value in given.items() if name not in unread}
            if change not in found:
                found.append(change)
    return found


def _problems_of_settings(form: Filled) -> dict[str, str]:
    """What is wrong with each value by itself."""
    given = [(name, name, value) for name, value in form.settings.items() if value != ""]
    given += [("values", form.vary, value) for value in form.values if form.vary]
    given += [("variants", name, value) for variant in form.variants for name, value in variant.items()]
    problems: dict[str, str] = {}
    for field, name, value in given:
        try:
            make_config(**{"replay": "vlm", "scorer": "oracle", name: a_value(name, value)})
        except ConfigError as error:
            words = by_field(str(error)).get(name)
            if words:  # others are about how it fits to the defaults, which do not matter here
                problems[field] = "; ".join(filter(None, [problems.get(field, ""), words]))
    return problems


def _steps(asked: Asked) -> tuple[int | None, str]:
    """How many steps more, and what is wrong with that."""
    text = asked.steps.replace(",", "").replace("_", "")
    if not text:
        return None, ""
    steps = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
    return (steps, "") if 0 < steps <= MAX_STEPS else (None, f"got {asked.steps!r}; expected a number of steps, at least 1")


def _step(store: Store, asked: Asked) -> int:
    """The step that the branches start at, as far as it is known."""
    return next((point.step for point in points_of(store, asked.run_id) if point.at == asked.at), 0)


def _notice(store: Store, parent: RunSummary, change: Mapping[str, Any]) -> str:
    """What a branch's scorer cannot read of its prompt."""
    method = str(change["replay"])
    if not replay_methods()[method].labels:
        return ""
    settings = defaults_for(parent.algo, method) | {name: value for name, value in parent.config.items() if value is not None}
    return unreadable(store, *(str((settings | dict(change))[name]) for name in ("scorer", "prompt", "env")))


def _by_field(error: VlmrbError, asked: Asked) -> dict[str, str]:
    """The engine's message by field of the dialog."""
    problems = by_field(str(error), places(asked.form), own=("seeds", "at", "branch"))
    fields = {"total_steps": "steps", "branch": ""}
    return {fields.get(name, name): words for name, words in problems.items()}
