"""Command-line options: the shared ones, and those made from the fields of TrainConfig."""

from __future__ import annotations

import argparse
import math
import textwrap
import types
import typing
from collections.abc import Callable
from typing import Any, Literal

from vlmrb.config import AGENT_DEFAULTS, TrainConfig, field_limits

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
    """One option per field of TrainConfig, grouped. Only what the user gives ends up in the namespace."""
    groups: dict[str, Any] = {}
    for name, field in TrainConfig.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        title = str(extra.get("group", "other"))
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        group = groups[title]
        flag = "--" + name.replace("_", "-")
        text = _explained(name, field.description or "", field.default).replace("%", "%%")
        if field.annotation is bool:
            group.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        else:
            group.add_argument(flag, dest=name, default=argparse.SUPPRESS, metavar=_metavar(field.annotation), help=text)


def given_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the user gave, as text; the configuration model checks and converts them."""
    given = {name: getattr(arguments, name) for name in TrainConfig.model_fields if hasattr(arguments, name)}
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
    optional = type(None) in typing.get_args(TrainConfig.model_fields[name].annotation)
    return optional and isinstance(value, str) and value.strip().lower() == "none"


def _metavar(annotation: Any) -> str:
    members = [member for member in _members(annotation) if member is not type(None)]
    if typing.get_origin(members[0]) is Literal:
        return "{" + ",".join(map(str, typing.get_args(members[0]))) + "}"
    return {int: "N", float: "X"}.get(members[0], "TEXT")


def _members(annotation: Any) -> list[Any]:
    """The types of a union, with Annotated taken off."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [inner for member in typing.get_args(annotation) for inner in _members(member)]
    return [annotation]


def _explained(name: str, description: str, default: Any) -> str:
    """The description, followed by range and default where it does not tell the latter itself."""
    limits = field_limits(name)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    facts = [" and ".join(f"{sign} {limits[key]}" for key, sign in signs.items() if key in limits)]
    facts += [] if "(default:" in description else [f"default: {_shown(default)}{_of_other_agents(name, default)}"]
    facts = [fact for fact in facts if fact]
    return description + (f" ({'; '.join(facts)})" if facts else "")


def _of_other_agents(name: str, default: Any) -> str:
    others = {agent: found[name] for agent, found in AGENT_DEFAULTS.items() if found.get(name, default) != default}
    values = list(dict.fromkeys(others.values()))
    return "".join(f", {' and '.join(a for a in others if others[a] == value)} {_shown(value)}" for value in values)


def _shown(default: Any) -> str:
    if default is None:
        return "none"
    return {True: "on", False: "off"}[default] if isinstance(default, bool) else str(default)
