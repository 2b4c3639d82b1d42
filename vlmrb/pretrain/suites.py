"""The suites, one for each embedded model, by name."""

from __future__ import annotations

from vlmrb.errors import ConfigError
from vlmrb.pretrain.grids.suite import GRIDS
from vlmrb.pretrain.robots.suite import ROBOTS
from vlmrb.pretrain.suite import Suite

SUITES = {suite.name: suite for suite in (GRIDS, ROBOTS)}


def suite_of(name: str) -> Suite:
    """The suite of this name.

    Raises:
        ConfigError: there is no such suite.
    """
    if name not in SUITES:
        raise ConfigError(f"pretrain: unknown suite {name!r}; available: {', '.join(SUITES)}")
    return SUITES[name]
