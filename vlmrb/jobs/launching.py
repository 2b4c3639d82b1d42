"""Fills the queue with new runs and runs to resume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlmrb import branching
from vlmrb.config import TrainConfig
from vlmrb.creation import CheckedRun, Tried, check_run, with_fitting_scorer, with_places, write_run
from vlmrb.errors import CheckpointError, ConfigError, RunBusyError, VlmrbError
from vlmrb.jobs.dispatching import dispatch
from vlmrb.jobs.launchers import default_destination, ready
from vlmrb.panels import with_members
from vlmrb.store import Store
from vlmrb.store.runs import default_name
from vlmrb.types import LIVE, Destination

MAX_RUNS = 500
"""Maximum number of runs per launch."""


def launch(
    store: Store,
    configs: Sequence[TrainConfig],
    *,
    names: Sequence[str] | None = None,
    set_name: str = "",
    tags: Iterable[str] = (),
    tags_of: Sequence[Iterable[str]] | None = None,
    destination: Destination | None = None,
) -> list[int]:
    """Train in the background: check all runs, write and queue them in order, then start as many as the limit allows.

    Args:
        store: where the runs are stored.
        configs: one per run.
        names: for people, one per run; None builds them from the settings, including those that differ.
        set_name: name of this matched set of runs.
        tags: added to every run.
        tags_of: further tags, for each run its own.
        destination: where they train; None for the store's setting.

    Returns:
        The ids of the runs.

    Raises:
        ConfigError: no runs, or too many.
        VlmrbError: a run cannot start; the message says which. Nothing has been written.
    """
    if not 0 < len(configs) <= MAX_RUNS:
        raise ConfigError(f"launch: got {len(configs)} runs; allowed: 1 to {MAX_RUNS}")
    assert names is None or len(names) == len(configs), (names, len(configs))
    checked = with_places(check_all(configs), store)
    chosen = [[*tags, *own] for own in tags_of or [()] * len(configs)]
    with ready(store, destination or default_destination(store), [config.env for config in configs]) as where:
        run_ids = [
            write_run(run, store=store, name=name, set_name=set_name, tags=own)
            for run, name, own in zip(checked, names or default_names(configs), chosen, strict=True)
        ]
        store.enqueue_jobs("train", run_ids, where)
    dispatch(store)
    return run_ids


def default_names(configs: Sequence[TrainConfig]) -> list[str]:
    """A name for each run; equal names get the settings that differ appended, such as 'lambda_max=0.1'."""
    settings = [config.model_dump() for config in configs]
    names = [default_name(each) for each in settings]
    alike: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for name, each in zip(names, settings, strict=True):
        alike[name].append(each)
    return [" ".join([name, *_apart(each, alike[name])]) for name, each in zip(names, settings, strict=True)]


def _apart(settings: dict[str, Any], others: list[dict[str, Any]]) -> list[str]:
    different = (name for name, value in settings.items() if any(other[name] != value for other in others))
    return [f"{name}={'none' if settings[name] is None else settings[name]}" for name in different]


def check_all(configs: Sequence[TrainConfig], tried: Tried | None = None) -> list[CheckedRun]:
    """Check each distinct run once: seeds of the same run share a check, and runs of the same environment its trial.

    Args:
        configs: one per run.
        tried: the environments that need no trial; those of the runs are added.

    Raises:
        VlmrbError: a run cannot start; the message says which, and its cause is the message of the check.
    """
    found: dict[str, CheckedRun] = {}
    tried = {} if tried is None else tried
    runs = []
    for number, config in enumerate(configs, 1):
        config = _with_scorer_from_anywhere(config)
        apart_from_seed = config.model_copy(update={"seed": 0}).model_dump_json()
        try:
            if apart_from_seed not in found:
                found[apart_from_seed] = check_run(config, tried)
        except VlmrbError as error:
            raise type(error)(f"run {number} of {len(configs)} ({config.replay}, seed {config.seed}): {error}") from error
        runs.append(found[apart_from_seed].with_seed(config.seed))
    return runs


def as_made(config: TrainConfig, render_spec: Mapping[str, Any]) -> TrainConfig:
    """The settings that a run of `config` whose frames are drawn like this has in the store; nothing is checked or tried."""
    return with_fitting_scorer(_with_scorer_from_anywhere(config), dict(render_spec))


def _with_scorer_from_anywhere(config: TrainConfig) -> TrainConfig:
    return config if config.scorer is None else config.model_copy(update={"scorer": from_anywhere(config.scorer)})


def from_anywhere(scorer: str) -> str:
    """The scorer with its model folders as absolute paths, for a process that may start in another folder."""
    return with_members(scorer, lambda member: replace(member, scorer=_from_anywhere(member.scorer)))


def _from_anywhere(scorer: str) -> str:
    kind, _, place = scorer.partition(":")
    return f"hf:{Path(place).absolute()}" if kind == "hf" and place and Path(place).is_dir() else scorer


def branch(
    store: Store,
    run_id: int,
    at: str | int,
    changes: Sequence[Mapping[str, Any]],
    seeds: Sequence[int] = (0,),
    *,
    steps: int | None = None,
    set_name: str = "",
    tags: Iterable[str] = (),
    destination: Destination | None = None,
) -> list[int]:
    """Train branches of a run in the background; arguments, result and errors as in `vlmrb.branching.branch` and `launch`."""
    places = [
        {name: from_anywhere(value) if name == "scorer" and value else value for name, value in change.items()}
        for change in changes
    ]
    with ready(store, destination or default_destination(store), [store.run(run_id).env]) as where:
        run_ids = branching.branch(store, run_id, at, places, seeds, steps=steps, set_name=set_name, tags=tags)
        store.enqueue_jobs("train", run_ids, where)
    dispatch(store)
    return run_ids


def resume(store: Store, run_id: int, destination: Destination | None = None) -> int:
    """Queue a run that was stopped, was interrupted, failed or never started; returns the job's id.

    Args:
        store: where it is.
        run_id: the run.
        destination: where it trains; None for where it trained last.

    Raises:
        LauncherError: it cannot train there.
        NotFoundError: there is no such run.
        CheckpointError: it is finished.
        RunBusyError: it is live or already queued.
    """
    run = store.run(run_id)
    if run.status == "finished":
        raise CheckpointError(f"run {run_id} finished at step {run.step}; launch a new one")
    if run.status in LIVE:
        raise RunBusyError(f"run {run_id} is {run.status} in process {run.pid}")
    last = store.job_of("train", run_id)
    destination = destination or (default_destination(store) if last is None else Destination(last.launcher, last.resources))
    with ready(store, destination, [run.env]) as where:
        (job_id,) = store.enqueue_jobs("train", [run_id], where)
    dispatch(store)
    return job_id
