"""What a replay method says about itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vlmrb.replay.sampling import FEEDBACK, Sampler

if TYPE_CHECKING:
    from vlmrb.config import TrainConfig

COLORS = (
    "indigo", "orange", "slate", "teal", "crimson", "brown", "fuchsia", "cyan", "pink", "lime", "violet", "blue"
)  # fmt: skip
"""Colours that a method may take; `app.colors` knows their shades on light and dark ground."""

REPLAY_CHANGES = ("lambda", "prompt", "question")
"""Live changes that concern replay, for `ReplayMethod.live`."""


@dataclass(frozen=True, kw_only=True)
class ReplayMethod:
    """A way of choosing batches. One module says all of it, in a constant named METHOD (`vlmrb.replay.registry` finds it).

    Attributes:
        key: value of `--replay` (and of `--base`): lower-case letters, digits, '-' and '_'.
        label: its name for people.
        summary: what it replays, in a few words that follow the label: 'by TD error'.
        color: one of COLORS.
        make: makes its sampler from a run's configuration, for a buffer of so many items.
        settings: the fields of `TrainConfig` that it reads. Fields that only other methods read are left out of its runs.
        defaults: values of those fields where nobody gives one and the field's own default is not the method's.
        variants: settings that make it another method, in a comparison, where they are not the default: how to say so.
        feedback: what it wants from the agent's updates, of `vlmrb.replay.sampling.FEEDBACK`; the agent computes nothing else.
        live: the changes of a live run that it takes, of REPLAY_CHANGES.
        stored: of `settings`, those that what its sampler saves depends on; where only others differ, a branch takes over the
            parent's sampler as it is. None for all of them.
        labels: whether it replays by the scorer's labels; a run of it has a scorer.
        mixes: whether it mixes its choice with that of a base method (`--base`); such a method is no base itself.
        exact: whether it states the probability of any item, not only of candidates that one draw looked at.
        baseline: whether others are measured against it.
        usual: whether it is part of a comparison that names no methods.
    """

    key: str
    label: str
    summary: str
    color: str
    make: Callable[[TrainConfig, int], Sampler]
    settings: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    feedback: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    stored: tuple[str, ...] | None = None
    labels: bool = False
    mixes: bool = False
    exact: bool = True
    baseline: bool = True
    usual: bool = False

    def __post_init__(self) -> None:
        problems = []
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", self.key):
            problems.append(f"key: got {self.key!r}; allowed: up to 40 lower-case letters, digits, '-' and '_'")
        for name, given, allowed in (
            ("color", (self.color,), COLORS),
            ("feedback", self.feedback, FEEDBACK),
            ("live", self.live, REPLAY_CHANGES),
        ):
            problems += [f"{name}: got {value!r}; allowed: {', '.join(allowed)}" for value in given if value not in allowed]
        unread = sorted((set(self.defaults) | set(self.variants) | set(self.stored or ())) - set(self.settings))
        problems += [f"settings: {name!r} has a default or a variant, or is stored, but is not among them" for name in unread]
        if problems:
            raise ValueError("; ".join(problems))
