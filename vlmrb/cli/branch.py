"""The command `branch`: continue a run's checkpoint with other settings, as runs of their own."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmrb.cli import text
from vlmrb.cli.options import (
    add_command,
    add_config_options,
    add_destination_options,
    add_run_argument,
    given_config,
    given_destination,
    step_count,
)
from vlmrb.cli.progress import Progress
from vlmrb.cli.train import EXIT_INTERRUPTED
from vlmrb.errors import ConfigError
from vlmrb.moments import SUCCESSES
from vlmrb.replay.registry import replay_methods
from vlmrb.types import RunSummary

if TYPE_CHECKING:
    from vlmrb.store import Store


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "branch",
        branch_run,
        "continue a run from one of its checkpoints with other settings, as new runs",
        "python -m vlmrb branch 3 --at fifth-success --replay uniform per vlm --seeds 0-2 --steps 130000",
        details="Networks, optimiser, buffer and generators are the parent's; schedules go on as they would have. What the new "
        "replay method needs is computed, or scored, before training starts. 'show' lists the checkpoints that a run has.",
    )
    parser.usage = (
        "vlmrb branch RUN --at STEP|first-success|fifth-success [--replay M …] [--seeds N …] [--steps N] [--wait] "
        "[--set-name TEXT] [--tag TEXT …] [--on WHERE [--cpus N] [--gpus N] [--resource NAME=N …]] [--json] [--store URL] "
        "[settings]"
    )
    add_run_argument(parser)
    parser.add_argument("--at", required=True, metavar="STEP", type=_moment, help="a step, first-success or fifth-success")
    parser.add_argument(
        "--replay", nargs="+", metavar="M", choices=tuple(replay_methods()), help="a branch for each of these replay methods"
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        metavar="N",
        help="continuation seeds, for example 0 1 2 or 0-4: 0 (default) keeps the parent's generators; any other seeds "
        "exploration and sampling anew",
    )
    parser.add_argument("--steps", type=step_count, metavar="N", help="train for N more steps (default: until the parent's end)")
    parser.add_argument("--wait", action="store_true", help="train here, one after another, instead of in the background")
    parser.add_argument("--quiet", action="store_true", help="with --wait: show no progress")
    parser.add_argument("--set-name", metavar="TEXT", default="", help="name of this set of runs")
    parser.add_argument("--tag", metavar="TEXT", action="append", default=[], help="tag for every branch; can be repeated")
    add_destination_options(parser)
    add_config_options(parser, without=("replay",))


def branch_run(arguments: argparse.Namespace) -> int:
    """`branch RUN`: check, write the branches, and queue them or train them here."""
    from vlmrb import branching, jobs
    from vlmrb.store import Store

    given = given_config(arguments)
    given.pop("replay", None)
    changes = [{**given, "replay": method} for method in arguments.replay] if arguments.replay else [given]
    seeds = jobs.parse_seeds(" ".join(arguments.seeds)) if arguments.seeds else [0]
    destination = given_destination(arguments)
    if arguments.wait and destination is not None:
        raise ConfigError("branch: --wait trains here; leave out --wait or --on")
    make = branching.branch if arguments.wait else partial(jobs.branch, destination=destination)
    with Store(arguments.store, create=False) as store:
        run_ids = make(
            store,
            arguments.run_id,
            arguments.at,
            changes,
            seeds,
            steps=arguments.steps,
            set_name=arguments.set_name,
            tags=arguments.tag,
        )
        interrupted = arguments.wait and not all(_train(store, run_id, arguments) for run_id in run_ids)
        runs = [store.run(run_id) for run_id in run_ids]
    _report(runs, arguments)
    return EXIT_INTERRUPTED if interrupted else 0


def _train(store: Store, run_id: int, arguments: argparse.Namespace) -> bool:
    """Train a branch in this process; False if it was interrupted."""
    from vlmrb.train import resume

    run = store.run(run_id)
    with Progress(run.total_steps, "steps", quiet=arguments.quiet or arguments.json, start=run.step) as bar:
        result = resume(run_id, store=store, progress=lambda step, _, figures: bar.update(step, figures.warning))
        bar.update(result.steps, f"success {text.percent(result.final_success_rate)}")
    return result.status != "interrupted"


def _report(runs: list[RunSummary], arguments: argparse.Namespace) -> None:
    if arguments.json:
        text.print_json({"run_ids": [run.run_id for run in runs], "runs": runs})
        return
    step, moment = runs[0].parent_step, runs[0].parent_moment
    at = f"step {step}" + (f" ({moment})" if moment != "step" else "")
    print(f"{len(runs)} branch{'es' if len(runs) > 1 else ''} of run {arguments.run_id} at {at}")
    text.print_table(
        ["run", "name", "status", "steps"], [[r.run_id, r.name, r.status, f"{r.step}/{r.total_steps}"] for r in runs]
    )
    if not arguments.wait:
        print("see: python -m vlmrb jobs")


def _moment(word: str) -> str | int:
    """An argparse type: a step, or the name of a moment."""
    if word in SUCCESSES:
        return word
    try:
        return step_count(word)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"got {word!r}; allowed: a step such as 100000, {' or '.join(SUCCESSES)}") from error
