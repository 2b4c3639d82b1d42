"""Actions on runs that pages offer: pause, stop, resume, rename, tag, delete. Each is one call to the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.checks import a_choice, a_text, an_id, ids
from app.studio import Studio
from vlmrb import jobs
from vlmrb.errors import ConfigError, NotFoundError, VlmrbError
from vlmrb.store import Store
from vlmrb.types import LIVE, Job, RunSummary

ACTIONS: dict[str, Callable[[Store, int], Any]] = {
    "pause": jobs.pause,
    "continue": jobs.unpause,
    "stop": jobs.stop,
    "cancel": jobs.cancel,
    "resume": jobs.resume,
    "delete": jobs.delete_run,
}
MAX_NAME = 200
MAX_TAGS_TEXT = 1_000

ServerFunction = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an action on several runs: the ids it succeeded for, and why it failed for the others."""

    done: list[int]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Loss:
    """What deleting runs would remove."""

    runs: int
    live: int
    clips: int
    folder_bytes: int


def run_actions(studio: Studio) -> tuple[ServerFunction, ...]:
    """The functions that the scripts of the run pages call."""
    store = studio.store

    def act(request: dict[str, Any]) -> Outcome:
        """Perform one of ACTIONS on the runs `ids`."""
        action = a_choice(request, "action", ACTIONS)
        if action is None:
            raise ConfigError(f"action: missing; allowed: {', '.join(ACTIONS)}")
        return act_on(store, action, ids(request, "ids"))

    def rename(request: dict[str, Any]) -> str:
        """Rename the run; returns the stored name."""
        return rename_run(store, an_id(request, "run"), a_text(request, "name", MAX_NAME))

    def tag(request: dict[str, Any]) -> Outcome:
        """Add tags to and remove tags from the runs `ids`; both are comma-separated."""
        added, removed = (split_tags(a_text(request, name, MAX_TAGS_TEXT)) for name in ("add", "remove"))
        return tag_runs(store, ids(request, "ids"), added, removed)

    def loss(request: dict[str, Any]) -> Loss:
        """What deleting the runs `ids` would remove."""
        return loss_of(store, ids(request, "ids"))

    return act, rename, tag, loss


def act_on(store: Store, action: str, run_ids: Iterable[int]) -> Outcome:
    """Perform one of ACTIONS on each run; a failure for one run does not affect the others."""
    return _each(run_ids, lambda run_id: ACTIONS[action](store, run_id))


def rename_run(store: Store, run_id: int, name: str) -> str:
    """Rename a run; returns the stored name.

    Raises:
        ConfigError: the name is blank.
        NotFoundError: there is no such run.
    """
    if not name.strip():
        raise ConfigError("name: empty; give at least one character")
    store.rename_run(run_id, name.strip())
    return store.run(run_id).name


def tag_runs(store: Store, run_ids: Iterable[int], added: list[str], removed: list[str]) -> Outcome:
    """Add tags to and remove tags from several runs; their other tags stay."""
    return _each(run_ids, lambda run_id: store.change_tags(run_id, add=added, remove=removed))


def _each(run_ids: Iterable[int], change: Callable[[int], Any]) -> Outcome:
    done, problems = [], []
    for run_id in run_ids:
        try:
            change(run_id)
            done.append(run_id)
        except VlmrbError as error:
            problems.append(f"run {run_id}: {error}")
    return Outcome(done, problems)


def split_tags(text: str) -> list[str]:
    """'a, b,,a' → ['a', 'b']."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def loss_of(store: Store, run_ids: Iterable[int]) -> Loss:
    """What deleting these runs would remove.

    Raises:
        NotFoundError: none of them exists.
    """
    runs = store.runs(run_ids=run_ids)
    if not runs:
        raise NotFoundError("these runs no longer exist; they may have been deleted")
    clips = sum(store.count_clips(run.run_id) for run in runs)
    size = sum(_size(store.folder_of_run(run.run_id)) for run in runs)
    return Loss(len(runs), sum(run.status in LIVE for run in runs), clips, size)


def _size(folder: Path) -> int:
    """Total size of the files in a folder, in bytes; 0 if it does not exist."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size if path.is_file() else 0
        except OSError:  # deleted in the meantime
            continue
    return size


def jobs_of_idle(store: Store, runs: Iterable[RunSummary]) -> dict[int, Job]:
    """The newest job of each run that has not started."""
    idle = {run.run_id for run in runs if run.status in ("created", "queued")}
    if not idle:
        return {}
    oldest_first = reversed(store.jobs())
    return {job.target_id: job for job in oldest_first if job.kind == "train" and job.target_id in idle}
