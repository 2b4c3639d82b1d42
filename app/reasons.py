"""Why labels help runs to learn, or cannot: in words, and as curves of what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from app.colors import stored_tokens
from app.live_changes import ChangeMark, change_marks
from vlmrb.analysis.agreement import auc
from vlmrb.analysis.comparison import Task, method_of
from vlmrb.analysis.phases import FIFTH
from vlmrb.analysis.stats import on_common_steps
from vlmrb.analysis.why import Curve, Labels, why
from vlmrb.config import defaults_of_run
from vlmrb.replay.registry import replay_methods
from vlmrb.retention import retention_of
from vlmrb.store import Store
from vlmrb.types import DRAWN_AGES, IMPORTED, LIVE, RunSummary

NEWEST = 1_000
"""Clips whose labels are compared with events."""

POINTS = 60
"""Most steps of a curve."""

_YES, _EVENTS, _SHARE = "scoring/yes_rate", "scoring/event_rate", "replay/vlm_share"
_DRAWN, _HELD, _LOSS = "replay/drawn_yes", "replay/held_yes", "train/td_loss"

Points = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Steps and values."""


@dataclass(frozen=True, slots=True)
class ReasonCurve:
    """The mean over a method's runs. `dashed`: what the title says is dashed."""

    label: str
    token: str
    dashed: bool
    run_ids: tuple[int, ...]
    steps: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReasonChart:
    """Curves over the steps that all charts of a task share. `share`: fractions, shown as percentages."""

    title: str
    share: bool
    curves: tuple[ReasonCurve, ...]


@dataclass(frozen=True, slots=True)
class RunReasons:
    """What explains one run, one sentence per reason."""

    run_id: int
    label: str
    token: str
    seed: int
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BranchMark:
    """A step of a run at which branches start, and how many."""

    run_id: int
    step: int
    branches: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why runs of one task differ. `branched`: steps count from where they branched off, also those of the marks."""

    title: str
    branched: bool
    runs: tuple[RunReasons, ...]
    charts: tuple[ReasonChart, ...]
    changes: tuple[ChangeMark, ...]
    branches: tuple[BranchMark, ...]


def explain(store: Store, run_ids: Sequence[int]) -> list[Explanation]:
    """What explains the differences between runs, task by task; nothing for tasks in which no run replays by labels."""
    tasks: dict[Task, list[RunSummary]] = {}
    for run in reversed(store.runs(run_ids=run_ids)):
        tasks.setdefault(method_of(run).task, []).append(run)
    tokens = stored_tokens(store)
    found = []
    for task, runs in tasks.items():
        said = [(run, reasons_of(store, run.run_id)) for run in runs]
        reasons = [_reasons_of_run(run, sentences, tokens) for run, sentences in said if sentences]
        if reasons:
            charts, (changes, branches) = _charts(store, runs, tokens), _marks(store, runs)
            found.append(Explanation(str(task), bool(task.branched), tuple(reasons), charts, changes, branches))
    return found


def _marks(store: Store, runs: Sequence[RunSummary]) -> tuple[tuple[ChangeMark, ...], tuple[BranchMark, ...]]:
    """What to mark on the time axis of runs of one task: their live changes, and where branches of theirs start."""
    starts = {run.run_id: run.parent_step or 0 for run in runs}
    changes = [replace(mark, step=mark.step - starts[mark.run_id]) for mark in change_marks(store, list(starts))]
    places = groupby(store.branch_places(starts))
    branches = [BranchMark(parent, step - starts[parent], len(list(same))) for (parent, step), same in places]
    return tuple(changes), tuple(branches)


def _reasons_of_run(run: RunSummary, sentences: list[str], tokens: Mapping[str, str]) -> RunReasons:
    label = method_of(run).label
    return RunReasons(run.run_id, label, tokens.get(label, "method-other"), run.seed, tuple(sentences))


def _charts(store: Store, runs: Sequence[RunSummary], tokens: Mapping[str, str]) -> tuple[ReasonChart, ...]:
    """The charts that have something to show."""
    names = (_YES, _EVENTS, _SHARE, _DRAWN, _HELD, _LOSS, DRAWN_AGES[0], DRAWN_AGES[-1])
    stored = store.curves([run.run_id for run in runs], names)

    def one(name: str, run: RunSummary) -> Points:
        steps, values = stored[run.run_id, name]
        return steps - (run.parent_step or 0.0), values

    def enrichment(run: RunSummary) -> Points:
        (steps, drawn), (at, held) = one(_DRAWN, run), one(_HELD, run)
        shared, mine, other = np.intersect1d(steps, at, return_indices=True)
        known = held[other] > 0
        return shared[known], drawn[mine][known] / held[other][known]

    methods: dict[str, list[RunSummary]] = {}
    for run in runs:
        methods.setdefault(method_of(run).label, []).append(run)

    def curves(read: Callable[[RunSummary], Points], dashed: bool = False) -> list[ReasonCurve]:
        drawn = []
        for label, members in methods.items():
            known = [(run.run_id, *points) for run in members if len((points := read(run))[0])]
            if known:
                ids, token = tuple(run_id for run_id, *_ in known), tokens.get(label, "method-other")
                drawn.append(ReasonCurve(label, token, dashed, ids, *_mean([(steps, values) for _, steps, values in known])))
        return drawn

    progress = store.drawn_progress([run.run_id for run in runs])

    def of_progress(at: int, run: RunSummary) -> Points:
        if run.run_id not in progress or not any(shares.any() for _, *both in progress.values() for shares in both):
            return np.empty(0), np.empty(0)  # no record, or a simulator that reports no progress
        return progress[run.run_id][0] - (run.parent_step or 0.0), progress[run.run_id][at]

    charts = (
        ReasonChart("New clips: share labelled yes; dashed: with progress", True,
                    (*curves(partial(one, _YES)), *curves(partial(one, _EVENTS), dashed=True))),
        ReasonChart("Enrichment: share of yes in batches over that in the buffer", False, tuple(curves(enrichment))),
        ReasonChart("Share of each batch that labels choose", True, tuple(curves(partial(one, _SHARE)))),
        ReasonChart("Share of batches from clips with progress; dashed: of the buffer", True,
                    (*curves(partial(of_progress, 1)), *curves(partial(of_progress, 2), dashed=True))),
        ReasonChart("Share of batches: newest quarter of the buffer; dashed: oldest", True,
                    (*curves(partial(one, DRAWN_AGES[0])), *curves(partial(one, DRAWN_AGES[-1]), dashed=True))),
        ReasonChart("TD loss of what is drawn", False, tuple(curves(partial(one, _LOSS)))),
    )  # fmt: skip
    return tuple(chart for chart in charts if chart.curves)


def _mean(curves: Sequence[Points]) -> Points:
    """The mean of the runs that are known at a step, at steps that they share."""
    values: dict[float, list[float]] = {}
    for steps, run in on_common_steps(curves, POINTS):
        for step, value in zip(steps, run, strict=True):
            if np.isfinite(value):
                values.setdefault(step, []).append(value)
    shared = sorted(values)
    return np.array(shared), np.array([np.mean(values[step]) for step in shared])


def reasons_of(store: Store, run_id: int) -> list[str]:
    """One sentence per reason, causes first; none if the run's replay reads no labels.

    Raises:
        NotFoundError: there is no such run.
    """
    run = store.run(run_id)
    settings = defaults_of_run(run.config) | run.config
    method = replay_methods().get(run.replay)
    if run.scorer is None or method is None or not method.mixes or IMPORTED in run.config:
        return []
    stored = store.curves([run_id], (_YES, _SHARE, _DRAWN, _HELD, *DRAWN_AGES))
    curves = {name: Curve(*curve) for (_, name), curve in stored.items() if len(curve[0])}
    found = store.early_successes({run_id: int(settings["play_steps"])}, (1, FIFTH))[run_id]
    successes = [step for step in found if step is not None] if run.parent_id is None else [0, 0]
    answers = store.newest_answers(run_id, NEWEST)
    agreement = None
    if retention_of(run.config).kind != "yes" or run.status in LIVE:  # else only those labelled yes are left
        agreement = auc([probability for probability, _ in answers], [progress for _, progress in answers])
    return why(run.step, curves, Labels(agreement, len(answers)), successes, str(settings["base"]))
