"""The launch form as data: its settings, derived from the configuration model, and the runs that a filled-in form gives."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.checks import MAX_TEXT, a_text
from app.env_modules import refusal
from vlmrb.config import AGENT_DEFAULTS, TrainConfig, defaults_of_run, settings
from vlmrb.errors import ConfigError
from vlmrb.jobs import LaunchPreset, destination, matched_set, parse_seeds
from vlmrb.replay.methods.vlm import scheduled_weight
from vlmrb.replay.registry import replay_method, replay_methods
from vlmrb.settings import Kind, Setting, in_words
from vlmrb.types import LOCAL, Destination, RunSummary

MAX_VALUES = 20
SCHEDULE_POINTS = 60
NOT_IN_FORM = ("seed", "replay")
"""The form has separate fields for these, which take several values."""

SCORERS = (
    ("embedded", "the small models shipped with VLM-RB, for MiniGrid and OGBench's robot arm; they run on any machine"),
    ("oracle", "a control scorer, which reads no prompt: yes if the simulator saw progress"),
    ("reward", "a control scorer, which reads no prompt: yes if the clip contains a positive reward"),
    ("random:0.25", "a control scorer, which reads no prompt: yes at random, at this rate"),
    (
        "hf:facebook/Perception-LM-1B",
        "a model from the Hugging Face Hub or a local folder; this one is the paper's choice, for a GPU",
    ),
    ("shared:http://127.0.0.1:7870", "a model that `python -m vlmrb serve-scorer` holds for many runs"),
    ("openai:http://127.0.0.1:8000/v1#model", "an OpenAI-compatible server that returns log-probabilities"),
    (
        "vote:embedded@frames=4|embedded",
        "2 to 9 scorers that all answer; the majority decides, or with vote:mean:… their mean. @frames=N and @prompt=NAME are "
        "settings of one member",
    ),
    (
        "cascade:embedded|openai:http://127.0.0.1:8000/v1#model@0.2",
        "a small scorer that answers all clips, and a larger one for those where P(yes) is within 0.2 of the threshold",
    ),
)
"""Suggestions for the field of the scorer, with what to know about each."""


@dataclass(frozen=True, slots=True)
class FormMethod:
    """A replay method as the form offers it.

    Attributes:
        token: its colour token.
        labels: whether it needs a scorer.
    """

    key: str
    title: str
    text: str
    token: str
    labels: bool


@dataclass(frozen=True, slots=True)
class FormSetting:
    """A setting as the form shows it.

    Attributes:
        kind: decides which input is shown.
        choices: options of a 'choice'.
        range: the allowed range as text, or ''.
        optional: whether 'none' is allowed.
        default: text, or a bool for a 'flag'.
        by_agent, by_method: defaults of agents and of replay methods whose default differs.
        readers: the agents or replay methods that use it, if not all do.
    """

    name: str
    group: str
    description: str
    kind: Kind
    choices: tuple[str, ...]
    range: str
    optional: bool
    default: str | bool
    by_agent: dict[str, str | bool]
    by_method: dict[str, str | bool]
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """A filled-in form.

    Attributes:
        settings: given values by setting name; strings and bools as sent by the browser.
        methods: replay methods.
        vary: the setting that takes several values, or ''.
        values: its values, as text.
        seeds: as text, such as '0-4'.
        variants: settings that belong together, each a method of its own, such as a prompt with its scorer and threshold. With
            them, no setting is varied.
        on: where they train, as for `jobs.destination`; '' for the store's setting.
        cpus, gpus, resources: what each gets of a cluster, as text; resources such as 'licence=1', separated by commas.
    """

    settings: dict[str, Any]
    methods: tuple[str, ...]
    vary: str
    values: tuple[str, ...]
    seeds: str
    set_name: str
    tags: tuple[str, ...]
    variants: tuple[dict[str, str], ...] = ()
    on: str = ""
    cpus: str = ""
    gpus: str = ""
    resources: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A checked form: its runs, or its problems.

    Attributes:
        problems: messages by field of the form ('' for those that belong to no field).
    """

    configs: list[TrainConfig] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def methods_of_form() -> list[FormMethod]:
    """All replay methods."""
    return [
        FormMethod(key, method.label, f"replays {method.summary}", f"method-{key}", method.labels)
        for key, method in replay_methods().items()
    ]


def settings_of_form() -> list[FormSetting]:
    """All settings, in the order of the configuration model."""
    return [_form_setting(setting) for name, setting in settings().items() if name not in NOT_IN_FORM]


def _form_setting(setting: Setting) -> FormSetting:
    others = {key: _default(setting, value) for key, value in setting.other_defaults.items()}
    return FormSetting(
        setting.name,
        setting.group,
        setting.description,
        setting.kind,
        setting.choices,
        setting.range,
        setting.optional,
        default=_default(setting, setting.default),
        by_agent={key: value for key, value in others.items() if key in AGENT_DEFAULTS},
        by_method={key: value for key, value in others.items() if key not in AGENT_DEFAULTS},
        readers=setting.agents or setting.methods,
    )


def _default(setting: Setting, value: Any) -> str | bool:
    return bool(value) if setting.kind == "flag" else in_words(value)


def filled_from(request: Mapping[str, Any]) -> Filled:
    """The form sent by a browser.

    Raises:
        ConfigError: the request is malformed.
    """
    form = dict(request)
    given = form.get("settings") or {}
    known = set(settings()) - set(NOT_IN_FORM)
    if not isinstance(given, dict) or not set(given) <= known or not all(isinstance(v, str | bool) for v in given.values()):
        raise ConfigError("settings: expected an object of values by setting; reload the page")
    methods = form.get("methods") or []
    if not isinstance(methods, list) or not all(isinstance(each, str) and each in replay_methods() for each in methods):
        raise ConfigError(f"methods: allowed: {', '.join(replay_methods())}")
    vary = a_text(form, "vary", 40)
    if vary and vary not in known:
        raise ConfigError(f"vary: there is no setting {vary!r}")
    variants = form.get("variants") or []
    if not isinstance(variants, list) or not all(_is_variant(each, known) for each in variants):
        raise ConfigError("variants: expected a list of texts by setting; reload the page")
    return Filled(
        settings={name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in given.items()},
        methods=tuple(dict.fromkeys(methods)),
        vary=vary,
        values=tuple(part.strip() for part in a_text(form, "values").split(",") if part.strip()),
        seeds=a_text(form, "seeds", 400),
        set_name=a_text(form, "set_name", 200).strip(),
        tags=tuple(part.strip() for part in a_text(form, "tags", 1_000).split(",") if part.strip()),
        variants=tuple(variants),
        **{name: a_text(form, name, 200).strip() for name in ("on", "cpus", "gpus", "resources")},
    )


def _is_variant(given: Any, known: Collection[str]) -> bool:
    return (
        isinstance(given, dict)
        and len(given) > 0
        and set(given) <= set(known)
        and all(isinstance(value, str) and len(value) <= MAX_TEXT for value in given.values())
    )


def filled_from_preset(preset: LaunchPreset) -> Filled:
    """A preset as a filled-in form."""
    names = [name for variation in preset.variations for name in variation if name != "replay"]
    vary = names[0] if names else ""
    return Filled(
        settings={name: value if isinstance(value, bool) else in_words(value) for name, value in preset.settings.items()},
        methods=tuple(dict.fromkeys(str(variation["replay"]) for variation in preset.variations)),
        vary=vary,
        values=tuple(in_words(variation[vary]) for variation in preset.variations) if vary else (),
        seeds=_ranges(preset.seeds),
        set_name=preset.title,
        tags=(),
    )


def filled_from_run(run: RunSummary) -> Filled:
    """A form that launches a run like this one, from step 0; its name, set and tags are left out."""
    usual, shown = defaults_of_run(run.config), {setting.name for setting in settings_of_form()}
    usual["scorer"] = None  # the form's field is empty unless somebody has chosen
    chosen = {name: value for name, value in run.config.items() if name in shown and value != usual[name]}
    return Filled(
        settings={name: value if isinstance(value, bool) else in_words(value) for name, value in chosen.items()},
        methods=(run.replay,),
        vary="",
        values=(),
        seeds=str(run.seed),
        set_name="",
        tags=(),
    )


def filled_from_contestants(run: RunSummary, variants: Sequence[Mapping[str, str]], set_name: str) -> Filled:
    """A form that trains like a run, with the method that labels guide, once for each of some variants."""
    like, own = filled_from_run(run), set().union(*variants)
    method = replay_methods().get(run.replay)
    return replace(
        like,
        settings={name: value for name, value in like.settings.items() if name not in own},
        methods=(run.replay if method is not None and method.labels else "vlm",),
        seeds="0-2",
        set_name=set_name,
        variants=tuple(map(dict, variants)),
    )


def _ranges(seeds: Sequence[int]) -> str:
    """(0, 1, 2, 3, 4) → '0-4'."""
    consecutive = len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}-{seeds[-1]}" if consecutive else ", ".join(map(str, seeds))


def check(form: Filled) -> Checked:
    """The runs of a form, or its problems by field."""
    seeds, problems = form_problems(form)
    if problems:
        return Checked(problems=_problems_of(form) | problems)
    try:
        configs = matched_set(given_values(form.settings), _variations(form), seeds)
    except ConfigError as error:
        return Checked(problems=by_field(str(error), places(form)))
    refused = next(filter(None, (refusal(env) for env in dict.fromkeys(config.env for config in configs))), "")
    return Checked(problems={"values" if form.vary == "env" else "env": refused}) if refused else Checked(configs=configs)


def form_problems(form: Filled) -> tuple[list[int], dict[str, str]]:
    """The seeds, and what is wrong with the fields that are no settings."""
    problems: dict[str, str] = {}
    seeds: list[int] = []
    try:
        seeds = parse_seeds(form.seeds)
    except ConfigError as error:
        problems["seeds"] = str(error).removeprefix("seeds: ")
    else:
        if not seeds:
            problems["seeds"] = "give at least one, such as 0-4"
    try:
        destination_of(form)
    except ConfigError as error:
        field, _, words = str(error).partition(": ")
        problems[field if field in ("on", "cpus", "gpus") else "resources"] = words
    if not form.methods:
        problems["methods"] = "choose at least one"
    if form.vary and not form.values:
        problems["values"] = "give at least one value; separate several with commas"
    if form.vary and form.variants:
        problems["vary"] = "the contestants are varied; choose nothing here, or remove them"
    if len(form.variants) > MAX_VALUES:
        problems["variants"] = f"got {len(form.variants)} contestants; at most {MAX_VALUES} are allowed"
    if len(form.values) > MAX_VALUES:
        problems["values"] = f"got {len(form.values)} values; at most {MAX_VALUES} are allowed"
    return seeds, problems


def destination_of(form: Filled) -> Destination | None:
    """Where the form's runs train; None for the store's setting.

    Raises:
        ConfigError: there is no such launcher, or an amount is out of range.
    """
    if not form.on:
        return None
    cpus, gpus = (None if text == "" or form.on == LOCAL else a_number_of(name, text) for name, text in _amounts(form))
    return destination(form.on, cpus=cpus, gpus=gpus, other=[] if form.on == LOCAL else _resources(form))


def _amounts(form: Filled) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("cpus", form.cpus), ("gpus", form.gpus)


def _resources(form: Filled) -> list[str]:
    return [part.strip() for part in form.resources.split(",") if part.strip()]


def a_number_of(name: str, text: str) -> float:
    """An amount that a person typed.

    Raises:
        ConfigError: it is no number.
    """
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{name}: got {text!r}; allowed: a number, such as 1 or 0.2") from error


def _problems_of(form: Filled) -> dict[str, str]:
    """The problems of the settings alone."""
    try:
        matched_set(given_values(form.settings), _variations(form) or [{"replay": "uniform"}], [0])
    except ConfigError as error:
        return by_field(str(error), places(form))
    return {}


def given_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The form's texts as values for the configuration model, which converts and checks them; '' counts as not given."""
    return {name: a_value(name, value) for name, value in settings.items() if value != ""}


def a_value(name: str, value: Any) -> Any:
    """A form's text as a value: 'none' is None where a setting can be None."""
    return None if settings()[name].optional and isinstance(value, str) and value.strip().lower() == "none" else value


def _variations(form: Filled) -> list[dict[str, Any]]:
    return [{"replay": method} | own for method in form.methods for own in varied(form)]


def varied(form: Filled) -> list[dict[str, Any]]:
    """What sets a method's runs of one seed apart: one of the values, one of the variants, or nothing."""
    if form.variants:
        return [given_values(variant) for variant in form.variants]
    return [{form.vary: a_value(form.vary, value)} for value in form.values] if form.vary else [{}]


def places(form: Filled) -> dict[str, str]:
    """The fields of settings that have none of their own in this form: a varied one, and those of variants."""
    return ({form.vary: "values"} if form.vary else {}) | {name: "variants" for each in form.variants for name in each}


def by_field(message: str, places: Mapping[str, str] | None = None, own: Collection[str] = ("seeds",)) -> dict[str, str]:
    """The message of an error, which has one line per setting, split up by form field.

    Args:
        message: of a ConfigError.
        places: as for `places`; None for none.
        own: fields of the form that are no settings.
    """
    problems: dict[str, str] = {}
    for part in re.split(r"\n|; (?=\w+: )", message):
        name, colon, words = part.partition(": ")
        belongs = bool(colon) and (name in settings() or name in (*own, "launch"))
        key = (places or {}).get(name, "" if name == "launch" else name) if belongs else ""
        problems[key] = "; ".join(filter(None, [problems.get(key, ""), words if belongs else part]))
    return problems


def lambda_schedule(config: TrainConfig) -> list[tuple[float, float]]:
    """λ over a run as (step, λ) points; [] without a mixture."""
    if not replay_method(config.replay).mixes or config.lambda_max is None:
        return []
    warmup = config.lambda_warmup * config.horizon
    steps = sorted(
        {config.total_steps * i / SCHEDULE_POINTS for i in range(SCHEDULE_POINTS + 1)} | {min(warmup, config.total_steps)}
    )
    return [(step, scheduled_weight(config, step) or 0.0) for step in steps]


def lambda_schedules(configs: Sequence[TrainConfig]) -> list[list[tuple[float, float]]]:
    """The distinct λ schedules of some runs, in order; runs without a mixture have none."""
    found: list[list[tuple[float, float]]] = []
    for schedule in map(lambda_schedule, configs):
        if schedule and schedule not in found:
            found.append(schedule)
    return found


def command(form: Filled) -> str:
    """The equivalent shell command; a varied setting gives one command per value."""
    agent = form.settings.get("algo")
    defaults = {name: _default(setting, setting.default_for(agent)) for name, setting in settings().items()}
    words = ["python", "-m", "vlmrb", "launch"]
    own = {form.vary}.union(*form.variants)
    for name, value in form.settings.items():
        if value != "" and name not in own and (isinstance(value, bool) or value != defaults[name]):
            words += _option(name, value)
    words += ["--methods", *form.methods, "--seeds", *[word for word in re.split(r"[\s,]+", form.seeds) if word]]
    words += ["--set-name", form.set_name] if form.set_name else []
    words += ["--on", form.on] if form.on else []
    if form.on not in ("", LOCAL):
        words += [word for name, text in _amounts(form) if text for word in (f"--{name}", text)]
        words += [word for each in _resources(form) for word in ("--resource", each)]
    for tag in form.tags:
        words += ["--tag", tag]
    each: list[dict[str, str]] = [{form.vary: value} for value in form.values] if form.vary else [*form.variants] or [{}]
    return "\n".join(shlex.join([*words, *_options(own)]) for own in each)


def _options(values: Mapping[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in _option(name, value)]


def _option(name: str, value: str | bool) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", value]
