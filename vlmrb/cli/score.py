"""The command `score`: scores stored clips again and reports how well the labels agree with what happened."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, add_run_argument, positive_integer, share
from vlmrb.cli.progress import Progress
from vlmrb.config import TrainConfig
from vlmrb.panels import reads_prompt
from vlmrb.types import ClipScore, ClipSummary, Prompt

if TYPE_CHECKING:
    from vlmrb.analysis.agreement import Agreement
    from vlmrb.rescoring import AgreementReport, JudgedQuestion, ScoringProgress
    from vlmrb.store import Store


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "score",
        score_run,
        "score the stored clips of a run again, with any scorer and prompt",
        'python -m vlmrb score 3 --scorer hf:models/plm-1b --prompt "Does the agent pick up a key?" --limit 200',
        details="Adds the new scores to the stored ones, and compares the new labels with the simulator's events (progress: a "
        "key picked up, a door unlocked or opened, the goal reached), with people's judgements, and with each clip's previous "
        "label. 'trial' does the same for a sample without changing any label.",
    )
    add_run_argument(parser)
    add_scorer_options(parser)
    parser.add_argument(
        "--limit", type=positive_integer, metavar="N", help="maximum number of clips to score, evenly spaced over the run"
    )
    parser.add_argument(
        "--batch-size",
        type=positive_integer,
        metavar="N",
        default=TrainConfig.model_fields["scoring_batch_size"].default,
        help="clips per call to the scorer (default: %(default)s)",
    )


def add_scorer_options(parser: argparse.ArgumentParser) -> None:
    """Add --scorer, --prompt, the options that go with them, and --quiet."""
    defaults = {name: field.default for name, field in TrainConfig.model_fields.items()}
    parser.add_argument(
        "--scorer",
        default="embedded",
        metavar="S",
        help="embedded (default), hf:<hub id or folder>, openai:<base-url>#<model>, shared:<base-url>, "
        "a control scorer (oracle, reward, random:<rate>), or several of these: 'vote:A|B|C', 'cascade:SMALL|LARGE@0.2'",
    )
    parser.add_argument(
        "--prompt",
        metavar="P",
        default="games",
        help="preset, 'name@version', or a yes/no question or set of them (lines that start with '- '); default: games",
    )
    parser.add_argument(
        "--threshold",
        type=share,
        metavar="X",
        default=defaults["threshold"],
        help="label a clip yes if P(yes) is at least this (default: %(default)s)",
    )
    parser.add_argument(
        "--frames",
        type=positive_integer,
        metavar="N",
        help="frames per clip shown to a model (default: as many as the embedded model was trained on; 8 for others; of clips of "
        "text all steps that fit)",
    )
    parser.add_argument(
        "--truth",
        metavar="T",
        help="what the answers are judged by: progress, a kind of it, or an event of the clips, such as 'opened door' (default: "
        "what fits the question, and progress for a set, whose questions are judged one by one, too)",
    )
    parser.add_argument("--device", default="auto", help="torch device of an hf: scorer (default: auto)")
    parser.add_argument(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="dtype of the weights of an hf: scorer (default: auto)",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def score_run(arguments: argparse.Namespace) -> int:
    """`score RUN`: score, store, compare."""
    from vlmrb.rescoring import check_missions, choose_clips, fit_to_runs, notices, report
    from vlmrb.scoring import check_scorer, resolve_prompt
    from vlmrb.store import Store

    check_scorer(arguments.scorer)
    prompt = resolve_prompt(arguments.prompt)
    with Store(arguments.store, create=False) as store:
        arguments.scorer = fit_to_runs(arguments.scorer, store, [arguments.run_id])
        check_scorer(arguments.scorer)
        for notice in notices(store, arguments.scorer, [arguments.run_id], prompt):
            text.complain(f"warning: {notice}")
        clips = choose_clips(store, arguments.run_id, arguments.limit)
        check_missions(prompt, arguments.scorer, clips)
        prompt = store.save_prompt(prompt.name, prompt.text)
        started = time.perf_counter()
        scores = _score(store, clips, prompt, arguments)
        rate = len(clips) / (time.perf_counter() - started)
    found = report(clips, scores, prompt if reads_prompt(arguments.scorer) else None, arguments.truth)
    if arguments.json:
        who = {"run_id": arguments.run_id, "scorer": arguments.scorer, "model": scores[0].model, "revision": scores[0].revision}
        text.print_json(who | {"prompt": prompt, "clips_per_second": rate} | report_json(found))
    else:
        text.print_pairs(
            {
                "scored": f"{len(clips)} clips of run {arguments.run_id}, {rate:.3g} per second",
                "scorer": arguments.scorer + (f", model {scores[0].model}" if scores[0].model != arguments.scorer else ""),
                "prompt": f"{prompt.name}@{prompt.version}: {text.shorten(prompt.text, 100)}",
            }
        )
        print_report(found)
    return 0


def show_progress(bar: Progress) -> Any:
    """A callback that shows the progress of `score_clips` on a bar."""

    def update(progress: ScoringProgress) -> None:
        bar.update(progress.done, str(progress))

    return update


def report_json(report: AgreementReport) -> dict[str, Any]:
    """A report as flat JSON: agreement with events, then `people` (null without judgements), then flips."""
    return (
        {"clips": report.clips, "first_error": report.first_error, "answers": report.answers, "truth": report.truth}
        | {"questions": [_question_json(each) for each in report.questions], "missing_votes": report.missing_votes}
        | agreement_json(report.events)
        | {"people": None if report.people is None else agreement_json(report.people)}
        | {"flips": report.flips, "flipped": report.flips.flipped, "kappa": report.flips.kappa}
    )


def _question_json(judged: JudgedQuestion) -> dict[str, Any]:
    return {"question": judged.question, "truth": judged.truth} | agreement_json(judged.events)


def print_report(report: AgreementReport) -> None:
    """Print a report for people."""
    events, changes = report.events, report.flips
    text.print_pairs(
        ({"rule": report.rule} if report.rule else {})
        | {
            "labelled yes": f"{text.percent(events.confusion.positive_rate)}; events say {text.percent(events.truth_rate)}",
            "unknown": f"{events.confusion.unknown} of {report.clips}"
            + (f" ({report.first_error})" if report.first_error else ""),
        }
        | ({"missing votes": report.missing_votes} if report.missing_votes else {})
    )
    print()
    _print_agreement(events, report.truth.replace("_", " "), f"no {report.truth.replace('_', ' ')}")
    if report.questions:
        print()
        text.print_table(
            ["question", "judged by", "AUC", "precision", "recall", "yes"],
            [
                [
                    text.shorten(each.question, 60),
                    each.truth.replace("_", " "),
                    text.number(each.events.auc),
                    text.percent(each.events.confusion.precision),
                    text.percent(each.events.confusion.recall),
                    text.percent(each.events.confusion.positive_rate),
                ]
                for each in report.questions
            ],
        )
    if report.people is not None:
        print()
        _print_agreement(report.people, "people: yes", "people: no")
    print()
    text.print_pairs(
        {
            "flips": f"{changes.flipped} of {changes.n} with an earlier label ({changes.to_yes} to yes, {changes.to_no} to no; "
            f"κ {text.number(changes.kappa)})"
        }
    )


def _score(store: Store, clips: list[ClipSummary], prompt: Prompt, arguments: argparse.Namespace) -> list[ClipScore]:
    """Score the clips; store new scores about twice a second, so that an interruption loses little."""
    from vlmrb.rescoring import score_clips
    from vlmrb.scoring import ScorerOptions

    writer = store.writer(arguments.run_id)

    def keep(scores: list[ClipScore]) -> None:
        for score in scores:
            writer.add_score(score)
        writer.flush()

    options = ScorerOptions(arguments.frames, arguments.threshold, arguments.device, arguments.dtype)
    with Progress(len(clips), "clips", quiet=arguments.quiet) as bar:
        return score_clips(
            store,
            clips,
            arguments.scorer,
            prompt,
            options,
            batch_size=arguments.batch_size,
            on_scores=keep,
            progress=show_progress(bar),
        )


def agreement_json(agreement: Agreement) -> dict[str, Any]:
    """The figures of an agreement as one flat object."""
    table = agreement.confusion
    return {
        "unknown": table.unknown,
        "positive_rate": table.positive_rate,
        "event_rate": agreement.truth_rate,
        "confusion": table,
        "precision": table.precision,
        "recall": table.recall,
        "accuracy": table.accuracy,
        "auc": agreement.auc,
        "calibration_error": agreement.calibration_error,
    }


def _print_agreement(agreement: Agreement, yes: str, no: str) -> None:
    table = agreement.confusion
    text.print_table(
        ["", yes, no],
        [
            ["yes", table.true_positives, table.false_positives],
            ["no", table.false_negatives, table.true_negatives],
        ],
    )
    text.print_pairs(
        {
            "precision": text.number(table.precision),
            "recall": text.number(table.recall),
            "AUC": text.number(agreement.auc),
            "calibration error": text.number(agreement.calibration_error),
        }
    )
