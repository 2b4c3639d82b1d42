"""The command `train`: every setting is an option, and the result is one line of JSON or a short summary."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, add_config_options, given_config, positive_integer
from vlmrb.cli.progress import Progress
from vlmrb.config import TrainConfig, make_config
from vlmrb.errors import ConfigError
from vlmrb.types import RunFigures

if TYPE_CHECKING:
    from vlmrb.store import Store
    from vlmrb.train import TrainResult

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells expect


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "train",
        train_run,
        "train an agent, or resume a run that was stopped or killed",
        "python -m vlmrb train --env DoorKey-8x8 --replay vlm --scorer oracle --total-steps 300000 --seed 1",
        details="Ctrl-C saves a checkpoint and stops; --resume continues from it. Step counts are totals over all parallel "
        "environments.",
    )
    # too many settings to list
    parser.usage = "vlmrb train [--name TEXT] [--resume RUN [--from-start]] [--quiet] [--json] [--store URL] [settings]"
    parser.add_argument("--name", metavar="TEXT", help="name of the run (default: derived from its settings)")
    parser.add_argument(
        "--resume", metavar="RUN", type=positive_integer, help="resume this run; cannot be combined with settings"
    )
    parser.add_argument(
        "--from-start",
        action="store_true",
        help="with --resume: if no whole checkpoint is left, delete the run's curves and train it again from step 0",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_config_options(parser)


def train_run(arguments: argparse.Namespace) -> int:
    """`train`: start or resume a run, show its progress, report its result."""
    given = given_config(arguments)
    if arguments.resume and (given or arguments.name):
        names = ", ".join("--" + name.replace("_", "-") for name in [*given, *(["name"] if arguments.name else [])])
        raise ConfigError(f"--resume uses the settings of run {arguments.resume}; leave out {names}, or start a new run")
    if arguments.from_start and not arguments.resume:
        raise ConfigError("--from-start says how to --resume a run; leave it out")
    config = None if arguments.resume else make_config(**given)

    from vlmrb.store import Store

    with Store(arguments.store, create=not arguments.resume) as store:
        result = _train(store, config, arguments)
        run = store.run(result.run_id)
    # even when quiet: a run whose scoring failed, or whose scores or success rates mean something else, is not what was asked for
    counters = run.counters
    quiet = (counters.environment_notice, counters.prompt_notice) if arguments.quiet and not run.error else ()
    for warning in filter(None, (run.error, *quiet, counters.unknown_notice)):
        text.complain(f"warning: {warning}")
    _report(result, arguments)
    return EXIT_INTERRUPTED if result.status == "interrupted" else 0


def _train(store: Store, config: TrainConfig | None, arguments: argparse.Namespace) -> TrainResult:
    from vlmrb.train import resume, train

    total = config.total_steps if config else store.run(arguments.resume).total_steps
    start = 0 if config else store.run(arguments.resume).step
    with Progress(total, "steps", quiet=arguments.quiet, start=start) as progress:
        shown: set[str] = set()

        def show(step: int, _total: int, figures: RunFigures) -> None:
            for words in figures.news:
                if words not in shown:
                    shown.add(words)
                    progress.note(words)
            progress.update(step, _figures(figures))

        if config is None:
            result = resume(arguments.resume, store=store, progress=show, from_start=arguments.from_start)
        else:
            result = train(config, store=store, name=arguments.name, progress=show)
        progress.update(result.steps, f"success {text.percent(result.final_success_rate)}")
    return result


def _figures(figures: RunFigures) -> str:
    """The latest figures that are known, in a few words."""
    words = []
    if figures.success_rate is not None:
        words.append(f"success {text.percent(figures.success_rate)}")
    if figures.vlm_weight is not None:
        words.append(f"λ {figures.vlm_weight:.2f}")
    if figures.positive_rate is not None:
        words.append(f"yes {text.percent(figures.positive_rate)}")
    return ", ".join([*words, f"{figures.steps_per_second:.0f} steps/s"])


def _report(result: TrainResult, arguments: argparse.Namespace) -> None:
    if arguments.json:
        text.print_json(result)
        return
    text.print_pairs(
        {
            "run": f"{result.run_id} is {result.status} at step {result.steps}, {result.steps_per_second:.0f} steps per second",
            "success": f"{text.percent(result.final_success_rate)} in the last evaluation",
            "clips": f"{result.clips}: {result.clips_scored} scored ({text.percent(result.positive_rate)} yes, "
            f"{result.unknown} unknown), {result.stale} too late, {result.dropped} dropped",
            "next": _next_step(result),
        }
    )


def _next_step(result: TrainResult) -> str:
    if result.status == "finished":
        return f"python -m vlmrb clips {result.run_id} --label yes"
    return f"python -m vlmrb train --resume {result.run_id}"
