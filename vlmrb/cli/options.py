"""Command-line options: those shared by all commands, and those generated from the fields of TrainConfig."""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from vlmrb.config import settings
from vlmrb.errors import ConfigError
from vlmrb.replay.registry import replay_methods
from vlmrb.settings import Setting, in_words
from vlmrb.types import Destination

Command = Callable[[argparse.Namespace], int]
"""Runs a parsed command and returns its exit status."""


def add_command(
    commands: Any, name: str, run: Command, summary: str, example: str, *, details: str = ""
) -> argparse.ArgumentParser:
    """Register a command with --store and --json, a summary for the list of commands, and an example in its help."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(f"{summary[0].upper()}{summary[1:]}. {details}".strip(), 100),
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--store",
        metavar="URL",
        help="database: a file path such as runs.db, or a URL such as postgresql+psycopg://… "
        "(default: $VLMRB_STORE, else a file in your data folder)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def add_run_argument(parser: argparse.ArgumentParser) -> None:
    """Add the positional argument RUN."""
    parser.add_argument("run_id", metavar="RUN", type=positive_integer, help="run number, as shown by 'runs'")


def add_config_options(parser: argparse.ArgumentParser, *, without: Collection[str] = ()) -> None:
    """Add one option per setting of a run, in groups. Only options that the user gives end up in the namespace."""
    groups: dict[str, Any] = {}
    for setting in settings().values():
        if setting.name in without:
            continue
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group)
        add: Any = partial(
            groups[setting.group].add_argument, setting.flag, dest=setting.name, default=argparse.SUPPRESS, help=_help(setting)
        )
        if setting.kind == "flag":
            add(action=argparse.BooleanOptionalAction)
        else:
            add(metavar=_metavar(setting))
        if setting.name == "train_freq":
            groups[setting.group].add_argument(
                "--replay-ratio",
                metavar="X",
                default=argparse.SUPPRESS,
                help="samples drawn per stored transition, batch_size / train_freq; can be given in place of --train-freq",
            )


def given_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings given by the user, as text; the configuration model checks and converts them."""
    given = {name: getattr(arguments, name) for name in (*settings(), "replay_ratio") if hasattr(arguments, name)}
    return {name: None if _means_none(name, value) else value for name, value in given.items()}


def positive_integer(text: str) -> int:
    """An argparse type: 1, 2, 3, …"""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number ≥ 1")
    return value


def step_count(text: str) -> int:
    """An argparse type: a number of steps such as 100000, 100_000, 1e5 or 100k."""
    factor = {"k": 1_000, "M": 1_000_000}.get(text[-1:], 1)
    try:
        value = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of steps; write for example 100000 or 100k")
    return int(value)


def share(text: str) -> float:
    """An argparse type: a number in [0, 1]."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _means_none(name: str, value: Any) -> bool:
    return name in settings() and settings()[name].optional and isinstance(value, str) and value.strip().lower() == "none"


def _metavar(setting: Setting) -> str:
    return "{" + ",".join(setting.choices) + "}" if setting.choices else {"whole": "N", "number": "X"}.get(setting.kind, "TEXT")


def _help(setting: Setting) -> str:
    """The description, followed by who uses the setting, its range, and its default unless the description states it."""
    users = setting.agents or (setting.methods if setting.group == "replay" else ())  # any run may have its clips scored
    facts = [f"{', '.join(users)} only" if users else "", setting.range]
    if "(default:" not in setting.description:
        facts.append(f"default: {in_words(setting.default)}{_other_defaults(setting)}")
    facts = [fact for fact in facts if fact]
    methods = _methods() if setting.name == "replay" else ""
    return (setting.description + (f" ({'; '.join(facts)})" if facts else "") + methods).replace("%", "%%")


def _other_defaults(setting: Setting) -> str:
    by_value: dict[str, list[str]] = {}
    for key, value in setting.other_defaults.items():
        by_value.setdefault(in_words(value), []).append(key)
    return "".join(f"; {', '.join(keys)}: {value}" for value, keys in by_value.items())


def _methods() -> str:
    """All replay methods, each in a few words."""
    return ". " + "; ".join(f"{key}: {method.label}, {method.summary}" for key, method in replay_methods().items())


def add_destination_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where jobs run, and with what."""
    group = parser.add_argument_group("where")
    group.add_argument(
        "--on",
        metavar="WHERE",
        help="local; ray: the cluster of RAY_ADDRESS or on this machine, else one is started here; ray:HOST:PORT of a cluster's "
        "head (default: 'jobs --launcher', at first local)",
    )
    group.add_argument("--cpus", type=float, metavar="N", help="CPUs of the cluster for each run (default: 1)")
    group.add_argument("--gpus", type=float, metavar="N", help="GPUs for each run; 0.2: five runs share one (default: 0)")
    group.add_argument(
        "--resource", metavar="NAME=N", action="append", default=[], help="a resource of the cluster's own; can be repeated"
    )


def given_destination(arguments: argparse.Namespace) -> Destination | None:
    """Where jobs are to run; None if the options do not say.

    Raises:
        ConfigError: the options are out of range, or say with what but not where.
    """
    from vlmrb.jobs import destination

    if arguments.on is not None:
        return destination(arguments.on, cpus=arguments.cpus, gpus=arguments.gpus, other=arguments.resource)
    if arguments.cpus is not None or arguments.gpus is not None or arguments.resource:
        raise ConfigError("--cpus, --gpus and --resource say what a run gets of a cluster; add --on ray or --on ray:HOST:PORT")
    return None
