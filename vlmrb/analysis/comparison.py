"""Compares methods over seeds: groups runs by method and summarises each group. Pure: records in, records out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmrb.analysis import stats
from vlmrb.config import TrainConfig, defaults_of_run, is_control, replay_ratio, unread_settings
from vlmrb.replay.registry import replay_methods
from vlmrb.types import RunSummary

HIGHER_IS_BETTER = ("success_rate", "episodic_return")
"""Metrics, by the last part of their name, where higher is better. For others a verdict says 'higher' instead of 'ahead'."""

ENOUGH_SEEDS = 5
"""With fewer seeds, exploration luck can decide, so no claim is made."""

_WITHOUT_EFFECT_ON_LEARNING = {
    "seed",
    "device",
    "log_interval",
    "checkpoint_interval",
    "keep_clips",
    "sync_scoring",
    "scoring_batch_size",
    "scoring_queue_size",
    "scorer_device",
    "scorer_dtype",
    "scorer_frames",
    "on_scorer_failure",
}


class Method(NamedTuple):
    """What runs must share to count as seeds of one method."""

    env: str
    algo: str
    label: str  # the replay method and its variant, e.g. 'per' or 'vlm (oracle)'

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
    """

    run: RunSummary
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    edited: bool = False
    play_episodes: int = 0
    play_successes: int = 0


@dataclass(frozen=True, slots=True)
class MethodResult:
    """Results of one method over its seeds.

    Attributes:
        run_ids: the runs, ascending.
        seeds: number of distinct seeds among them.
        at: for each requested step, the interval over the runs that reached it; None if none did.
        reaching: for each requested threshold, the steps needed to reach it.
        area: mean height of the curves up to `horizon`.
        horizon: the last step that every run of this environment and agent reached.
    """

    method: Method
    run_ids: tuple[int, ...]
    seeds: int
    at: dict[int, stats.Interval | None]
    reaching: dict[float, stats.ThresholdSummary]
    area: stats.Interval
    horizon: int


@dataclass(frozen=True, slots=True)
class Improvement:
    """Probability that a run of `method` has a larger area under its curve than a run of `baseline`."""

    method: Method
    baseline: Method
    probability: stats.Interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results, ordered by environment, agent and label; improvements over the baselines; and caveats as `notes`."""

    results: list[MethodResult]
    improvements: list[Improvement]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the data supports about one task, in words.

    Attributes:
        env, algo: the task.
        sentences: one per comparison with a baseline, or the reason why there is none.
        decided: whether any sentence declares a difference between two methods.
    """

    env: str
    algo: str
    sentences: tuple[str, ...]
    decided: bool


def verdicts(comparison: Comparison, metric: str = "eval/success_rate") -> list[Verdict]:
    """Verdicts on each task, from the probability of improvement in area under the curve.

    With fewer than 5 seeds on either side no claim is made; an interval that contains 0.5 means no clear difference.
    """
    found = []
    higher_is_better = metric.rpartition("/")[2] in HIGHER_IS_BETTER
    for task in dict.fromkeys(result.method[:2] for result in comparison.results):
        results = {result.method: result for result in comparison.results if result.method[:2] == task}
        improvements = [each for each in comparison.improvements if each.method[:2] == task]
        judged = [_sentence(each, results[each.method], results[each.baseline], higher_is_better) for each in improvements]
        sentences = tuple(words for words, _ in judged) or (_why_no_comparison(results),)
        found.append(Verdict(*task, sentences, any(decided for _, decided in judged)))
    return found


def _sentence(found: Improvement, result: MethodResult, baseline: MethodResult, higher_is_better: bool) -> tuple[str, bool]:
    """A sentence on a method and a baseline, and whether it declares a difference."""
    names = f"{found.method.label} and {found.baseline.label}"
    chance, fewest = found.probability, min(result.seeds, baseline.seeds)
    if fewest < ENOUGH_SEEDS or chance.low is None or chance.high is None:
        return (
            f"Not enough seeds to tell {names} apart: {result.seeds} and {baseline.seeds}; run at least {ENOUGH_SEEDS} each.",
            False,
        )
    areas = f"area under the curve {result.area.point:.3g} versus {baseline.area.point:.3g} (to step {result.horizon:,})"
    odds = f"a run of {found.method.label} has the larger area with probability {chance.point:.2f}"
    odds += f" [{chance.low:.2f}, {chance.high:.2f}]"
    reasons = f"{areas}; {odds}; {result.seeds} and {baseline.seeds} seeds"
    if chance.low <= 0.5 <= chance.high:
        return f"No clear difference between {names}: {reasons}.", False
    above, below = ("ahead of", "behind") if higher_is_better else ("higher than", "lower than")
    return f"{found.method.label} is {above if chance.low > 0.5 else below} {found.baseline.label}: {reasons}.", True


def _why_no_comparison(results: dict[Method, MethodResult]) -> str:
    if all(method.is_baseline for method in results):
        return "Only baselines so far; add VLM-RB runs to compare them with."
    return "No baseline runs to compare with; add runs of uniform replay or PER on this task."


def method_of(run: RunSummary) -> Method:
    """The method of a run. Its label includes the scorer and the settings that make a variant of the replay method.

    It leaves out the prompt for control scorers, which ignore it.
    """
    defaults = defaults_of_run(run.config)
    config = defaults | run.config
    method = replay_methods().get(run.replay)
    if method is None:
        return Method(run.env, run.algo, run.replay)
    unread = {"prompt"} if is_control(run.scorer) else set()
    details = [_short_scorer(run.scorer)] if method.labels else []
    details += [
        in_words(config[name])
        for name, in_words in method.variants.items()
        if config[name] != defaults[name] and name not in unread
    ]
    return Method(run.env, run.algo, f"{run.replay} ({', '.join(details)})" if details else run.replay)


def by_task(runs: Iterable[MeasuredRun]) -> dict[tuple[str, str], list[MeasuredRun]]:
    """The runs that have at least one evaluation, by environment and agent."""
    tasks: dict[tuple[str, str], list[MeasuredRun]] = {}
    for measured in runs:
        if measured.steps.size:
            tasks.setdefault((measured.run.env, measured.run.algo), []).append(measured)
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
    """Group runs by method and summarise each group. Runs without an evaluation are left out, with a note.

    Args:
        runs: the runs to compare.
        at: report the metric at these steps; a run counts only at steps that it reached.
        thresholds: report the steps needed to first reach these values.
        rng: random generator of the bootstrap. One draw from it seeds every interval, so that no interval depends on
            which others are requested.
        statistic: point estimate of values and areas.
    """
    groups: dict[Method, list[MeasuredRun]] = {}
    notes = []
    for measured in sorted(runs, key=lambda measured: measured.run.run_id):
        if measured.steps.size:
            groups.setdefault(method_of(measured.run), []).append(measured)
        else:
            notes.append(f"run {measured.run.run_id} has no evaluation yet and is left out")
    tasks = by_task(run for group in groups.values() for run in group)
    horizons = {task: min(int(run.steps[-1]) for run in members) for task, members in tasks.items()}
    areas = {method: [_area(run, horizons[method[:2]]) for run in group] for method, group in groups.items()}
    seed = int(rng.integers(2**63))
    results = [
        _summarise(method, groups[method], areas[method], horizons[method[:2]], at, thresholds, seed, statistic)
        for method in sorted(groups)
    ]
    for method in sorted(groups):
        notes += _caveats(method, groups[method])
    return Comparison(results, _improvements(areas, seed), notes + _mismatches(groups))


def _summarise(
    method: Method,
    runs: list[MeasuredRun],
    areas: list[float],
    horizon: int,
    at: Sequence[int],
    thresholds: Sequence[float],
    seed: int,
    statistic: stats.Statistic,
) -> MethodResult:
    def interval(found: Sequence[float]) -> stats.Interval:
        return stats.bootstrap_interval([found], rng=np.random.default_rng(seed), statistic=statistic)

    values = {step: [value for run in runs if (value := _value_at(run, step)) is not None] for step in at}
    return MethodResult(
        method=method,
        run_ids=tuple(run.run.run_id for run in runs),
        seeds=len({run.run.seed for run in runs}),
        at={step: interval(found) if found else None for step, found in values.items()},
        reaching={
            threshold: stats.summarise_steps(
                [stats.steps_to_threshold(run.steps, run.values, threshold) for run in runs], rng=np.random.default_rng(seed)
            )
            for threshold in thresholds
        },
        area=interval(areas),
        horizon=horizon,
    )


def _value_at(measured: MeasuredRun, step: int) -> float | None:
    """The latest value at or before `step`; None if the run did not get that far."""
    if max(measured.run.step, int(measured.steps[-1])) < step:
        return None
    return stats.value_at(measured.steps, measured.values, step)


def _area(measured: MeasuredRun, until: int) -> float:
    return stats.area_under_curve(measured.steps, measured.values, until=max(until, int(measured.steps[0])))


def _improvements(areas: dict[Method, list[float]], seed: int) -> list[Improvement]:
    found = []
    for method in sorted(areas):
        for baseline in sorted(areas):
            if baseline[:2] == method[:2] and baseline.is_baseline and not method.is_baseline:
                rng = np.random.default_rng(seed)
                probability = stats.probability_of_improvement([areas[method]], [areas[baseline]], rng=rng)
                found.append(Improvement(method, baseline, probability))
    return found


def _caveats(method: Method, runs: list[MeasuredRun]) -> list[str]:
    """Caveats about a group: few seeds, shared seeds, live changes, unfinished runs, unequal settings."""
    name = f"{method.env}, {method.algo}, {method.label}"
    notes = []
    seeds = {run.run.seed for run in runs}
    if len(seeds) < ENOUGH_SEEDS:
        notes.append(f"{name}: only {_counted(len(seeds), 'seed')}; with fewer than {ENOUGH_SEEDS}, exploration luck can decide")
    if len(seeds) < len(runs):
        notes.append(f"{name}: some of its {len(runs)} runs share a seed")
    for words, chosen in (
        ("changed while running", [run for run in runs if run.edited]),
        ("not finished", [run for run in runs if run.run.status != "finished"]),
    ):
        if chosen:
            ids = ", ".join(str(run.run.run_id) for run in chosen)
            notes.append(f"{name}: {words}: run{'s' if len(chosen) > 1 else ''} {ids}")
    differing = _differing_settings(runs)
    if differing:
        notes.append(f"{name}: its runs differ in {_with_ratios(differing, runs)}")
    return notes


def _mismatches(groups: dict[Method, list[MeasuredRun]]) -> list[str]:
    """Notes on settings other than replay in which the methods of a task differ, and on how its runs start."""
    notes = []
    for env, algo in dict.fromkeys(method[:2] for method in sorted(groups)):
        task = {method: runs for method, runs in groups.items() if method[:2] == (env, algo)}
        within = {name for runs in task.values() for name in _differing_settings(runs)}
        every = _differing_settings([run for runs in task.values() for run in runs])
        between = [name for name in every if name not in within]
        if between:
            words = _with_ratios(between, [run for runs in task.values() for run in runs])
            notes.append(f"{env}, {algo}: the methods also differ in {words}, not only in replay")
        beginning = beginning_of(run for runs in task.values() for run in runs)
        if beginning:
            notes.append(f"{env}, {algo}: the runs start {beginning}")
    return notes


def _with_ratios(names: list[str], runs: list[MeasuredRun]) -> str:
    """Names of settings in which runs differ, with the replay ratios that these give."""
    ratios = sorted({replay_ratio(run.run.config) for run in runs})
    if len(ratios) == 1 or not {"train_freq", "batch_size"} & set(names):
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


def _differing_settings(runs: list[MeasuredRun]) -> list[str]:
    """Settings that can affect the result and are not the same in all runs.

    Excludes the seed, what a method's label names, and settings that the replay method of at least one run ignores.
    """
    configs = [defaults_of_run(run.run.config) | run.run.config for run in runs]
    methods = [replay_methods().get(run.run.replay) for run in runs]
    ignored = _WITHOUT_EFFECT_ON_LEARNING | {"env", "algo", "replay", "scorer", "base"}
    ignored |= {name for method in methods if method is not None for name in method.variants}
    ignored |= {name for config in configs for name in _unread(config)}
    names = [name for name in TrainConfig.model_fields if name not in ignored]
    return [name for name in names if any(config[name] != configs[0][name] for config in configs)]


def _unread(config: Mapping[str, Any]) -> set[str]:
    return unread_settings(config["replay"], config["base"]) if config["replay"] in replay_methods() else set()


def _short_scorer(scorer: str | None) -> str:
    """Shorten a scorer to what identifies it: 'hf:/models/plm-1b' → 'hf:plm-1b'."""
    kind, separator, rest = (scorer or "no scorer").partition(":")
    return f"{kind}:{rest.rstrip('/').rsplit('/', 1)[-1]}" if separator and kind in ("hf", "openai") else (scorer or "no scorer")


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
