"""What there is to say about each setting of a run, read from the JSON schema of the configuration model.

The command line's help, error messages and the launch form are made from these records alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["flag", "choice", "whole", "number", "text"]

_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: field of the configuration model.
        group: heading that it stands under.
        description: what it means, with its unit.
        kind: what its values are.
        choices: the allowed values, for 'choice'.
        limits: bounds of numbers, by their names in JSON schema: minimum, exclusiveMinimum, maximum, exclusiveMaximum.
        optional: whether 'none' is a value.
        default: where nothing else is said.
        agents: the agents that read it; empty for all.
        methods: the replay methods that read it; empty for all.
        other_defaults: defaults of agents and methods that have another, by their key.
    """

    name: str
    group: str
    description: str
    kind: Kind
    choices: tuple[str, ...]
    limits: Mapping[str, float]
    optional: bool
    default: Any
    agents: tuple[str, ...]
    methods: tuple[str, ...]
    other_defaults: Mapping[str, Any]

    @property
    def flag(self) -> str:
        """The option of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def range(self) -> str:
        """The allowed numbers in words: '0 to 1', '> 0 and ≤ 1', '≥ 1'; '' where there are no bounds."""
        if set(self.limits) == {"minimum", "maximum"}:
            return f"{in_words(self.limits['minimum'])} to {in_words(self.limits['maximum'])}"
        return " and ".join(f"{sign} {in_words(self.limits[bound])}" for bound, sign in _SIGNS.items() if bound in self.limits)

    def default_for(self, *keys: Any) -> Any:
        """The default where these agents or methods are chosen; of several that have one, the first one's."""
        return next((self.other_defaults[key] for key in keys if key in self.other_defaults), self.default)


def describe(
    schema: Mapping[str, Any], readers: Mapping[str, tuple[str, ...]], defaults: Mapping[str, Mapping[str, Any]]
) -> dict[str, Setting]:
    """All settings by name, in the model's order.

    Args:
        schema: JSON schema of the model.
        readers: replay methods by the setting that they read.
        defaults: what agents and methods have as defaults, by their key.
    """
    found = {}
    for name, field in schema["properties"].items():
        branches = field.get("anyOf", [field])
        value = next(branch for branch in branches if branch.get("type") != "null")
        default = field.get("default")
        others = {key: own[name] for key, own in defaults.items() if own.get(name, default) != default}
        choices = tuple(map(str, field.get("enum", value.get("enum", ()))))
        kinds: dict[str, Kind] = {"boolean": "flag", "integer": "whole", "number": "number"}
        found[name] = Setting(
            name,
            group=str(field["group"]),
            description=str(field.get("description", "")),
            kind="choice" if choices else kinds.get(value["type"], "text"),
            choices=choices,
            limits={bound: value[bound] for bound in _SIGNS if bound in value},
            optional=len(branches) > 1,
            default=default,
            agents=tuple(field["agents"]),
            methods=readers.get(name, ()),
            other_defaults=others,
        )
    return found


def in_words(value: Any) -> str:
    """A value as people write it: 0.0003, 300000, on, none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
