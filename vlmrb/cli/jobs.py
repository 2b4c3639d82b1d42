"""Commands for background jobs and for keeping runs in order: launch, jobs, cancel, resume, log, rename, tag, delete."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, add_config_options, add_run_argument, given_config, positive_integer
from vlmrb.errors import ConfigError
from vlmrb.replay.registry import replay_methods, usual_methods
from vlmrb.types import Job

KEYS = ("quick", "compare", "lambda", "visuals", "clips", "robot")


def add(commands: Any) -> None:
    """Register the commands."""
    _add_launch(commands)
    parser = add_command(
        commands, "jobs", list_jobs, "list what runs and waits in the background", "python -m vlmrb jobs --limit-at 4"
    )
    parser.add_argument("--limit-at", type=positive_integer, metavar="N", help="let at most N runs train at a time from now on")
    parser.add_argument("--limit", type=positive_integer, metavar="N", default=50, help="list at most so many (default: 50)")
    for name, run, summary in (
        ("cancel", cancel_runs, "take runs that wait out of the queue"),
        ("resume", resume_runs, "go on with runs in the background, from their newest checkpoints"),
    ):
        parser = add_command(commands, name, run, summary, f"python -m vlmrb {name} 3 4")
        _add_runs(parser)
    parser = add_command(commands, "log", show_log, "print the end of a background run's log", "python -m vlmrb log 3")
    add_run_argument(parser)
    parser = add_command(commands, "rename", rename_run, "give a run another name", 'python -m vlmrb rename 3 "λ = 0.25"')
    add_run_argument(parser)
    parser.add_argument("name", metavar="NAME", help="the new name")
    parser = add_command(commands, "tag", tag_run, "replace the tags of a run", "python -m vlmrb tag 3 baseline paper")
    add_run_argument(parser)
    parser.add_argument("tags", metavar="TAG", nargs="*", help="the tags; none takes all away")
    parser = add_command(
        commands,
        "delete",
        delete_runs,
        "delete runs with their clips, scores and checkpoints",
        "python -m vlmrb delete 3 4 --yes",
    )
    _add_runs(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_launch(commands: Any) -> None:
    parser = add_command(
        commands,
        "launch",
        launch_runs,
        "train a matched set of runs in the background: every method with every seed",
        "python -m vlmrb launch --env DoorKey-8x8 --methods vlm per uniform --scorer oracle --seeds 0 1 2 3 4",
        details="They go on when this terminal is closed. 'jobs' lists them, 'log' has what they say, 'control' changes them.",
    )
    parser.usage = (
        "vlmrb launch [--preset NAME] [--methods M …] [--seeds N …] [--set-name TEXT] [--tag TEXT …] [--dry-run] [settings]"
    )
    parser.add_argument("--preset", choices=KEYS, help="a set that is ready to launch; settings that you give come on top")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=tuple(replay_methods()),
        help=f"replay methods (default: {' '.join(usual_methods())})",
    )
    parser.add_argument("--seeds", nargs="+", metavar="N", help="seeds of each method, such as 0 1 2 or 0-4 (default: 0)")
    parser.add_argument("--set-name", metavar="TEXT", default="", help="what this set of runs is called")
    parser.add_argument("--tag", metavar="TEXT", action="append", default=[], help="tag every run; may be given several times")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be launched, and launch nothing")
    add_config_options(parser)


def launch_runs(arguments: argparse.Namespace) -> int:
    """`launch`: check, queue, start what may start."""
    from vlmrb import jobs
    from vlmrb.store import Store

    configs = _configs(arguments)
    with Store(arguments.store) as store:
        size = jobs.estimate(store, configs)
        run_ids = [] if arguments.dry_run else jobs.launch(store, configs, set_name=arguments.set_name, tags=arguments.tag)
    if arguments.json:
        text.print_json({"run_ids": run_ids, "estimate": size, "configs": [config.model_dump() for config in configs]})
        return 0
    how_long = "" if size.seconds is None else f", about {text.duration(size.seconds)} in all"
    print(f"{_counted(size.runs)}, {size.at_a_time} at a time{how_long}: {size.basis}")
    for config in configs if arguments.dry_run else ():
        print(f"  {config.env} {config.algo} {config.replay} seed {config.seed}, {config.total_steps} steps")
    if run_ids:
        print(f"launched: {', '.join(map(str, run_ids))}; see: python -m vlmrb jobs")
    return 0


def _configs(arguments: argparse.Namespace) -> list[Any]:
    from vlmrb.jobs import matched_set, parse_seeds, preset

    given = given_config(arguments)
    if arguments.seeds and "seed" in given:
        raise ConfigError("launch: give --seeds or --seed, not both")
    seeds = parse_seeds(" ".join(arguments.seeds or [str(given.pop("seed", ""))]))
    settings: dict[str, Any] = {}
    variations: list[Any] = []
    if arguments.preset:
        chosen = preset(arguments.preset)
        settings, variations, seeds = dict(chosen.settings), list(chosen.variations), seeds or list(chosen.seeds)
    if arguments.methods or not variations:
        methods = arguments.methods or ([given.pop("replay")] if "replay" in given else list(usual_methods()))
        variations = [{"replay": method} for method in methods]
    if "replay" in given:
        raise ConfigError("launch: --methods or --preset says how the runs replay; leave out --replay")
    return matched_set(settings | given, variations, seeds or [0])


def list_jobs(arguments: argparse.Namespace) -> int:
    """`jobs`: what runs, waits and has ended, newest first."""
    from vlmrb import jobs
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        if arguments.limit_at is not None:
            jobs.set_job_limit(store, arguments.limit_at)
        jobs.reconcile(store)
        limit, found = jobs.job_limit(store), store.jobs(limit=arguments.limit)
    if arguments.json:
        text.print_json({"limit": limit, "jobs": found})
        return 0
    print(f"at most {_counted(limit)} at a time on one machine")
    if not found:
        print("nothing runs or waits; start something with: python -m vlmrb launch")
        return 0
    headers = ["job", "what", "status", "queued", "started", "ended", "error"]
    text.print_table(headers, [_row(job) for job in found])
    return 0


def _row(job: Job) -> list[object]:
    what = f"{'run' if job.kind == 'train' else job.kind} {job.target_id}"
    times = [text.ago(time) for time in (job.queued_at, job.started_at, job.ended_at)]
    return [job.job_id, what, job.status, *times, text.shorten(job.error, 60)]


def cancel_runs(arguments: argparse.Namespace) -> int:
    """`cancel RUN…`."""
    from vlmrb import jobs

    return _each(arguments, jobs.cancel, "taken out of the queue")


def resume_runs(arguments: argparse.Namespace) -> int:
    """`resume RUN…`."""
    from vlmrb import jobs

    return _each(arguments, jobs.resume, "queued to go on")


def delete_runs(arguments: argparse.Namespace) -> int:
    """`delete RUN…`: asks first, unless told not to."""
    from vlmrb import jobs

    if not arguments.yes:
        if not sys.stdin.isatty():
            raise ConfigError("delete: nobody is there to be asked; add --yes to delete without asking")
        runs = ", ".join(map(str, arguments.run_ids))
        if input(f"Delete {runs} with all clips, scores and checkpoints? It cannot be undone. [y/N] ").strip().lower() != "y":
            print("nothing was deleted")
            return 0
    return _each(arguments, jobs.delete_run, "deleted")


def _each(arguments: argparse.Namespace, action: Any, done: str) -> int:
    """Do it to each run, telling each; the first that cannot be done ends it."""
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        for run_id in arguments.run_ids:
            action(store, run_id)
            if not arguments.json:
                print(f"run {run_id}: {done}")
    if arguments.json:
        text.print_json({"run_ids": arguments.run_ids})
    return 0


def show_log(arguments: argparse.Namespace) -> int:
    """`log RUN`."""
    from vlmrb import jobs
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        run = store.run(arguments.run_id)
        log = jobs.log_tail(store, run.run_id)
    if arguments.json:
        text.print_json({"run_id": run.run_id, "log": log})
    else:
        print(text.plain(log, lines=True).rstrip() or f"run {run.run_id} has no log; only runs in the background write one")
    return 0


def rename_run(arguments: argparse.Namespace) -> int:
    """`rename RUN NAME`."""
    from vlmrb.store import Store

    if not arguments.name.strip():
        raise ConfigError("rename: the name is empty; give one")
    with Store(arguments.store, create=False) as store:
        store.rename_run(arguments.run_id, arguments.name)
        run = store.run(arguments.run_id)
    return _tell(arguments, run, f"run {run.run_id} is now called {text.plain(run.name)}")


def tag_run(arguments: argparse.Namespace) -> int:
    """`tag RUN TAG…`."""
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        store.tag_run(arguments.run_id, arguments.tags)
        run = store.run(arguments.run_id)
    return _tell(arguments, run, f"run {run.run_id} has the tags: {text.plain(', '.join(run.tags) or 'none')}")


def _tell(arguments: argparse.Namespace, run: Any, words: str) -> int:
    if arguments.json:
        text.print_json(run)
    else:
        print(words)
    return 0


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_ids", metavar="RUN", nargs="+", type=positive_integer, help="numbers of runs, as 'runs' lists them")


def _counted(n: int) -> str:
    return f"{n} run{'' if n == 1 else 's'}"
