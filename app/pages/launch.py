"""The launch page: a form built from the configuration model, checked during typing; one press starts a matched set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.bench import contestants_of, variants_of
from app.checks import a_text, an_id
from app.launch_form import (
    SCORERS,
    Filled,
    by_field,
    check,
    command,
    destination_of,
    filled_from,
    filled_from_contestants,
    filled_from_preset,
    filled_from_run,
    lambda_schedules,
    methods_of_form,
    places,
    settings_of_form,
)
from app.presses import Launched, Presses
from app.studio import Studio
from app.widgets import widget
from vlmrb import jobs
from vlmrb.errors import ConfigError, EnvironmentSetupError, ScorerSetupError, VlmrbError
from vlmrb.jobs import Estimate
from vlmrb.places import choose_place
from vlmrb.prompt_library import prompt_presets, unfit, unreadable
from vlmrb.store import Store

ENVIRONMENTS = (
    "DoorKey-5x5", "DoorKey-6x6", "DoorKey-8x8", "DoorKey-12x12", "MiniGrid-KeyCorridorS3R3-v0", "MiniGrid-MultiRoom-N4-S5-v0",
    "MiniGrid-UnlockPickup-v0", "MiniGrid-ObstructedMaze-1Dlhb-v0", "MiniGrid-LavaCrossingS9N1-v0", "MiniGrid-FourRooms-v0",
    "CartPole-v1", "Pendulum-v1", "cube-single-singletask-task1-v0", "scene-singletask-task1-v0", "scene-singletask-task4-v0",
    "puzzle-3x3-singletask-task1-v0",
)  # fmt: skip
"""Suggestions for the environment field; any other id can be typed."""


MAX_SCORER = 2000
"""Maximum number of characters of a scorer's name."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset as the page shows it."""

    key: str
    title: str
    text: str
    form: Filled


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking a form.

    Attributes:
        problems: messages by field, '' for those that belong to no field. If there are any, the rest is empty.
        size: number of runs and estimated time on this machine.
        schedules: the distinct λ schedules of the runs, as (step, λ) points.
        command: the equivalent shell command.
        notices: what the scorer cannot read of the prompt, or why it means nothing about the environment's pictures.
    """

    problems: dict[str, str]
    size: Estimate | None
    schedules: list[list[tuple[float, float]]]
    command: str
    notices: list[str]


@dataclass(frozen=True, slots=True)
class Like:
    """A form with a run's settings, and the run's name."""

    name: str
    form: Filled


def build(studio: Studio) -> None:
    """Add the page's components to the open Blocks."""
    store = studio.store
    tried: jobs.Tried = {}

    def check_form(request: dict[str, Any]) -> Verdict:
        """The form's problems by field, or the size of the launch."""
        return verdict_on(store, filled_from(request), tried)

    def like(request: dict[str, Any]) -> Like:
        """The form of a run that exists already."""
        run = store.run(an_id(request, "run"))
        return Like(run.name, filled_from_run(run))

    def contestants(request: dict[str, Any]) -> Contestants:
        """Contestants of the prompt bench as a form: one run like those that they were tried on for each."""
        return form_of(store, request)

    def shared(request: dict[str, Any]) -> list[jobs.SharedLook]:
        """How the shared scorers that a scorer's name holds are doing."""
        try:
            return studio.shared_scorers.look(a_text(request, "scorer", MAX_SCORER))
        except ScorerSetupError:  # half of a name; the form says so
            return []

    launcher = Launcher(store)

    def launch(request: dict[str, Any]) -> Launched:
        """Launch the form's runs; `press` identifies one press of the button."""
        return launcher.launch(filled_from(request), a_text(request, "press", 60))

    widget(
        "launch_form",
        check_form,
        contestants,
        launch,
        like,
        shared,
        settings=settings_of_form(),
        methods=methods_of_form(),
        environments=ENVIRONMENTS,
        scorers=SCORERS,
        prompts=prompt_presets(),
        destinations=jobs.known_destinations(store),
        presets=[Preset(each.key, each.title, each.text, filled_from_preset(each)) for each in jobs.presets()],
    )


def verdict_on(store: Store, form: Filled, tried: jobs.Tried) -> Verdict:
    """Check a form; nothing is written.

    Args:
        store: has the prompts, and the speeds of earlier runs.
        form: what the page sent.
        tried: the environments that have been tried; the form's are added.
    """
    checked = check(form)
    if checked.problems:
        return Verdict(checked.problems, None, [], "", [])
    try:
        for given in {config.checkpoints for config in checked.configs}:
            choose_place(given, store)
        runs = jobs.check_all(checked.configs, tried)
    except VlmrbError as error:
        return Verdict(_as_problems(error, form), None, [], "", [])
    scored = {(one.config.scorer, one.config.prompt, one.config.env): one for one in runs if one.config.scorer is not None}
    found = [unreadable(store, *asked) for asked in scored]
    found += [unfit(scorer, one.render_spec) for (scorer, *_), one in scored.items()]
    notices = list(dict.fromkeys(filter(None, found)))
    return Verdict({}, jobs.estimate(store, checked.configs), lambda_schedules(checked.configs), command(form), notices)


def _as_problems(error: VlmrbError, form: Filled) -> dict[str, str]:
    """Why a run could not start, by field."""
    cause = error.__cause__ or error
    problems = by_field(str(cause), places(form))
    if isinstance(cause, EnvironmentSetupError) and "" in problems:
        problems[places(form).get("env", "env")] = problems.pop("")
    return problems


@dataclass(frozen=True, slots=True)
class Contestants:
    """A form whose variants are contestants of the prompt bench, with their names for people."""

    names: list[str]
    form: Filled
    run_id: int


def form_of(store: Store, request: dict[str, Any]) -> Contestants:
    """The form that trains with each of the contestants.

    Args:
        store: has their trials.
        request: with `bench`, as in the URL of the bench.

    Raises:
        ConfigError: `bench` is malformed.
        NotFoundError: a trial or its runs do not exist.
    """
    found = variants_of(store, contestants_of(request))
    variants = [each.settings for each in found.variants]
    form = filled_from_contestants(store.run(found.run_id), variants, "prompts compared")
    return Contestants([each.name for each in found.variants], form, found.run_id)


class Launcher:
    """Launches forms; one press of the button launches once, however often its request arrives.

    Args:
        store: where the runs are created.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._presses = store, Presses()

    def launch(self, form: Filled, press: str) -> Launched:
        """Launch the form's runs, or return its problems.

        Raises:
            VlmrbError: a run's environment or scorer cannot be used here; nothing was written.
        """
        return self._presses.once(press, lambda: self._launch(form))

    def _launch(self, form: Filled) -> Launched:
        checked = check(form)
        if checked.problems:
            return Launched([], "", checked.problems)
        known = jobs.known_destinations(self._store)
        if form.on and form.on not in known:  # whoever runs a cluster is shown the store's address
            raise ConfigError(f"on: got {form.on[:60]!r}; allowed: {', '.join(known)}; another: python -m vlmrb jobs --launcher")
        where = destination_of(form)
        run_ids = jobs.launch(self._store, checked.configs, set_name=form.set_name, tags=form.tags, destination=where)
        return Launched(run_ids, form.set_name, {})
