"""Which modules an environment id from a form may import: importing one runs its code in the studio."""

from __future__ import annotations

import functools
import os
from importlib.metadata import entry_points

MODULES_VARIABLE = "VLMRB_STUDIO_MODULES"


def refusal(env_id: str) -> str:
    """Why the form may not import the module of 'module:Id'; '' if it may, or the id has none."""
    module, separator, _ = env_id.rpartition(":")
    if not separator or any(f"{module}.".startswith(f"{name}.") for name in (*_named(), *_installed())):
        return ""
    return (
        f"{env_id[:80]!r} would import the module {module[:60]!r}; the studio only imports modules that you name "
        f"when you start it, such as {MODULES_VARIABLE}=my_envs, or several with commas"
    )


def _named() -> list[str]:
    return [name.strip() for name in os.environ.get(MODULES_VARIABLE, "").split(",") if name.strip()]


@functools.cache
def _installed() -> tuple[str, ...]:
    """The packages that were installed as collections of environments."""
    return ("shimmy", *(each.module.partition(".")[0] for each in entry_points(group="gymnasium.envs")))
