"""The command that scores stored clips again and says how well the answers agree with what happened."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from vlmrb.agreement import auc, confusion, expected_calibration_error, flips
from vlmrb.cli import text
from vlmrb.cli.options import add_command, add_run_argument, positive_integer, share
from vlmrb.cli.progress import Progress
from vlmrb.config import TrainConfig
from vlmrb.errors import NotFoundError
from vlmrb.types import ClipScore, ClipSummary

PAGE = 1_000
"""Clip summaries read at a time."""


def add(commands: Any) -> None:
    """Register the command."""
    defaults = {name: field.default for name, field in TrainConfig.model_fields.items()}
    parser = add_command(
        commands,
        "score",
        score_run,
        "score the stored clips of a run again, by any scorer and prompt",
        'python -m vlmrb score 3 --scorer hf:models/plm-1b --prompt "Does the agent pick up a key?" --limit 200',
        details="Stores the scores beside the earlier ones and compares the labels with the simulator's events (progress: a key "
        "picked up, a door unlocked or opened, the goal reached) and with each clip's previous label.",
    )
    add_run_argument(parser)
    parser.add_argument(
        "--scorer",
        required=True,
        metavar="S",
        help="hf:<hub id or folder>, openai:<base-url>#<model>, or a control: oracle, reward, random:<rate>",
    )
    parser.add_argument(
        "--prompt", metavar="P", default="games", help="preset, 'name@version', or a yes/no question (default: games)"
    )
    parser.add_argument("--limit", type=positive_integer, metavar="N", help="at most so many clips, evenly spaced over the run")
    parser.add_argument(
        "--threshold",
        type=share,
        metavar="X",
        default=defaults["threshold"],
        help="label yes from this P(yes) on (default: %(default)s)",
    )
    parser.add_argument(
        "--frames",
        type=positive_integer,
        metavar="N",
        default=defaults["scorer_frames"],
        help="frames of a clip that a model looks at (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_integer,
        metavar="N",
        default=defaults["scoring_batch_size"],
        help="clips per call of the scorer (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="hf: torch device (default: auto)")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"), help="hf: weights' dtype")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def score_run(arguments: argparse.Namespace) -> int:
    """`score RUN`: score, store, compare."""
    from vlmrb.scoring import check_scorer, is_progress, resolve_prompt
    from vlmrb.store import Store

    check_scorer(arguments.scorer)
    prompt = resolve_prompt(arguments.prompt)
    with Store(arguments.store, create=False) as store:
        run = store.run(arguments.run_id)
        clips = _chosen(list(_clips_of(store, run.run_id)), arguments.limit)
        if not clips:
            raise NotFoundError(
                f"run {run.run_id} has no stored clips; only runs with --keep-clips (the default) and a scorer have some"
            )
        prompt = store.save_prompt(prompt.name, prompt.text)
        started = time.perf_counter()
        scores = _score_all(store, run, clips, prompt, arguments)
        seconds = time.perf_counter() - started
    happened = [any(is_progress(event) for _, event in clip.events) for clip in clips]
    report = {
        "run_id": run.run_id,
        "scorer": arguments.scorer,
        "model": scores[0].model,
        "revision": scores[0].revision,
        "prompt": prompt,
        "clips_per_second": len(clips) / seconds,
    } | _report(clips, scores, happened)
    if arguments.json:
        text.print_json(report)
    else:
        _print(report)
    return 0


def _clips_of(store: Any, run_id: int) -> Iterator[ClipSummary]:
    """All clips that count, oldest first."""
    after = None
    while page := store.clips(run_id, limit=PAGE, after=after, order="oldest"):
        yield from page
        after = page[-1].clip_id


def _chosen(clips: list[ClipSummary], limit: int | None) -> list[ClipSummary]:
    """At most `limit` of them, evenly spaced."""
    if limit is None or limit >= len(clips):
        return clips
    return [clips[i] for i in np.linspace(0, len(clips) - 1, limit).round().astype(int)]


def _score_all(store: Any, run: Any, clips: list[ClipSummary], prompt: Any, arguments: argparse.Namespace) -> list[ClipScore]:
    """Score, and store what has come in about twice a second: what an interruption leaves is whole."""
    from vlmrb.envs import make_renderer
    from vlmrb.scoring import ScorerOptions, ScoringWorker, make_scorer

    options = ScorerOptions(arguments.frames, arguments.threshold, arguments.device, arguments.dtype)
    writer = store.writer(run.run_id)
    scores: list[ClipScore] = []
    ahead = 8 * arguments.batch_size  # clips handed over and not yet answered, at most: the scorer never waits for us
    worker = ScoringWorker(
        partial(make_scorer, arguments.scorer, options),
        partial(make_renderer, run.render_spec),
        prompt,
        batch_size=arguments.batch_size,
        queue_size=ahead,
    )
    started = time.monotonic()
    try:
        with Progress(len(clips), "clips", quiet=arguments.quiet) as progress:
            waiting = iter(clips)
            while len(scores) < len(clips):
                for clip in islice(waiting, ahead - worker.backlog):
                    worker.submit(store.load_clip(clip.clip_id))
                for _, score in worker.drain(wait=True, timeout_s=0.5):
                    writer.add_score(score)
                    scores.append(score)
                writer.flush()
                rate = len(scores) / (time.monotonic() - started)
                progress.update(len(scores), f"yes {text.percent(_positive_rate(scores))}, {text.number(rate)} clips/s")
    finally:
        worker.close()
    return scores


def _report(clips: list[ClipSummary], scores: list[ClipScore], happened: list[bool]) -> dict[str, Any]:
    labels, probabilities = [score.label for score in scores], [score.probability for score in scores]
    previous = [None if clip.score is None else clip.score.label for clip in clips]
    table, changes = confusion(labels, happened), flips(previous, labels)
    return {
        "clips": len(clips),
        "unknown": table.unknown,
        "positive_rate": table.positive_rate,
        "event_rate": sum(happened) / len(happened),
        "confusion": table,
        "precision": table.precision,
        "recall": table.recall,
        "accuracy": table.accuracy,
        "auc": auc(probabilities, happened),
        "calibration_error": expected_calibration_error(probabilities, happened),
        "flips": changes,
        "flipped": changes.flipped,
        "kappa": changes.kappa,
        "first_error": next((score.error for score in scores if score.error), ""),
    }


def _positive_rate(scores: list[ClipScore]) -> float | None:
    known = [score.label for score in scores if score.label is not None]
    return sum(known) / len(known) if known else None


def _print(report: dict[str, Any]) -> None:
    table, changes, prompt = report["confusion"], report["flips"], report["prompt"]
    text.print_pairs(
        {
            "scored": f"{report['clips']} clips of run {report['run_id']}, {report['clips_per_second']:.3g} per second",
            "scorer": report["scorer"] + (f", model {report['model']}" if report["model"] != report["scorer"] else ""),
            "prompt": f"{prompt.name}@{prompt.version}: {text.shorten(prompt.text, 100)}",
            "labelled yes": f"{text.percent(report['positive_rate'])}; events say {text.percent(report['event_rate'])}",
            "unknown": f"{report['unknown']}" + (f" ({report['first_error']})" if report["first_error"] else ""),
        }
    )
    print()
    text.print_table(
        ["", "progress", "no progress"],
        [
            ["yes", table.true_positives, table.false_positives],
            ["no", table.false_negatives, table.true_negatives],
        ],
    )
    print()
    text.print_pairs(
        {
            "precision": text.number(report["precision"]),
            "recall": text.number(report["recall"]),
            "AUC": text.number(report["auc"]),
            "calibration error": text.number(report["calibration_error"]),
            "flips": f"{changes.flipped} of {changes.n} with an earlier label ({changes.to_yes} to yes, {changes.to_no} to no; "
            f"κ {text.number(report['kappa'])})",
        }
    )
