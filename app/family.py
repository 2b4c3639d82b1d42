"""A run among its relatives: what it branched off from, its siblings and its branches, and where it can be branched off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.branch_form import Point, points_of
from app.colors import method_tokens
from app.run_actions import jobs_of_idle
from app.run_rows import RunRow, as_words, run_rows
from vlmrb.analysis.comparison import method_of
from vlmrb.config import defaults_for, defaults_of_run, unread_settings
from vlmrb.errors import CheckpointError, NotFoundError
from vlmrb.replay.registry import replay_methods
from vlmrb.store import Store
from vlmrb.types import SUCCESS, RunSummary

_NO_CHANGE = {"replay", "base", "scorer", "seed", "total_steps", "schedule_steps", "keep_checkpoints", "checkpoints"}
"""Settings that the method's label says, or that decide only how long a run is and what it keeps."""


@dataclass(frozen=True, slots=True)
class Altered:
    """A setting in which a branch differs from its parent, with both values as text; '' is the replay method."""

    name: str
    value: str
    before: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a branch comes from.

    Attributes:
        name: the parent's; None if it has been deleted.
        moment: 'first-success', 'fifth-success' or 'step'.
        altered: empty if the parent has been deleted.
        siblings: ids of all branches of the parent at that step, this one among them.
    """

    parent_id: int
    name: str | None
    step: int
    moment: str
    continuation_seed: int
    altered: list[Altered]
    siblings: list[int]


@dataclass(frozen=True, slots=True)
class Family:
    """What a run's page shows besides the run itself.

    Attributes:
        origin: None if it is no branch.
        relatives: its ancestors, the run itself, its siblings, and its descendants, oldest first; a run without any is alone.
        colors: colour tokens of their methods.
        points: checkpoints that it can be branched off at.
        trouble: why these cannot be read, or ''.
        first_success, fifth_success: steps of successful training episodes; None: none so far, or it is a branch.
        to_50, to_90: steps from the fifth success, in a branch from its parent step, to 50 and 90 % evaluated success.
    """

    origin: Origin | None
    relatives: list[RunRow]
    colors: dict[str, str]
    points: list[Point]
    trouble: str
    first_success: int | None
    fifth_success: int | None
    to_50: int | None
    to_90: int | None


def family_of(store: Store, run_id: int) -> Family:
    """A run's relatives.

    Raises:
        NotFoundError: there is no such run.
    """
    runs = {run.run_id: run for run in store.runs()}
    if run_id not in runs:
        raise NotFoundError(f"there is no run {run_id}; it may have been deleted")
    items = store.run_list(run_ids=relatives_of(run_id, runs))[::-1]
    relatives = run_rows(items, jobs_of_idle(store, [item.run for item in items]))
    tokens = method_tokens(method_of(run).label for run in runs.values())  # of all runs, for the same colours as on other pages
    points, trouble = list[Point](), ""
    try:
        points = points_of(store, run_id)
    except CheckpointError as error:
        trouble = str(error)
    phases = store.measured_runs([run_id], SUCCESS)[0].phases
    return Family(
        origin=_origin(runs[run_id], runs),
        relatives=relatives,
        colors={row.method: tokens[row.method] for row in relatives},
        points=points,
        trouble=trouble,
        first_success=phases.first_success if phases else None,
        fifth_success=phases.fifth_success if phases else None,
        to_50=phases.to_50 if phases else None,
        to_90=phases.to_90 if phases else None,
    )


def relatives_of(run_id: int, runs: Mapping[int, RunSummary]) -> set[int]:
    """Ids of a run's ancestors, siblings and descendants that are in the store, and its own; `runs` by id."""
    children: dict[int, list[int]] = {}
    for run in runs.values():
        if run.parent_id is not None:
            children.setdefault(run.parent_id, []).append(run.run_id)
    descendants, found = [run_id], {run_id}
    while descendants:
        new = [each for each in children.get(descendants.pop(), ()) if each not in found]
        descendants, found = descendants + new, found | set(new)
    run = runs[run_id]
    found |= {each for each in children.get(run.parent_id or 0, ()) if runs[each].parent_step == run.parent_step}
    ancestor = run.parent_id
    while ancestor is not None and ancestor in runs and ancestor not in found:
        found.add(ancestor)
        ancestor = runs[ancestor].parent_id
    return found


def _origin(run: RunSummary, runs: Mapping[int, RunSummary]) -> Origin | None:
    lineage = run.lineage
    if lineage is None:
        return None
    parent = runs.get(lineage.parent_id)
    place = (lineage.parent_id, lineage.parent_step)
    return Origin(
        parent_id=lineage.parent_id,
        name=None if parent is None else parent.name,
        step=lineage.parent_step,
        moment=lineage.parent_moment,
        continuation_seed=lineage.continuation_seed,
        altered=[] if parent is None else altered(run, parent),
        siblings=sorted(each.run_id for each in runs.values() if (each.parent_id, each.parent_step) == place),
    )


def altered(run: RunSummary, parent: RunSummary) -> list[Altered]:
    """What a branch does otherwise than its parent: the method first, then settings that are not just the method's defaults."""
    mine, before = (defaults_of_run(each.config) | each.config for each in (run, parent))
    label, label_before = (method_of(each).label for each in (run, parent))
    found = [Altered("", label, label_before)] if label != label_before else []
    unsaid = _NO_CHANGE | (_said_by(run) if found else set())
    usual: dict[str, Any] = {}  # what settings of replay methods are after a change of the method
    if (run.replay, mine["base"]) != (parent.replay, before["base"]):
        of_methods = {name for method in replay_methods().values() for name in method.settings}
        defaults = defaults_for(run.algo, run.replay, mine["base"])
        usual = {name: value for name, value in defaults.items() if name in of_methods}
    for name, value in mine.items():
        if name not in unsaid and value != before.get(name) and value != usual.get(name, before.get(name)):
            found.append(Altered(name, as_words(value), as_words(before.get(name))))
    return found


def _said_by(run: RunSummary) -> set[str]:
    """Settings that need no words besides the method's label."""
    method = replay_methods().get(run.replay)
    if method is None:
        return set()
    unread = unread_settings(run.replay, str(run.config.get("base", "uniform")), run.config.get("her"))
    return {"her", *method.variants, *unread}
