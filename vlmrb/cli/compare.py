"""The command `compare`: success at fixed steps and steps to a threshold, with n and intervals."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from vlmrb.analysis import stats
from vlmrb.analysis.comparison import (
    MOMENTS,
    SHOWN_PHASES,
    Comparison,
    MeasuredRun,
    Method,
    MethodResult,
    Task,
    by_task,
    compare,
    phase_name,
)
from vlmrb.analysis.curves import curve_lines
from vlmrb.analysis.sweeps import MEASURES, Sweep, sweeps
from vlmrb.analysis.verdicts import contrast_words, difference_words, restricted_words, runs_words, verdicts
from vlmrb.cli import text
from vlmrb.cli.options import add_command, positive_integer, step_count
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.types import LIVE, SUCCESS

DEFAULT_STEPS = (100_000, 200_000, 300_000)
_ALIVE = ("created", "queued", *LIVE)


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "compare",
        compare_runs,
        "compare methods across seeds: success, and steps needed to reach it",
        "python -m vlmrb compare --at 100k 200k --markdown",
        details="Runs with the same environment, agent and replay method count as seeds of one method. Brackets show 95 % "
        "bootstrap intervals over runs. Claims about success are made from consolidation: the steps from the fifth successful "
        "training episode to 50 % evaluated success. Branches of the same run are paired.",
    )
    parser.add_argument(
        "run_ids", metavar="RUN", nargs="*", type=positive_integer, help="run numbers (default: all runs that have ended)"
    )
    parser.add_argument("--metric", metavar="M", default=SUCCESS, help=f"metric to compare (default: {SUCCESS})")
    parser.add_argument(
        "--at",
        metavar="STEP",
        nargs="+",
        type=step_count,
        help="report the metric at these steps, which count from the parent step in branches (default: 100k 200k 300k)",
    )
    parser.add_argument(
        "--thresholds",
        metavar="X",
        nargs="+",
        type=float,
        default=[0.5, 0.9],
        help="report the steps needed to first reach these values (default: 0.5 0.9)",
    )
    parser.add_argument("--statistic", choices=("iqm", "mean"), default="iqm", help="point estimate across seeds (default: iqm)")
    parser.add_argument("--confidence-seed", type=int, metavar="N", default=0, help="seed of the bootstrap (default: 0)")
    parser.add_argument(
        "--setting",
        metavar="NAME",
        help="also report the score by the values of a numeric setting in which the runs differ, such as learning_rate",
    )
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--curves", metavar="FILE", type=Path, help="write the curves as data, one JSON object per run and line")


def compare_runs(arguments: argparse.Namespace) -> int:
    """`compare`: a table, then verdicts and caveats."""
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        runs, alive = _measured_runs(store, arguments.run_ids, arguments.metric)
    if not runs:
        raise NotFoundError(f"no run that has ended has the metric {arguments.metric!r}; list runs with: python -m vlmrb runs")
    if arguments.curves:
        _write_curves(arguments.curves, runs, arguments.metric)
    at = sorted(set(arguments.at)) if arguments.at else _default_steps(runs)
    comparison = compare(
        runs,
        at=at,
        thresholds=sorted(set(arguments.thresholds)),
        rng=np.random.default_rng(arguments.confidence_seed),
        statistic=_statistic(arguments),
    )
    swept = _swept(runs, arguments)
    notes = comparison.notes + ([f"runs left out because they have not ended: {', '.join(map(str, alive))}"] if alive else [])
    if arguments.json:
        text.print_json(
            {
                "metric": arguments.metric,
                "statistic": arguments.statistic,
                "results": comparison.results,
                "improvements": comparison.improvements,
                "verdicts": verdicts(comparison, arguments.metric),
                **({"sweeps": swept} if arguments.setting else {}),
                "notes": notes,
            }
        )
        return 0
    _print(comparison, at, arguments)
    if arguments.metric == SUCCESS:
        _print_phases(comparison, arguments.markdown)
    _print_improvements(comparison, arguments)
    _print_sweeps(swept, arguments)
    print()
    for verdict in verdicts(comparison, arguments.metric):
        for sentence in verdict.sentences:
            print(("- " if arguments.markdown else "") + text.plain(f"{verdict.task}: {sentence}"))
    for note in notes:
        print(f"- {text.plain(note)}" if arguments.markdown else f"note: {text.plain(note)}")
    return 0


def _write_curves(path: Path, runs: list[MeasuredRun], metric: str) -> None:
    from vlmrb import __version__

    try:
        path.write_text("".join(f"{line}\n" for line in curve_lines(runs, metric, __version__)), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--curves: {path} cannot be written ({error.strerror}); name a file in a writable folder") from None


def _measured_runs(store: Any, run_ids: list[int], metric: str) -> tuple[list[MeasuredRun], list[int]]:
    """The runs to compare, and the ids of those left out because they have not ended."""
    if run_ids:
        for run_id in run_ids:
            store.run(run_id)  # raises if there is none
        chosen, alive = run_ids, []
    else:
        every = store.runs()
        chosen = [run.run_id for run in every if run.status not in _ALIVE]
        alive = sorted(run.run_id for run in every if run.status in _ALIVE)
    measured = store.measured_runs(chosen, metric)
    if not run_ids:
        measured = [run for run in measured if len(run.steps)]
    return measured, alive


def _default_steps(runs: list[MeasuredRun]) -> list[int]:
    """For each task, the default steps that any of its runs reached; if none, the last step that all of them reached."""
    steps: set[int] = set()
    for task in by_task(runs).values():
        ends = [run.length for run in task]
        steps.update([step for step in DEFAULT_STEPS if step <= max(ends)] or [min(ends)])
    return sorted(steps)


def _print(comparison: Comparison, at: list[int], arguments: argparse.Namespace) -> None:
    as_share = arguments.metric.endswith("_rate")
    name = arguments.metric.rsplit("/", 1)[-1].replace("_", " ")
    thresholds = sorted(set(arguments.thresholds))
    headers = [
        "env",
        "algo",
        "replay",
        "n",
        *(f"{name} at {text.steps(step)}" for step in at),
        *(f"steps to {_value(threshold, as_share)}" for threshold in thresholds),
        "area under curve",
    ]
    text.print_table(
        headers,
        [
            [
                *_names(result.method),
                result.method.label,
                len(result.run_ids),
                *(_interval(result, result.at[step], as_share) for step in at),
                *(_reaching(result.reaching[threshold]) for threshold in thresholds),
                _interval(result, result.area, as_share),
            ]
            for result in comparison.results
        ],
        markdown=arguments.markdown,
    )
    print(
        f"\n{arguments.statistic.upper() if arguments.statistic == 'iqm' else 'Mean'} across seeds [95 % interval]. Steps: "
        "median [95 % interval] (runs that reached it / runs)."
        + (" Steps of branches count from the parent step." if any(each.method.branched for each in comparison.results) else "")
    )
    horizons = ", ".join(map(text.steps, sorted({each.horizon for each in comparison.results})))
    print(f"Area: mean height of the curve up to the last step that every run of the task reached ({horizons}).")


def _names(method: Method) -> tuple[str, str]:
    """Environment, with where its runs branched, and agent."""
    return ", ".join([method.env, *([MOMENTS[method.branched]] if method.branched in MOMENTS else [])]), method.algo


def _print_phases(comparison: Comparison, markdown: bool) -> None:
    """When runs first succeeded, and how long they took from there."""
    if not any(any(each.phases.values()) for each in comparison.results):
        return
    kinds = {bool(each.method.branched) for each in comparison.results}
    names = {phase: phase_name(phase, *kinds) for phase in SHOWN_PHASES if kinds != {True} or phase.startswith("to_")}
    print()
    text.print_table(
        ["env", "algo", "replay", *names.values()],
        [
            [*_names(each.method), each.method.label, *(restricted_words(each.phases[phase]) for phase in names)]
            for each in comparison.results
        ],
        markdown=markdown,
    )
    print(
        "\nSteps: mean time [95 % interval], restricted to a horizon that the methods of the task share (censored runs, which "
        "never got there, of those in which this time began)."
    )


def _print_improvements(comparison: Comparison, arguments: argparse.Namespace) -> None:
    """Every method against every baseline, in both measures."""
    if not comparison.improvements:
        return
    success = arguments.metric == SUCCESS
    print()
    text.print_table(
        ["env", "algo", "replay", "baseline", "runs", *["steps to 50 %, difference"] * success, "area, difference",
         "larger area, probability"],
        [
            [
                *_names(each.method), each.method.label, each.baseline.label, runs_words(each, comparison.results),
                *[contrast_words(each.consolidation)] * success, difference_words(each.area), _bounds(each.probability, False),
            ]
            for each in comparison.improvements
        ],
        markdown=arguments.markdown,
    )  # fmt: skip


def _statistic(arguments: argparse.Namespace) -> stats.Statistic:
    return stats.iqm if arguments.statistic == "iqm" else stats.mean


def _swept(runs: list[MeasuredRun], arguments: argparse.Namespace) -> list[Sweep]:
    """The setting of `--setting` against the score, if it is given: at the last shared step, then as the area."""
    if not arguments.setting:
        return []
    return [
        sweep
        for measure in MEASURES
        for sweep in sweeps(
            runs,
            arguments.setting,
            rng=np.random.default_rng(arguments.confidence_seed),
            measure=measure,
            statistic=_statistic(arguments),
        )
    ]


def _print_sweeps(found: list[Sweep], arguments: argparse.Namespace) -> None:
    """One line per value of the setting, and one per method that does not read it."""
    as_share = arguments.metric.endswith("_rate")
    tasks: dict[Task, list[Sweep]] = {}
    for sweep in found:
        tasks.setdefault(sweep.task, []).append(sweep)
    for task, (at_end, areas) in tasks.items():
        rows = [
            [line.label, f"{point.value:g}", len(point.runs), _bounds(point.score, as_share), _bounds(area.score, as_share)]
            for line, other in zip(at_end.lines, areas.lines, strict=True)
            for point, area in zip(line.points, other.points, strict=True)
        ]
        rows += [
            [level.label, "not read", len(level.run_ids), _bounds(level.score, as_share), _bounds(area.score, as_share)]
            for level, area in zip(at_end.references, areas.references, strict=True)
        ]
        print(f"\n{text.plain(str(task))}" + "\n" * arguments.markdown)
        horizon = text.steps(at_end.horizon)
        headers = ["replay", at_end.setting, "n", f"at {horizon}", f"area to {horizon}"]
        text.print_table(headers, rows, markdown=arguments.markdown)
        if at_end.mixed:
            print(f"\nRuns with the same {at_end.setting} also differ in {', '.join(at_end.mixed)}.")
        if at_end.left_out:
            print(f"\nWithout a number for {at_end.setting}, and left out: {', '.join(map(str, at_end.left_out))}.")


def _interval(result: MethodResult, interval: stats.Interval | None, as_share: bool) -> str:
    if interval is None:
        return "–"
    missing = "" if interval.n == len(result.run_ids) else f" (n={interval.n})"
    return _bounds(interval, as_share) + missing


def _bounds(interval: stats.Interval, as_share: bool) -> str:
    if interval.low is None or interval.high is None:
        return _value(interval.point, as_share)
    if as_share:
        return f"{100 * interval.point:.0f} [{100 * interval.low:.0f}, {100 * interval.high:.0f}] %"
    return f"{interval.point:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def _value(value: float, as_share: bool) -> str:
    return text.percent(value) if as_share else f"{value:.3g}"


def _reaching(summary: stats.ThresholdSummary) -> str:
    share_of_runs = f"({summary.reached}/{summary.n})"
    if summary.median is None:
        return f"– {share_of_runs}"
    high = "…" if summary.high is None else text.steps(summary.high)
    bounds = f" [{text.steps(summary.low)}, {high}]" if summary.low is not None else ""
    return f"{text.steps(summary.median)}{bounds} {share_of_runs}"
