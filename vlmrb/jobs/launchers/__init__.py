"""Launchers: who starts the process of a job, and where. Each is one module with a class that has four functions.

`local` starts processes on this machine; `ray` hands jobs to a Ray cluster. The store knows a launcher by its name, such as
'local' or 'ray:10.0.0.5:6379', and what it gave out as a handle, which nobody else reads.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from vlmrb.errors import ConfigError, shown
from vlmrb.jobs.launchers.local import LocalLauncher
from vlmrb.store import Store
from vlmrb.types import LOCAL, Destination, Job

LAUNCHER_SETTING = "launcher"
SET_LIMITS_SETTING = "set_limits"
MAX_AMOUNT = 10_000


class Launcher(Protocol):
    """Starts the processes of jobs."""

    def submit(self, store: Store, job: Job) -> str:
        """Start the job's process, now or as soon as its resources are free; returns the handle.

        Raises:
            OSError, VlmrbError: it will not be started.
        """

    def cancel(self, job: Job) -> None:
        """End the job's process at once, if there is one."""

    def state(self, job: Job) -> str:
        """What has become of the job's process, in words; 'gone' if there is none any more."""

    def log(self, store: Store, job: Job, max_bytes: int) -> str:
        """The end of the job's log; '' if there is none yet."""


def launcher_of(job: Job) -> Launcher:
    """The launcher that a job belongs to."""
    if job.launcher == LOCAL:
        return LocalLauncher()
    from vlmrb.jobs.launchers.ray import RayLauncher

    return RayLauncher(job.launcher)


def default_destination(store: Store) -> Destination:
    """Where jobs run unless somebody says otherwise: the stored setting, or this machine."""
    chosen = store.setting(LAUNCHER_SETTING)
    return destination(chosen if isinstance(chosen, str) else LOCAL)


def set_default_destination(store: Store, on: str) -> None:
    """Change where jobs run unless somebody says otherwise.

    Raises:
        ConfigError: there is no such launcher.
    """
    store.set_setting(LAUNCHER_SETTING, destination(on).launcher)


def known_destinations(store: Store) -> list[str]:
    """Where jobs can run as far as is known here: the store's setting first; 'ray' if it is installed."""
    installed = [LOCAL, "ray"] if importlib.util.find_spec("ray") else [LOCAL]
    return list(dict.fromkeys([default_destination(store).launcher, *installed]))


def destination(on: str, *, cpus: float | None = None, gpus: float | None = None, other: Iterable[str] = ()) -> Destination:
    """Where and with what jobs are to run, as people say it.

    Args:
        on: 'local', 'ray', or 'ray:' with the address of a cluster.
        cpus, gpus: how many; parts of one are allowed. Without them, 1 and 0.
        other: resources of the cluster's own, such as 'licence=1'.

    Raises:
        ConfigError: there is no such launcher, or an amount is out of range.
    """
    kind, _, address = on.partition(":")
    if kind not in (LOCAL, "ray") or (kind == LOCAL and address) or address.startswith("//"):
        raise ConfigError(f"on: got {shown(on)}; allowed: local, ray, or ray:HOST:PORT of a cluster's head")
    asked = {"cpus": cpus, "gpus": gpus} | dict(map(_resource, other))
    given = {name: _amount(name, value) for name, value in asked.items() if value is not None}
    if kind == LOCAL:
        if given:
            raise ConfigError(
                f"{', '.join(given)}: resources are for --on ray; here, as many runs train at once as 'jobs --limit-at' says"
            )
        return Destination()
    return Destination(on, {"cpus": 1.0} | given)


def _resource(words: str) -> tuple[str, str]:
    name, found, amount = words.partition("=")
    if not found or not name.strip() or name.strip() in ("cpus", "gpus", "CPU", "GPU"):
        raise ConfigError(f"resource: got {shown(words)}; allowed: NAME=AMOUNT of one of the cluster's own, such as licence=1")
    return name.strip(), amount


def _amount(name: str, value: float | str) -> float:
    try:
        amount = float(value)
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= MAX_AMOUNT:
        raise ConfigError(f"{name}: got {shown(value)}; allowed: a number from 0 to {MAX_AMOUNT:,}, such as 1 or 0.2")
    return amount


@contextmanager
def ready(store: Store, chosen: Destination, envs: Iterable[str]) -> Iterator[Destination]:
    """See whether jobs can run there; yields the destination to write into them, and then sees that they are started.

    Args:
        store: the jobs'.
        chosen: where they are to run.
        envs: the environments of their runs.

    Raises:
        LauncherError: they cannot. Raised before anything is written.
    """
    if chosen.is_local:
        yield chosen
        return
    from vlmrb.jobs.launchers.ray_cluster import connected

    with connected(store, chosen, set(envs)) as launcher:
        yield replace(chosen, launcher=launcher)


def set_limits(store: Store) -> dict[str, int]:
    """How many runs of a set may train at once, by the set's name; others have no such limit."""
    stored = store.setting(SET_LIMITS_SETTING)
    return stored if isinstance(stored, dict) else {}


def set_limit_of(store: Store, set_name: str, limit: int) -> None:
    """Change how many runs of a set may train at once; 0 removes the limit.

    Raises:
        ConfigError: the name is empty, or the limit is out of range.
    """
    if not set_name.strip() or not 0 <= limit <= MAX_AMOUNT:
        raise ConfigError(
            f"limit of a set: got {shown(set_name)}={limit}; allowed: a set's name, and a number from 0 (none) to {MAX_AMOUNT:,}"
        )
    limits: Mapping[str, int] = set_limits(store) | {set_name: limit}
    store.set_setting(SET_LIMITS_SETTING, {name: each for name, each in limits.items() if each})
