"""Compares methods over seeds: groups runs by method and summarises each group. Pure: records in, records out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmrb.analysis import stats
from vlmrb.analysis.phases import Phases
from vlmrb.config import TrainConfig, defaults_of_run, is_known, replay_ratio, unread_settings
from vlmrb.errors import shown
from vlmrb.panels import reads_prompt, short_scorer
from vlmrb.replay.hindsight import asks_in_words
from vlmrb.replay.registry import replay_methods
from vlmrb.types import LIVE, RunSummary

ENOUGH_SEEDS = 5
"""With fewer seeds, exploration luck can decide, so no claim is made."""

PHASES = {
    "first_success": "first success",
    "fifth_success": "fifth success",
    "first_to_50": "first success to 50 %",
    "first_to_90": "first success to 90 %",
    "to_50": "fifth success to 50 %",
    "to_90": "fifth success to 90 %",
}
"""Times of `Phases` that are summarised, and their names. In branches the last two count from the parent step."""

SHOWN_PHASES = ("first_success", "fifth_success", "to_50", "to_90")
"""Those of PHASES that tables show."""

CONSOLIDATION = "to_50"
"""The time of PHASES that claims about replay are made from."""

MOMENTS = {
    "first-success": "branches from the first success",
    "fifth-success": "branches from the fifth success",
    "step": "branches from a chosen step",
}
"""Where runs branched from others, and how to say so."""

WITHOUT_EFFECT_ON_LEARNING = {
    "seed",
    "device",
    "log_interval",
    "checkpoint_interval",
    "keep_checkpoints",
    "checkpoints",
    "keep_clips",
    "sync_scoring",
    "scoring_batch_size",
    "scoring_queue_size",
    "scorer_device",
    "scorer_dtype",
    "scorer_frames",
    "on_scorer_failure",
}
"""Settings that change nothing about what is learned, apart from luck."""


def phase_name(phase: str, *branched: bool) -> str:
    """The name of one of PHASES in a table of branches (True), of runs from step 0 (False), or of both."""
    start = "fifth success or branch" if len(set(branched)) > 1 else "branch" if any(branched) else "fifth success"
    return PHASES[phase].replace("fifth success", start) if phase.startswith("to_") else PHASES[phase]


class Task(NamedTuple):
    """What methods must share to be compared."""

    env: str
    algo: str
    branched: str = ""  # of MOMENTS; '' for runs that began at step 0

    def __str__(self) -> str:
        return ", ".join([self.env, self.algo, *([MOMENTS.get(self.branched, "branches")] if self.branched else [])])


class Method(NamedTuple):
    """What runs must share to count as seeds of one method."""

    env: str
    algo: str
    label: str  # the replay method and its variant, e.g. 'per' or 'vlm (oracle)'
    branched: str = ""  # as for Task

    @property
    def task(self) -> Task:
        """What it is compared on."""
        return Task(self.env, self.algo, self.branched)

    @property
    def replay(self) -> str:
        """The replay method's key."""
        return self.label.partition(" ")[0]

    @property
    def is_baseline(self) -> bool:
        """Whether other methods are compared with it. True for methods that are no longer installed."""
        method = replay_methods().get(self.replay)
        return method is None or method.baseline


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run and its curve of one metric: int64 `steps`, ascending, and float64 `values` of the same length.

    Attributes:
        edited: λ or the prompt was changed while it ran.
        play_episodes, play_successes: number of episodes of scripted play at the start of the run, and of successful ones.
        phases: when it first succeeded, and how long it took from there; None if unknown.
    """

    run: RunSummary
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    edited: bool = False
    play_episodes: int = 0
    play_successes: int = 0
    phases: Phases | None = None

    @property
    def start(self) -> int:
        """The step that it began at: 0, or the parent step of a branch."""
        return self.run.parent_step or 0

    @property
    def elapsed(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The curve from `start` on: steps counted from there, and values."""
        own = self.steps >= self.start
        return self.steps[own] - self.start, self.values[own]

    @property
    def length(self) -> int:
        """Steps from `start` to the last evaluation; negative without one of its own."""
        return int(self.steps[-1]) - self.start if self.steps.size else -1

    @property
    def replicate(self) -> tuple[int, ...]:
        """What tells the runs of a method apart: the seed, and in branches also the parent and the step."""
        parent_id, parent_step = self.run.parent_id, self.run.parent_step
        return (self.run.seed,) if parent_id is None else (self.run.seed, parent_id, parent_step or 0)


@dataclass(frozen=True, slots=True)
class MethodResult:
    """Results of one method over its seeds.

    Attributes:
        run_ids: the runs, ascending.
        seeds: number of distinct seeds among them; in branches, of distinct pairs of parent and seed.
        at: for each requested step, the interval over the runs that reached it; None if none did. Here and in `reaching`, steps
            of branches count from the parent step.
        reaching: for each requested threshold, the steps needed to reach it.
        area: mean height of the curves over their first `horizon` steps.
        horizon: the number of steps, from 0 or from the parent step, that every run of this task was evaluated for.
        phases: for each of PHASES, the mean over the runs in which that time began, restricted to a horizon that all methods
            of this task share; None if there is no such run.
    """

    method: Method
    run_ids: tuple[int, ...]
    seeds: int
    at: dict[int, stats.Interval | None]
    reaching: dict[float, stats.ThresholdSummary]
    area: stats.Interval
    horizon: int
    phases: dict[str, stats.RestrictedMean | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Consolidation of a method and a baseline: restricted means over a horizon that both share.

    Attributes:
        difference: `method` minus `baseline`, in steps; below 0 if the method is faster.
        seeds: number of distinct seeds on each side among the runs that began to consolidate.
    """

    method: stats.RestrictedMean
    baseline: stats.RestrictedMean
    difference: stats.Interval
    seeds: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Improvement:
    """A method against a baseline. All of it is paired if they have branches of the same runs with the same seeds.

    Attributes:
        probability: that a run of `method` has a larger area under its curve than a run of `baseline`, or than the other run of
            its pair.
        area: area of `method` minus that of `baseline`.
        consolidation: None if on one side no run began to consolidate.
        pairs: number of pairs; 0 if they are not paired.
        parents: number of runs that the pairs branched from.
    """

    method: Method
    baseline: Method
    probability: stats.Interval
    area: stats.Interval | None = None
    consolidation: Contrast | None = None
    pairs: int = 0
    parents: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results, ordered by environment, agent and label; improvements over the baselines; and caveats as `notes`."""

    results: list[MethodResult]
    improvements: list[Improvement]
    notes: list[str] = field(default_factory=list)


def method_of(run: RunSummary) -> Method:
    """The method of a run. Its label includes the scorer, the settings that make a variant of the replay method, and hindsight.

    It leaves out the prompt for scorers that do not read it.
    """
    branched = "" if run.parent_step is None else run.parent_moment or "step"
    defaults = defaults_of_run(run.config)
    config = defaults | run.config
    method = replay_methods().get(run.replay)
    hindsight = [f"her {config['her']}"] if config["her"] != defaults["her"] else []
    if asks_in_words(config["her"]) and run.scorer is not None and (method is None or not method.labels):
        hindsight = [f"{hindsight[0]} by {short_scorer(run.scorer)}"]
    if method is None:
        return Method(run.env, run.algo, _label(run.replay, hindsight), branched)
    unread = {"prompt"} if run.scorer is not None and not reads_prompt(run.scorer) else set()
    details = ["no scorer" if run.scorer is None else short_scorer(run.scorer)] if method.labels else []
    if method.labels and config["transcript"] and reads_prompt(run.scorer):
        details.append(f"text: {shown(config['transcript'], 24, str)}")
    details += [
        in_words(config[name])
        for name, in_words in method.variants.items()
        if config[name] != defaults[name] and name not in unread
    ]
    return Method(run.env, run.algo, _label(run.replay, details + hindsight), branched)


def _label(replay: str, details: Sequence[str]) -> str:
    return f"{replay} ({', '.join(details)})" if details else replay


def by_task(runs: Iterable[MeasuredRun]) -> dict[Task, list[MeasuredRun]]:
    """The runs that can be compared, by task: those with an evaluation, except live ones that have only begun.

    What is compared ends with the shortest run, so a live run counts once it is half as long as the median run of its task.
    """
    tasks: dict[Task, list[MeasuredRun]] = {}
    for measured in runs:
        if measured.length >= 0:
            tasks.setdefault(method_of(measured.run).task, []).append(measured)
    for task, members in tasks.items():
        enough = float(np.median([run.length for run in members])) / 2
        tasks[task] = [run for run in members if run.length >= enough or run.run.status not in LIVE]
    return tasks


def unusual_settings(run: RunSummary) -> dict[str, Any]:
    """Settings of a run that differ from the defaults."""
    defaults = defaults_of_run(run.config)
    config = defaults | run.config
    return {name: config[name] for name in defaults if config[name] != defaults[name]}


def compare(
    runs: Iterable[MeasuredRun],
    *,
    at: Sequence[int],
    thresholds: Sequence[float],
    rng: np.random.Generator,
    statistic: stats.Statistic = stats.iqm,
) -> Comparison:
    """Group runs by method and summarise each group. Runs that `by_task` leaves out get a note.

    Args:
        runs: the runs to compare.
        at: report the metric at these steps, which count from the parent step in branches; a run counts only at steps that it
            reached.
        thresholds: report the steps needed to first reach these values.
        rng: random generator of the bootstrap. One draw from it seeds every interval, so that no interval depends on
            which others are requested.
        statistic: point estimate of values and areas.
    """
    runs = sorted(runs, key=lambda measured: measured.run.run_id)
    tasks = by_task(runs)
    groups: dict[Method, list[MeasuredRun]] = {}
    for measured in (run for members in tasks.values() for run in members):
        groups.setdefault(method_of(measured.run), []).append(measured)
    compared = {run.run.run_id for group in groups.values() for run in group}
    notes = [_left_out(run) for run in runs if run.run.run_id not in compared]
    horizons = {task: min(run.length for run in members) for task, members in tasks.items()}
    seed = int(rng.integers(2**63))
    phases = _phases(groups, seed)
    results = [
        _summarise(method, groups[method], horizons[method.task], at, thresholds, phases[method], seed, statistic)
        for method in sorted(groups)
    ]
    for method in sorted(groups):
        notes += _caveats(method, groups[method])
    return Comparison(results, _improvements(groups, horizons, seed, statistic), notes + _mismatches(groups))


def _left_out(measured: MeasuredRun) -> str:
    why = "has no evaluation yet" if measured.length < 0 else f"has only begun ({measured.length:,} steps)"
    return f"run {measured.run.run_id} {why} and is left out"


def _summarise(
    method: Method,
    runs: list[MeasuredRun],
    horizon: int,
    at: Sequence[int],
    thresholds: Sequence[float],
    phases: dict[str, stats.RestrictedMean | None],
    seed: int,
    statistic: stats.Statistic,
) -> MethodResult:
    def interval(found: Sequence[float]) -> stats.Interval:
        return stats.bootstrap_interval([found], rng=np.random.default_rng(seed), statistic=statistic)

    values = {step: [value for run in runs if (value := value_reached(run, step)) is not None] for step in at}
    return MethodResult(
        method=method,
        run_ids=tuple(run.run.run_id for run in runs),
        seeds=_seeds(runs),
        at={step: interval(found) if found else None for step, found in values.items()},
        reaching={
            threshold: stats.summarise_steps(
                [stats.steps_to_threshold(*run.elapsed, threshold) for run in runs], rng=np.random.default_rng(seed)
            )
            for threshold in thresholds
        },
        area=interval(areas_of(runs, horizon)),
        horizon=horizon,
        phases=phases,
    )


def value_reached(measured: MeasuredRun, step: int) -> float | None:
    """The latest value at or before `step`; None if the run did not get that far."""
    if max(measured.run.step - measured.start, measured.length) < step:
        return None
    return stats.value_at(*measured.elapsed, step)


def areas_of(runs: Iterable[MeasuredRun], horizon: int) -> list[float]:
    """The area under each run's curve over its first `horizon` steps."""
    areas = []
    for run in runs:
        steps, values = run.elapsed
        areas.append(stats.area_under_curve(steps, values, until=max(horizon, int(steps[0]))))
    return areas


def _seeds(runs: Iterable[MeasuredRun]) -> int:
    return len({run.replicate for run in runs})


def _phases(groups: Mapping[Method, list[MeasuredRun]], seed: int) -> dict[Method, dict[str, stats.RestrictedMean | None]]:
    """The restricted means of PHASES, by method."""
    found: dict[Method, dict[str, stats.RestrictedMean | None]] = {method: {} for method in groups}
    for task in {method.task for method in groups}:
        methods = [method for method in groups if method.task == task]
        for phase in PHASES:
            times = {method: _times(_observed(groups[method], phase), phase) for method in methods}
            begun = [group for group in times.values() if len(group)]
            horizon = stats.common_horizon(begun) if begun else 0
            for method, group in times.items():
                found[method][phase] = stats.restricted_mean(group, horizon, rng=np.random.default_rng(seed))
    return found


def _observed(runs: Iterable[MeasuredRun], phase: str) -> list[MeasuredRun]:
    """The runs in which that time began and was observed."""
    return [run for run in runs if run.phases is not None and run.phases.observed(phase) is not None]


def _times(runs: Iterable[MeasuredRun], phase: str) -> stats.Times:
    """The times of runs in which they were observed."""
    found = [observed for run in runs if run.phases is not None and (observed := run.phases.observed(phase)) is not None]
    return stats.Times.of([event for event, _ in found], [followed for _, followed in found])


def _improvements(
    groups: Mapping[Method, list[MeasuredRun]], horizons: Mapping[Task, int], seed: int, statistic: stats.Statistic
) -> list[Improvement]:
    """Every method against every baseline of its task."""
    return [
        _improvement(method, baseline, groups, horizons[method.task], seed, statistic)
        for method in sorted(groups)
        for baseline in sorted(groups)
        if baseline.task == method.task and baseline.is_baseline and not method.is_baseline
    ]


def _improvement(
    method: Method,
    baseline: Method,
    groups: Mapping[Method, list[MeasuredRun]],
    horizon: int,
    seed: int,
    statistic: stats.Statistic,
) -> Improvement:
    pairs = _pairs(groups[method], groups[baseline])
    ours, theirs = [list(side) for side in zip(*pairs, strict=True)] if pairs else (groups[method], groups[baseline])
    areas = areas_of(ours, horizon), areas_of(theirs, horizon)
    rng = [np.random.default_rng(seed) for _ in range(2)]
    return Improvement(
        method,
        baseline,
        stats.probability_within_pairs(*areas, rng=rng[0])
        if pairs
        else stats.probability_of_improvement([areas[0]], [areas[1]], rng=rng[0]),
        area=stats.difference(*areas, paired=bool(pairs), rng=rng[1], statistic=statistic),
        consolidation=_contrast(ours, theirs, bool(pairs), seed),
        pairs=len(pairs),
        parents=len({run.run.parent_id for run, _ in pairs}),
    )


def _pairs(ours: Iterable[MeasuredRun], theirs: Iterable[MeasuredRun]) -> list[tuple[MeasuredRun, MeasuredRun]]:
    """Branches of the same run, at the same step and with the same seed; the newest of each side, if several share all that."""
    left, right = (
        {run.replicate: run for run in sorted(runs, key=lambda run: run.run.run_id) if run.run.parent_id is not None}
        for runs in (ours, theirs)
    )
    return [(run, right[key]) for key, run in left.items() if key in right]


def _contrast(ours: list[MeasuredRun], theirs: list[MeasuredRun], paired: bool, seed: int) -> Contrast | None:
    """Consolidation of two groups, run i of one paired with run i of the other if `paired`."""
    if paired:
        pairs = [pair for pair in zip(ours, theirs, strict=True) if len(_observed(pair, CONSOLIDATION)) == 2]
        ours, theirs = [run for run, _ in pairs], [run for _, run in pairs]
    sides = [_observed(ours, CONSOLIDATION), _observed(theirs, CONSOLIDATION)]
    x, y = (_times(side, CONSOLIDATION) for side in sides)
    if not len(x) or not len(y):
        return None
    horizon = stats.common_horizon([x, y])
    means = [stats.restricted_mean(group, horizon, rng=np.random.default_rng(seed)) for group in (x, y)]
    difference = stats.restricted_difference(x, y, horizon, paired=paired, rng=np.random.default_rng(seed))
    assert means[0] is not None and means[1] is not None, "a median run was observed for the whole horizon"
    return Contrast(means[0], means[1], difference, (_seeds(sides[0]), _seeds(sides[1])))


def _caveats(method: Method, runs: list[MeasuredRun]) -> list[str]:
    """Caveats about a group: few seeds, shared seeds, live changes, unfinished runs, unequal or unknown settings."""
    name = f"{method.task}, {method.label}"
    notes = []
    seeds = _seeds(runs)
    if seeds < ENOUGH_SEEDS:
        notes.append(f"{name}: only {_counted(seeds, 'seed')}; with fewer than {ENOUGH_SEEDS}, exploration luck can decide")
    if seeds < len(runs):
        notes.append(f"{name}: some of its {len(runs)} runs share a seed")
    for words, chosen in (
        ("changed while running", [run for run in runs if run.edited]),
        ("not finished", [run for run in runs if run.run.status != "finished"]),
    ):
        if chosen:
            ids = ", ".join(str(run.run.run_id) for run in chosen)
            notes.append(f"{name}: {words}: run{'s' if len(chosen) > 1 else ''} {ids}")
    if any(not is_known(run.run.config) for run in runs):
        notes.append(f"{name}: another program trained it; what else differs is not known")
    differing = differing_settings(runs)
    if differing:
        notes.append(f"{name}: its runs differ in {_with_ratios(differing, runs)}")
    return notes


def _mismatches(groups: dict[Method, list[MeasuredRun]]) -> list[str]:
    """Notes on settings other than replay in which the methods of a task differ, and on how its runs start."""
    notes = []
    for name in dict.fromkeys(method.task for method in sorted(groups)):
        task = {method: runs for method, runs in groups.items() if method.task == name}
        within = {name for runs in task.values() for name in differing_settings(runs)}
        every = differing_settings([run for runs in task.values() for run in runs])
        between = [name for name in every if name not in within]
        if between:
            words = _with_ratios(between, [run for runs in task.values() for run in runs])
            notes.append(f"{name}: the methods also differ in {words}, not only in replay")
        beginning = beginning_of(run for runs in task.values() for run in runs)
        if beginning:
            notes.append(f"{name}: the runs start {beginning}")
    return notes


def _with_ratios(names: list[str], runs: list[MeasuredRun]) -> str:
    """Names of settings in which runs differ, with the replay ratios that these give."""
    ratios = sorted({ratio for run in runs if (ratio := replay_ratio(run.run.config)) is not None})
    if len(ratios) < 2 or not {"train_freq", "batch_size"} & set(names):
        return ", ".join(names)
    return f"{', '.join(names)} (replay ratios {', '.join(f'{ratio:g}' for ratio in ratios)})"


def beginning_of(runs: Iterable[MeasuredRun]) -> str:
    """How runs with scripted play start, to follow 'the runs start'; '' if none of them has any.

    For example 'with 10,000 steps of scripted play, which solved the task in 85 % of its 283 episodes'.
    """
    runs = list(runs)
    played = sorted({int(run.run.config.get("play_steps", 0)) for run in runs})
    if not any(played):
        return ""
    words = f"with {' or '.join(f'{steps:,}' for steps in played)} steps of scripted play"
    episodes, successes = sum(run.play_episodes for run in runs), sum(run.play_successes for run in runs)
    return (
        f"{words}, which solved the task in {100 * successes / episodes:.0f} % of its {episodes:,} episodes"
        if episodes
        else words
    )


def differing_settings(runs: list[MeasuredRun]) -> list[str]:
    """Settings that can affect the result and are not the same in all runs.

    Excludes the seed, what a method's label names, and settings that the replay method of at least one run ignores.
    """
    runs = [run for run in runs if is_known(run.run.config)]
    configs = [defaults_of_run(run.run.config) | run.run.config for run in runs]
    for run, config in zip(runs, configs, strict=True):
        config["total_steps"] -= run.start
    methods = [replay_methods().get(run.run.replay) for run in runs]
    ignored = WITHOUT_EFFECT_ON_LEARNING | {"env", "algo", "replay", "scorer", "base", "her"}
    ignored |= {name for method in methods if method is not None for name in method.variants}
    ignored |= {name for config in configs for name in unread_by(config)}
    names = [name for name in TrainConfig.model_fields if name not in ignored]
    return [name for name in names if any(config[name] != configs[0][name] for config in configs)]


def unread_by(config: Mapping[str, Any]) -> set[str]:
    """Settings that decide nothing in a run with these, by their defaults completed, settings."""
    return unread_settings(config["replay"], config["base"], config["her"]) if config["replay"] in replay_methods() else set()


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
