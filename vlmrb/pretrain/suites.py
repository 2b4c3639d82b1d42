"""The kinds of worlds that the embedded models learn about, by name."""

from __future__ import annotations

from vlmrb.errors import ConfigError
from vlmrb.pretrain.grids.suite import GRIDS
from vlmrb.pretrain.robots.suite import ROBOTS
from vlmrb.pretrain.suite import Suite

SUITES = {suite.name: suite for suite in (GRIDS, ROBOTS)}


def suite_of(name: str) -> Suite:
    """The suite of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SUITES:
        raise ConfigError(f"pretrain: there is no suite {name!r}; there are {', '.join(SUITES)}")
    return SUITES[name]
