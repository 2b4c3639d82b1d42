"""Command-line options: the shared ones, and those made from the fields of TrainConfig."""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any

from vlmrb.config import settings
from vlmrb.replay.registry import replay_methods
from vlmrb.settings import Setting, in_words

Command = Callable[[argparse.Namespace], int]
"""Runs a parsed command and returns the exit status."""


def add_command(
    commands: Any, name: str, run: Command, summary: str, example: str, *, details: str = ""
) -> argparse.ArgumentParser:
    """Register a command with --store and --json, a summary in the list of commands, and an example in its help."""
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
        help="database: a path such as runs.db, or a URL such as postgresql+psycopg://… "
        "(default: $VLMRB_STORE, else a file in your data folder)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    return parser


def add_run_argument(parser: argparse.ArgumentParser) -> None:
    """The positional RUN."""
    parser.add_argument("run_id", metavar="RUN", type=positive_integer, help="number of the run, as 'runs' lists it")


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """One option per setting of a run, grouped. Only what the user gives ends up in the namespace."""
    groups: dict[str, Any] = {}
    for setting in settings().values():
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group)
        add: Any = partial(
            groups[setting.group].add_argument, setting.flag, dest=setting.name, default=argparse.SUPPRESS, help=_help(setting)
        )
        if setting.kind == "flag":
            add(action=argparse.BooleanOptionalAction)
        else:
            add(metavar=_metavar(setting))


def given_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the user gave, as text; the configuration model checks and converts them."""
    given = {name: getattr(arguments, name) for name in settings() if hasattr(arguments, name)}
    return {name: None if _means_none(name, value) else value for name, value in given.items()}


def positive_integer(text: str) -> int:
    """An argparse type: 1, 2, 3, …"""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return value


def step_count(text: str) -> int:
    """An argparse type: a number of steps such as 100000, 100_000, 1e5 or 100k."""
    factor = {"k": 1_000, "M": 1_000_000}.get(text[-1:], 1)
    try:
        value = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of steps; write it like 100000 or 100k")
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
    return settings()[name].optional and isinstance(value, str) and value.strip().lower() == "none"


def _metavar(setting: Setting) -> str:
    return "{" + ",".join(setting.choices) + "}" if setting.choices else {"whole": "N", "number": "X"}.get(setting.kind, "TEXT")


def _help(setting: Setting) -> str:
    """The description with who reads it, the range, and the default where the description does not tell it itself."""
    readers = setting.agents or (setting.methods if setting.group == "replay" else ())  # any run may have its clips scored
    facts = [f"{', '.join(readers)} only" if readers else "", setting.range]
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
    """All replay methods, in a few words each."""
    return ". " + "; ".join(f"{key}: {method.label}, {method.summary}" for key, method in replay_methods().items())
