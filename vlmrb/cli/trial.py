"""The command `trial`: tries a prompt or scorer on a sample of stored clips, without changing their labels."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from vlmrb.cli import text
from vlmrb.cli.clips import label_word
from vlmrb.cli.options import add_command, positive_integer, share
from vlmrb.cli.progress import Progress
from vlmrb.cli.score import add_scorer_options, agreement_json, print_report, report_json, show_progress
from vlmrb.errors import ConfigError
from vlmrb.panels import listed_scorer

if TYPE_CHECKING:
    from vlmrb.rescoring import BenchReport, TrialReport, TrialRow
    from vlmrb.store import Store
    from vlmrb.types import Prompt, Trial

SHOWN_FLIPS = 20


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "trial",
        try_prompt,
        "try a prompt on a sample of stored clips, without changing their labels",
        'python -m vlmrb trial 3 4 --scorer hf:models/plm-1b --prompt "Does the agent pick up a key?" --sample 200',
        details="Half of the sample shows progress, if there are enough such clips. Reports how well the answers agree with the "
        "simulator's events and with people's judgements, and which labels would flip. Several prompts, scorers and thresholds "
        "are compared on the same clips: try each with --same-clips-as, then --compare the trials.",
    )
    parser.add_argument("run_ids", metavar="RUN", type=positive_integer, nargs="*", help="sample clips from these runs")
    add_scorer_options(parser)
    parser.add_argument(
        "--sample", type=positive_integer, metavar="N", default=200, help="maximum number of clips to sample (default: 200)"
    )
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="seed of the sample (default: 0)")
    parser.add_argument(
        "--same-clips-as",
        type=positive_integer,
        metavar="TRIAL",
        help="take the clips of this trial instead of a sample; what has been answered is not asked again",
    )
    parser.add_argument(
        "--compare",
        type=_entry,
        nargs="+",
        metavar="TRIAL[.Q][@X]",
        help="compare trials of the same clips, each at its own threshold or at X, and whole or question Q of its set alone: "
        "'--compare 3 3@0.7 4.1 4.2'",
    )
    parser.add_argument("--show", type=positive_integer, metavar="TRIAL", help="show an earlier trial")
    parser.add_argument("--resume", type=positive_integer, metavar="TRIAL", help="resume a trial that was interrupted or failed")
    parser.add_argument("--list", action="store_true", help="list the trials, newest first")


def _entry(value: str) -> tuple[int, int | None, float | None]:
    contestant, at, threshold = value.partition("@")
    trial, dot, question = contestant.partition(".")
    return positive_integer(trial), positive_integer(question) if dot else None, share(threshold) if at else None


def try_prompt(arguments: argparse.Namespace) -> int:
    """`trial`: create and run a trial, resume one, show one, compare some, or list them."""
    from vlmrb.rescoring import trial_report
    from vlmrb.store import Store

    _check(arguments)
    with Store(arguments.store, create=False) as store:
        if arguments.list:
            return _list(store.trials(), arguments.json)
        if arguments.compare:
            return _compare(store, arguments)
        trial_id = arguments.show or arguments.resume or _create(store, arguments)
        if not arguments.show and store.trial(trial_id).status != "finished":
            _run(store, trial_id, arguments.quiet)
        report = trial_report(store, trial_id, arguments.truth)
    if arguments.json:
        text.print_json(_json(report))
    else:
        _print(report)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Check that exactly one action is asked for.

    Raises:
        ConfigError: none or several of RUN, --same-clips-as, --compare, --show, --resume and --list are given.
    """
    given = [
        bool(arguments.run_ids),
        arguments.same_clips_as,
        arguments.compare,
        arguments.show,
        arguments.resume,
        arguments.list,
    ]
    if sum(map(bool, given)) != 1:
        raise ConfigError(
            "trial: give run numbers to start a trial, or exactly one of --show TRIAL, --resume TRIAL, --list, "
            "--same-clips-as TRIAL and --compare TRIAL…"
        )


def _create(store: Store, arguments: argparse.Namespace) -> int:
    from vlmrb.rescoring import create_trial, fit_to_runs, notices
    from vlmrb.scoring import resolve_prompt

    run_ids = arguments.run_ids or store.trial(arguments.same_clips_as).run_ids
    scorer = fit_to_runs(arguments.scorer, store, run_ids)
    for notice in notices(store, scorer, run_ids, resolve_prompt(arguments.prompt)):
        text.complain(f"warning: {notice}")

    return create_trial(
        store,
        run_ids=run_ids,
        scorer=scorer,
        prompt=arguments.prompt,
        sample=arguments.sample,
        seed=arguments.seed,
        threshold=arguments.threshold,
        frames=arguments.frames,
        device=arguments.device,
        dtype=arguments.dtype,
        same_clips_as=arguments.same_clips_as,
    )


def _run(store: Store, trial_id: int, quiet: bool) -> None:
    from vlmrb.rescoring import run_trial

    trial = store.trial(trial_id)
    with Progress(len(trial.clip_ids) - trial.scored, "clips", quiet=quiet) as bar:
        bar.note(f"trial {trial_id}")
        run_trial(store, trial_id, show_progress(bar))


def _compare(store: Store, arguments: argparse.Namespace) -> int:
    from vlmrb.rescoring import Entry, bench_report

    entries = [Entry(trial, threshold, arguments.truth, question) for trial, question, threshold in arguments.compare]
    report = bench_report(store, entries)
    if arguments.json:
        text.print_json(_bench_json(report))
    else:
        _print_bench(report)
    return 0


def _bench_json(report: BenchReport) -> dict[str, Any]:
    return {
        "clips": len(report.clips),
        "contestants": [
            {"trial_id": each.trial.trial_id, "status": each.trial.status, "scorer": each.trial.scorer, "prompt": each.prompt}
            | {"question": each.question}
            | {"threshold": each.threshold, "truth": each.truth, "seconds_per_clip": each.seconds}
            | {"agreement": None if each.agreement is None else agreement_json(each.agreement), "reliability": each.reliability}
            for each in report.contestants
        ],
        "disagreement": [[flips.flipped / flips.n if flips.n else None for flips in row] for row in report.differences],
        "clips_apart": [
            {"contestants": [i, j], "clip_ids": report.apart(i, j)}
            for i in range(len(report.contestants))
            for j in range(i + 1, len(report.contestants))
        ],
    }


def _print_bench(report: BenchReport) -> None:
    names = [chr(ord("A") + at) for at in range(len(report.contestants))]
    print(f"{len(report.clips)} clips that all of them have answered\n")
    rows = []
    for name, each in zip(names, report.contestants, strict=True):
        found, table = each.agreement, None if each.agreement is None else each.agreement.confusion
        rows.append(
            [
                name,
                each.trial.trial_id,
                text.shorten(listed_scorer(each.trial.scorer), 24),
                "–" if each.prompt is None else text.shorten(_asked(each.prompt, each.question), 48),
                text.number(each.threshold),
                each.truth.replace("_", " "),
                text.number(None if found is None else found.auc),
                text.percent(None if table is None else table.precision),
                text.percent(None if table is None else table.recall),
                text.number(None if found is None else found.calibration_error),
                text.percent(None if table is None else table.positive_rate),
                text.number(each.seconds),
            ]
        )
    heads = ["", "trial", "scorer", "prompt", "from", "judged by", "AUC", "precision", "recall", "calib. error", "yes", "s/clip"]
    text.print_table(heads, rows)
    if len(names) > 1:
        print("\ndifferent labels")
        text.print_table(
            ["", *names],
            [
                [name, *("–" if i == j or not flips.n else text.percent(flips.flipped / flips.n) for j, flips in enumerate(row))]
                for i, (name, row) in enumerate(zip(names, report.differences, strict=True))
            ],
        )


def _asked(prompt: Prompt, question: int | None) -> str:
    if question is None:
        return f"{prompt.name}@{prompt.version}: {prompt.text}"
    return f"{prompt.name}@{prompt.version}.{question}: {prompt.questions[question - 1]}"


def _list(trials: list[Trial], as_json: bool) -> int:
    if as_json:
        text.print_json(trials)
    elif not trials:
        print("no trials yet")
    else:
        text.print_table(
            ["trial", "status", "created", "runs", "scored", "scorer", "prompt"],
            [
                [
                    trial.trial_id,
                    trial.status,
                    text.ago(trial.created_at),
                    text.shorten(", ".join(map(str, trial.run_ids)), 20),
                    f"{trial.scored}/{len(trial.clip_ids)}",
                    text.shorten(listed_scorer(trial.scorer), 30),
                    "–" if trial.prompt_id is None else trial.prompt_id,
                ]
                for trial in trials
            ],
        )
    return 0


def _json(report: TrialReport) -> dict[str, Any]:
    return {
        "trial": report.trial,
        "prompt": report.prompt,
        "agreement": None if report.agreement is None else report_json(report.agreement),
        "rows": [_row_json(row) for row in report.rows],
    }


def _row_json(row: TrialRow) -> dict[str, Any]:
    present = row.clip.score
    return {
        "clip_id": row.clip.clip_id,
        "progress": row.clip.progress,
        "human_label": row.clip.human_label,
        "label": None if present is None else present.label,
        "probability": None if present is None else present.probability,
        "new_label": row.score.label,
        "new_probability": row.score.probability,
        "flipped": row.flipped,
    }


def _print(report: TrialReport) -> None:
    trial, prompt = report.trial, report.prompt
    facts = {
        "trial": f"{trial.trial_id}, {trial.status}" + (f": {trial.error}" if trial.error else ""),
        "sample": f"{trial.scored} of {len(trial.clip_ids)} clips scored, from "
        + ", ".join(f"run {run}" for run in trial.run_ids),
        "scorer": trial.scorer + (f", model {trial.model}" if trial.model not in ("", trial.scorer) else ""),
        "prompt": "–" if prompt is None else f"{prompt.name}@{prompt.version}: {text.shorten(prompt.text, 100)}",
    }
    text.print_pairs(facts)
    if report.agreement is None:
        return
    print_report(report.agreement)
    flipped = [row for row in report.rows if row.flipped]
    if flipped:
        print()
        text.print_table(
            ["clip", "now", "P(yes)", "trial", "P(yes)", "progress"],
            [
                [
                    row.clip.clip_id,
                    label_word(row.clip.score),
                    text.number(row.clip.score.probability if row.clip.score else None),
                    label_word(row.score),
                    text.number(row.score.probability),
                    "yes" if row.clip.progress else "no",
                ]
                for row in flipped[:SHOWN_FLIPS]
            ],
        )
    if len(flipped) > SHOWN_FLIPS:
        print(f"and {len(flipped) - SHOWN_FLIPS} more; --json lists them all")
