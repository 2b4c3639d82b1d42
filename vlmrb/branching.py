"""Branches: runs that continue another run's checkpoint with other settings. Every check happens before a row is written.

A branch has everything that its parent had learned: networks, optimiser, buffer, generators. Its steps are numbered on from
the parent's, its schedules go on as the parent's would have (`schedule_steps`), and its environments begin new episodes, as
those of a resumed run do. `vlmrb.train.takeover` is how it starts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vlmrb.config import TrainConfig, defaults_for, make_config, unread_settings
from vlmrb.creation import CheckedRun, Tried, check_run, with_places, write_run
from vlmrb.errors import CheckpointError, ConfigError
from vlmrb.kept import kept_checkpoints
from vlmrb.moments import EVERY, SUCCESSES
from vlmrb.places import PARENT, RESUME, Found, place_of
from vlmrb.replay.registry import replay_methods
from vlmrb.store import Store
from vlmrb.store.runs import default_name
from vlmrb.types import Lineage, RunSummary

MAX_BRANCHES = 500
"""Maximum number of branches at a time."""

_TASK = "the buffer and the networks were made for the parent's task"
_NETWORKS = "it is part of the networks, which the branch takes over"
_BUFFER = "it decides where items lie in the buffer, which the branch takes over"
_SUCCESS = "a success has to mean the same before and after"
_START = "it concerns the start of the run, which is over"

FIXED: Mapping[str, str] = {
    "env": _TASK,
    "observation": _TASK,
    "success_return": _SUCCESS,
    "success_step": _SUCCESS,
    "visuals": "the parent's clips are stored as it drew them",
    "transcript": "the parent's clips are stored as pictures or text, as it made them",
    "n_envs": _BUFFER,
    "buffer_size": _BUFFER,
    "algo": _NETWORKS,
    "hidden_size": _NETWORKS,
    "dueling": _NETWORKS,
    "layer_norm": _NETWORKS,
    "learning_rate": "the optimiser, which the branch takes over, has its own",
    "learning_starts": _START,
    "play_steps": _START,
    "seed": "the parent's goes on; give continuation seeds to get several branches that differ in nothing else (--seeds)",
}
"""Settings that a branch has in common with its parent, and why."""


@dataclass(frozen=True, slots=True)
class BranchPoint:
    """A checkpoint that a branch can start from.

    Attributes:
        moment: 'first-success', 'fifth-success', or 'step' for any other.
        step: of the run.
        size: bytes of its files.
        kept: whether it stays; others give way to newer ones while the run trains.
        path: its folder or URL.
    """

    moment: str
    step: int
    size: int
    kept: bool
    path: str


def branch_points(store: Store, run_id: int) -> list[BranchPoint]:
    """Where a run can be branched off: its kept checkpoints, then those that it resumes from, each by step.

    Raises:
        NotFoundError: there is no such run.
        CheckpointError: they cannot be read.
    """
    return [point for point, _ in _points(store, store.run(run_id))]


def _points(store: Store, run: RunSummary) -> list[tuple[BranchPoint, Found]]:
    place = place_of(store, run)
    found = [(each.moment if each.moment != EVERY else "step", True, each.found) for each in kept_checkpoints(place)]
    found += [("step", False, each) for each in reversed(place.checkpoints(RESUME)) if each.step > 0 and each.has_buffer]
    return [(BranchPoint(moment, each.step, each.size, kept, each.path), each) for moment, kept, each in found]


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
) -> list[int]:
    """Write the rows of branches and give each the checkpoint that it starts from; the caller queues them.

    Args:
        store: where the parent is and the branches go.
        run_id: the parent; it may be training.
        at: a step that it has a checkpoint of, 'first-success' or 'fifth-success'.
        changes: for each branch, the settings that differ from the parent's; {} for none. Settings that a new replay method
            does not share with the parent's get its defaults, and `keep_checkpoints` is not inherited.
        seeds: continuation seeds, for each change: 0 keeps the parent's generators; any other seeds exploration and sampling
            anew, alike in all branches.
        steps: train for so many steps more; None to end where the parent does, unless a change has `total_steps`.
        set_name, tags: as for `Store.create_run`.

    Returns:
        The ids of the branches, ordered by seed, then by change.

    Raises:
        NotFoundError: there is no such run.
        CheckpointError: it has no such checkpoint; the message names those that it has.
        ConfigError: a setting is wrong or cannot change.
        VlmrbError: a branch cannot start here.
    """
    parent = store.run(run_id)
    _check_seeds(seeds)
    if not 0 < len(changes) * len(seeds) <= MAX_BRANCHES:
        raise ConfigError(f"branch: got {len(changes) * len(seeds)} branches; allowed: 1 to {MAX_BRANCHES}")
    point, found = _find(_points(store, parent), parent, at)
    config = make_config(**parent.config)
    tried: Tried = {}
    checked = [check_run(_changed(config, dict(change), point.step, steps), tried) for change in changes]
    checked = with_places(checked, store)
    for run in checked:
        hindsight = run.config.hindsight
        if hindsight is not None and not hindsight.in_words and not found.has_goals:
            raise ConfigError(
                f"her: got {run.config.her!r}, but the checkpoint of run {run_id} at step {point.step} holds no goals that were "
                "achieved: a version wrote it that kept none. Set her to off, or start a new run"
            )
    if len({run.config.model_dump_json() for run in checked}) < len(checked):
        raise ConfigError("branch: two of the branches are the same; change a setting of one, or give each seed once")
    chosen, run_ids = list(tags), list[int]()
    try:
        for seed in seeds:
            for run in checked:
                lineage = Lineage(run_id, point.step, point.moment, seed)
                name = _name(parent, config, run.config, lineage)
                run_ids.append(_write(store, run, lineage, found, name=name, set_name=set_name, tags=chosen))
    except BaseException:
        for written in run_ids:
            _remove(store, written)
        raise
    return run_ids


def _write(store: Store, run: CheckedRun, lineage: Lineage, found: Found, **words: Any) -> int:
    run_id = write_run(run, store=store, lineage=lineage, **words)
    try:
        place_of(store, store.run(run_id)).add(PARENT, found)
    except BaseException:
        _remove(store, run_id)
        raise
    return run_id


def _remove(store: Store, run_id: int) -> None:
    with suppress(CheckpointError):
        place_of(store, store.run(run_id)).delete()
    store.delete_run(run_id)
    shutil.rmtree(store.folder_of_run(run_id), ignore_errors=True)


def _check_seeds(seeds: Sequence[int]) -> None:
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds: {', '.join(map(str, seeds))} contains a duplicate; give each continuation seed once")
    if wrong := [seed for seed in seeds if not 0 <= seed < 2**31]:
        raise ConfigError(f"seeds: got {wrong[0]}; allowed: 0 (the parent's generators go on) to {2**31 - 1}")


def _find(points: Sequence[tuple[BranchPoint, Found]], parent: RunSummary, at: str | int) -> tuple[BranchPoint, Found]:
    """The checkpoint of that moment; of a step, the first within one step of all environments."""
    n_envs = int(parent.config.get("n_envs", 1))
    if isinstance(at, str) and at in SUCCESSES:
        found = [each for each in points if each[0].moment == at]
    elif isinstance(at, int):
        found = sorted((each for each in points if 0 <= each[0].step - at < n_envs), key=lambda each: each[0].step)
    else:
        raise ConfigError(f"at: got {at!r}; allowed: a step, {' or '.join(SUCCESSES)}")
    if found and found[0][1].settings():
        return found[0]
    there = ", ".join(dict.fromkeys(f"{p.step}" if p.moment == "step" else f"{p.step} ({p.moment})" for p, _ in points))
    what = (
        "it is damaged, or of a version that saved no settings with it; resume the run once"
        if found
        else (f"it can be branched off at {there}" if there else "it has no checkpoint with a buffer")
    )
    raise CheckpointError(
        f"run {parent.run_id} has no checkpoint to branch off at {at}: {what}. "
        "A run keeps such checkpoints with --keep-checkpoints first-success,fifth-success,every:100000"
    )


def _changed(parent: TrainConfig, change: dict[str, Any], at_step: int, steps: int | None) -> TrainConfig:
    """The configuration of a branch.

    Raises:
        ConfigError: a value is wrong, or a setting cannot change.
    """
    if steps is not None and "total_steps" in change:
        raise ConfigError("branch: give either how many steps more it trains, or total_steps")
    replay = str(change.get("replay", parent.replay))
    both_mix = all(key in replay_methods() and replay_methods()[key].mixes for key in (replay, parent.replay))
    base = str(change.get("base", parent.base if both_mix else "uniform"))
    values = parent.model_dump() | {"keep_checkpoints": ""}
    if (replay, base) != (parent.replay, parent.base) and {replay, base} <= set(replay_methods()):
        values |= _of_method(parent, replay, base, str(change.get("her", parent.her)))
    values |= change | {"replay": replay, "base": base}
    if steps is not None:
        values["total_steps"] = at_step + steps
    config = make_config(**values)
    for name, reason in FIXED.items():
        if getattr(config, name) != getattr(parent, name):
            raise ConfigError(f"{name}: a branch cannot change it: {reason}; start a new run for {getattr(config, name)!r}")
    if config.total_steps <= at_step:
        raise ConfigError(
            f"total_steps: {config.total_steps} is not after step {at_step}, where the branch starts; give more steps"
        )
    if "schedule_steps" not in change and config.horizon != parent.horizon:
        config = config.model_copy(update={"schedule_steps": parent.horizon})  # as if nothing had happened
    return config


def _of_method(parent: TrainConfig, replay: str, base: str, her: str) -> dict[str, Any]:
    """What another replay method's settings are: the parent's where it chose one that the method reads, else the defaults."""
    before, after = defaults_for(parent.algo, parent.replay, parent.base), defaults_for(parent.algo, replay, base)
    unread = unread_settings(replay, base, her)
    read_by_methods = {name for method in replay_methods().values() for name in method.settings} - set(FIXED) - {"base"}
    return {name: after[name] for name in read_by_methods if name in unread or getattr(parent, name) == before[name]}


def _name(parent: RunSummary, before: TrainConfig, config: TrainConfig, lineage: Lineage) -> str:
    """Such as 'DoorKey-8x8 dqn vlm(oracle) s0 lambda_max=0.25 from 3@fifth-success c1'."""
    said = {"replay", "base", "scorer", "total_steps", "schedule_steps", "keep_checkpoints", "checkpoints", "her"}
    mine, usual = config.model_dump(), before.model_dump()
    if (config.replay, config.base) != (before.replay, before.base):
        usual |= _of_method(before, config.replay, config.base, config.her)
    changed = [f"{name}={_word(mine[name])}" for name in mine if name not in said and mine[name] != usual[name]]
    where = lineage.parent_moment if lineage.parent_moment != "step" else str(lineage.parent_step)
    seed = [f"c{lineage.continuation_seed}"] if lineage.continuation_seed else []
    return " ".join([default_name(mine), *changed, f"from {parent.run_id}@{where}", *seed])


def _word(value: Any) -> str:
    words = "none" if value is None else str(value)
    return words if len(words) <= 40 else words[:39] + "…"
