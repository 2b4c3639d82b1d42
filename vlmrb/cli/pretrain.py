"""The command `pretrain`: trains an embedded model, or evaluates a model folder."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, positive_integer
from vlmrb.cli.progress import Progress
from vlmrb.errors import ConfigError

if TYPE_CHECKING:
    from vlmrb.pretrain.evaluation import Evaluation, Phrasings
    from vlmrb.pretrain.recipe import PretrainProgress


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "pretrain",
        pretrain_model,
        "train an embedded model from scratch, or evaluate a model on held-out environments",
        "python -m vlmrb pretrain --out embedded",
        details="Trains a small vision-language model in simulation: on every MiniGrid family except DoorKey, or on OGBench's "
        "robot with random layouts. --evaluate tests any model folder on the held-out environments: DoorKey, or OGBench's own "
        "tasks. Does not use the store.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="FOLDER", help="save the model here")
    what.add_argument("--evaluate", type=Path, metavar="FOLDER", help="evaluate the model in this folder")
    parser.add_argument(
        "--suite", choices=("grids", "robots"), default="grids", help="environments to train or evaluate on (default: grids)"
    )
    long = parser.add_mutually_exclusive_group()
    long.add_argument(
        "--clips",
        type=positive_integer,
        metavar="N",
        help="number of clips to train on (default: as for the shipped model) or to evaluate on (default: 500)",
    )
    long.add_argument("--hours", type=float, metavar="H", help="train for this many hours instead of a number of clips")
    parser.add_argument(
        "--start", type=Path, metavar="FOLDER", help="train the model in this folder further, instead of one from scratch"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the data (default: 0)")
    parser.add_argument("--device", default="auto", help="torch device (default: cuda if available, else cpu)")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="worker processes that generate clips (default: 1; 0: generate them in this process)",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="with --evaluate, keep in the model's folder a threshold per question, found on as many other clips beforehand, and "
        "precision and recall, so that prompts that it is weak at get a notice",
    )
    parser.add_argument("--resume", action="store_true", help="resume an interrupted training")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def pretrain_model(arguments: argparse.Namespace) -> int:
    """`pretrain`: train or evaluate."""
    if arguments.evaluate is not None:
        if arguments.start is not None:
            raise ConfigError(f"--start {arguments.start}: nothing is trained with --evaluate; give --out, or leave --start out")
        return _evaluate(arguments)
    if arguments.record:
        raise ConfigError("--record: nothing is measured with --out; give --evaluate FOLDER, or leave --record out")
    from vlmrb.pretrain.recipe import Recipe, pretrain
    from vlmrb.pretrain.suites import suite_of

    if arguments.workers < 0:
        raise ConfigError(f"--workers: got {arguments.workers}; must be 0 or more")
    default = suite_of(arguments.suite).clips if arguments.hours is None else None
    recipe = Recipe(
        clips=arguments.clips or default,
        hours=arguments.hours,
        seed=arguments.seed,
        suite=arguments.suite,
        start=str(arguments.start or ""),
    )
    last: list[PretrainProgress] = []
    with Progress(1000, "‰", quiet=arguments.quiet) as bar:

        def report(progress: PretrainProgress) -> None:
            last[:] = [progress]
            bar.update(round(1000 * progress.share), describe(progress))

        pretrain(
            recipe,
            arguments.out,
            device=arguments.device,
            workers=arguments.workers,
            resume=arguments.resume,
            report=report,
            report_data=lambda share: bar.update(0, f"collecting clips, {text.percent(share)}"),
        )
    if arguments.json:
        text.print_json({"folder": arguments.out, "progress": last[0] if last else None})
    else:
        print(f"saved the model in {text.plain(arguments.out)}; use it with: --scorer hf:{text.plain(arguments.out)}")
    return 0


def describe(progress: PretrainProgress) -> str:
    """Training progress, in a few figures."""
    figures = [f"{progress.clips} clips", f"see {progress.see:.2f} ({text.percent(progress.seen)})"]
    if not math.isnan(progress.answer):
        figures.append(f"read {progress.read:.3f}")
        figures.append(f"answer {progress.answer:.3f} ({text.percent(progress.right)} correct)")
    return ", ".join([*figures, f"{progress.clips_per_second:.3g} clips/s"])


def _evaluate(arguments: argparse.Namespace) -> int:
    from vlmrb.pretrain.calibration import calibrate, keep
    from vlmrb.pretrain.evaluation import evaluate, record

    folder, clips = arguments.evaluate, arguments.clips or 500
    where: Any = {"suite": arguments.suite, "clips": clips, "device": arguments.device}
    if arguments.record:
        with Progress(1000, "‰", quiet=arguments.quiet) as bar:
            offsets = calibrate(folder, **where, report=lambda share: bar.update(round(1000 * share), "finding thresholds"))
        keep(offsets, clips, folder)
    with Progress(1000, "‰", quiet=arguments.quiet) as bar:
        found = evaluate(folder, **where, seed=arguments.seed, report=lambda share: bar.update(round(1000 * share)))
    if arguments.json:
        text.print_json(found)
    else:
        print_evaluation(found)
    if arguments.record:
        record(found, folder)
    return 0


def phrasings(found: Phrasings | None) -> str:
    """'AUC, precision / recall' of phrasings that training never saw."""
    if found is None:
        return "–"
    return f"{text.number(found.auc)}, {text.number(found.precision)} / {text.number(found.recall)}"


def print_evaluation(found: Evaluation) -> None:
    """Print the results as Markdown tables, ready for a model card."""
    headers = ["question", "n", "yes", "AUC", "precision", "recall", "calibration error"]
    headers += ["new phrasings", "opposite differs", "opposite, new phrasings"]
    rows = []
    for entry in found.questions:
        table = entry.agreement.confusion
        numbers = map(text.number, (entry.agreement.auc, table.precision, table.recall, entry.agreement.calibration_error))
        share, differs = text.percent(entry.agreement.truth_rate), text.percent(entry.opposite_differs)
        row = [entry.question, entry.n, share, *numbers, phrasings(entry.held_out), differs, phrasings(entry.held_out_opposite)]
        rows.append(row)
    text.print_table(headers, rows, markdown=True)
    print()
    envs = list(found.questions[0].by_env)
    by_env = [[entry.question, *(text.number(entry.by_env[env]) for env in envs)] for entry in found.questions]
    text.print_table(["AUC", *envs], by_env, markdown=True)
    print()
    text.print_pairs(
        {
            **{f"AUC of meaningful progress, {name} visuals": text.number(value) for name, value in found.visuals.items()},
            "clips per second, one thread": text.number(found.clips_per_second),
        }
    )
