"""Commands to run jobs in the background and to organise runs: launch, jobs, cancel, resume, log, rename, tag, delete."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from vlmrb.cli import text
from vlmrb.cli.options import (
    add_command,
    add_config_options,
    add_destination_options,
    add_run_argument,
    given_config,
    given_destination,
    positive_integer,
)
from vlmrb.errors import ConfigError
from vlmrb.replay.registry import replay_methods, usual_methods
from vlmrb.types import LOCAL, Job

if TYPE_CHECKING:
    from vlmrb.store import Store

KEYS = ("quick", "compare", "recommended", "lambda", "visuals", "clips", "robot")


def add(commands: Any) -> None:
    """Register the commands."""
    _add_launch(commands)
    parser = add_command(commands, "jobs", list_jobs, "list background jobs, newest first", "python -m vlmrb jobs --limit-at 4")
    parser.add_argument("--limit-at", type=positive_integer, metavar="N", help="from now on, train at most N runs at a time")
    parser.add_argument(
        "--limit", type=positive_integer, metavar="N", default=50, help="maximum number of jobs to list (default: 50)"
    )
    parser.add_argument(
        "--checkpoints",
        metavar="PLACE",
        help="from now on, new runs keep their checkpoints there, as with 'launch --checkpoints'; 'none' takes that back",
    )
    parser.add_argument(
        "--limit-set", metavar="SET=N", help="from now on, train at most N runs of this set at a time, wherever they do; 0: any"
    )
    parser.add_argument(
        "--launcher", metavar="WHERE", help="from now on, launch runs here unless they say otherwise: local, ray or ray:ADDRESS"
    )
    parser = add_command(commands, "cancel", cancel_runs, "remove queued runs from the queue", "python -m vlmrb cancel 3 4")
    _add_runs(parser)
    summary = "resume runs in the background, from their latest checkpoints"
    parser = add_command(commands, "resume", resume_runs, summary, "python -m vlmrb resume 3 4")
    _add_runs(parser)
    add_destination_options(parser)
    parser = add_command(commands, "log", show_log, "print the end of a background run's log", "python -m vlmrb log 3")
    add_run_argument(parser)
    parser = add_command(commands, "rename", rename_run, "rename a run", 'python -m vlmrb rename 3 "λ = 0.25"')
    add_run_argument(parser)
    parser.add_argument("name", metavar="NAME", help="the new name")
    parser = add_command(commands, "tag", tag_run, "replace the tags of a run", "python -m vlmrb tag 3 baseline paper")
    add_run_argument(parser)
    parser.add_argument("tags", metavar="TAG", nargs="*", help="the new tags; give none to remove all")
    parser = add_command(
        commands,
        "delete",
        delete_runs,
        "delete runs, including their clips, scores and checkpoints",
        "python -m vlmrb delete 3 4 --yes",
    )
    _add_runs(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def _add_launch(commands: Any) -> None:
    parser = add_command(
        commands,
        "launch",
        launch_runs,
        "train a matched set of runs in the background: every method with every seed",
        "python -m vlmrb launch --env DoorKey-8x8 --methods vlm per uniform --scorer oracle --seeds 0 1 2 3 4",
        details="The runs keep training when you close this terminal. 'jobs' lists them, 'log' prints a run's output, 'control' "
        "changes a run.",
    )
    parser.usage = (
        "vlmrb launch [--preset NAME] [--methods M …] [--seeds N …] [--set-name TEXT] [--tag TEXT …] [--dry-run] "
        "[--on WHERE [--cpus N] [--gpus N] [--resource NAME=N …]] [settings]"
    )
    parser.add_argument("--preset", choices=KEYS, help="a predefined set of runs; your own settings override its settings")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=tuple(replay_methods()),
        help=f"replay methods (default: {' '.join(usual_methods())})",
    )
    parser.add_argument("--seeds", nargs="+", metavar="N", help="seeds for each method, for example 0 1 2 or 0-4 (default: 0)")
    parser.add_argument("--set-name", metavar="TEXT", default="", help="name of this set of runs")
    parser.add_argument("--tag", metavar="TEXT", action="append", default=[], help="tag for every run; can be repeated")
    parser.add_argument("--dry-run", action="store_true", help="print what would be launched, without launching it")
    add_destination_options(parser)
    add_config_options(parser)


def launch_runs(arguments: argparse.Namespace) -> int:
    """`launch`: check the set, queue it, and start as many runs as the limit allows."""
    from vlmrb import jobs
    from vlmrb.store import Store

    configs = _configs(arguments)
    with Store(arguments.store) as store:
        size = jobs.estimate(store, configs)
        destination = given_destination(arguments) or jobs.default_destination(store)
        run_ids = (
            []
            if arguments.dry_run
            else jobs.launch(store, configs, set_name=arguments.set_name, tags=arguments.tag, destination=destination)
        )
    if arguments.json:
        text.print_json({"run_ids": run_ids, "estimate": size, "configs": [config.model_dump() for config in configs]})
        return 0
    if destination.is_local:
        how_long = "" if size.seconds is None else f", about {text.duration(size.seconds)} in total"
        print(f"{_counted(size.runs)}, {size.at_a_time} at a time{how_long}: {size.basis}")
    else:
        print(f"{_counted(size.runs)} on {destination.launcher}, each with {jobs.in_words(destination.resources)}")
    for config in configs if arguments.dry_run else ():
        ratio = f"replay ratio {config.batch_size / config.train_freq:g}"
        print(f"  {config.env} {config.algo} {config.replay} seed {config.seed}, {config.total_steps} steps, {ratio}")
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
        raise ConfigError("launch: --methods or --preset already chooses the replay methods; leave out --replay")
    return matched_set(settings | given, variations, seeds or [0])


def list_jobs(arguments: argparse.Namespace) -> int:
    """`jobs`: running, queued and ended jobs, newest first."""
    from vlmrb import jobs, places
    from vlmrb.store import Store

    with Store(arguments.store, create=arguments.checkpoints is not None) as store:
        if arguments.limit_at is not None:
            jobs.set_job_limit(store, arguments.limit_at)
        if arguments.limit_set is not None:
            jobs.set_limit_of(store, *_set_limit(arguments.limit_set))
        if arguments.launcher is not None:
            jobs.set_default_destination(store, arguments.launcher)
        if arguments.checkpoints is not None:
            places.set_default_place(store, None if arguments.checkpoints == "none" else arguments.checkpoints)
        jobs.reconcile(store)
        limit, found = jobs.job_limit(store), store.jobs(limit=arguments.limit)
        checkpoints = store.setting("checkpoints")
        set_limits, destination = jobs.set_limits(store), jobs.default_destination(store)
        names = _studies(store) if any(job.kind == "study" for job in found) else {}
    if arguments.json:
        said = {"limit": limit, "set_limits": set_limits, "launcher": destination.launcher, "checkpoints": checkpoints}
        text.print_json(said | {"jobs": found})
        return 0
    print(f"at most {_counted(limit)} at a time on one machine" + (f"; checkpoints in {checkpoints}" if checkpoints else ""))
    for name, most in set_limits.items():
        print(f"at most {_counted(most)} of {text.plain(name)} at a time")
    if not destination.is_local:
        print(f"runs are launched on {text.plain(destination.launcher)} unless they say otherwise")
    if not found:
        print("no jobs yet; start some with: python -m vlmrb launch")
        return 0
    headers = ["job", "what", "status", "queued", "started", "ended", "error"]
    elsewhere = any(job.launcher != LOCAL for job in found)
    rows = [_row(job, names) + ([jobs.where(job) or LOCAL] if elsewhere else []) for job in found]
    text.print_table([*headers, "where"] if elsewhere else headers, rows)
    return 0


def _set_limit(words: str) -> tuple[str, int]:
    name, found, limit = words.rpartition("=")
    if not found or not limit.isdecimal() or len(limit) > 9:
        raise ConfigError(f"--limit-set: got {words!r}; allowed: a set's name, =, and a whole number, such as first=2")
    return name, int(limit)


def _studies(store: Store) -> dict[int, str]:
    """The names of the studies that have begun, by the number that jobs know them by."""
    from vlmrb import studies

    folders = studies.begun_studies(studies.default_folder(store.url))
    return {studies.number_of(folder.path.name): folder.path.name for folder in folders}


def _row(job: Job, studies: dict[int, str]) -> list[object]:
    target = studies.get(job.target_id, job.target_id) if job.kind == "study" else job.target_id
    what = f"{'run' if job.kind == 'train' else job.kind} {target}"
    times = [text.ago(time) for time in (job.queued_at, job.started_at, job.ended_at)]
    return [job.job_id, what, job.status, *times, text.shorten(job.error, 60)]


def cancel_runs(arguments: argparse.Namespace) -> int:
    """`cancel RUN…`."""
    from vlmrb import jobs

    return _each(arguments, jobs.cancel, "removed from the queue")


def resume_runs(arguments: argparse.Namespace) -> int:
    """`resume RUN…`."""
    from vlmrb import jobs

    destination = given_destination(arguments)
    return _each(arguments, lambda store, run_id: jobs.resume(store, run_id, destination), "queued to resume")


def delete_runs(arguments: argparse.Namespace) -> int:
    """`delete RUN…`: asks for confirmation, unless `--yes` is given."""
    from vlmrb import jobs

    if not arguments.yes:
        if not sys.stdin.isatty():
            raise ConfigError(
                "delete: not an interactive terminal, so it cannot ask for confirmation; add --yes to delete without asking"
            )
        runs = f"{_counted(len(arguments.run_ids))} ({', '.join(map(str, arguments.run_ids))})"
        question = f"Delete {runs} with all clips, scores and checkpoints? This cannot be undone. [y/N] "
        if input(question).strip().lower() != "y":
            print("nothing was deleted")
            return 0
    return _each(arguments, jobs.delete_run, "deleted")


def _each(arguments: argparse.Namespace, action: Any, done: str) -> int:
    """Apply the action to each run and report it; stop at the first error."""
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
        log, job = jobs.log_tail(store, run.run_id), store.job_of("train", run.run_id)
    if arguments.json:
        text.print_json({"run_id": run.run_id, "log": log, "job": job})
    else:
        if job is not None and (where := jobs.where(job)):
            print(text.plain(where))
        print(text.plain(log, lines=True).rstrip() or f"run {run.run_id} has no log; only background runs write one")
    return 0


def rename_run(arguments: argparse.Namespace) -> int:
    """`rename RUN NAME`."""
    from vlmrb.store import Store

    if not arguments.name.strip():
        raise ConfigError("rename: the name is empty; give a non-empty one")
    with Store(arguments.store, create=False) as store:
        store.rename_run(arguments.run_id, arguments.name)
        run = store.run(arguments.run_id)
    return _report(arguments, run, f"run {run.run_id} is now called {text.plain(run.name)}")


def tag_run(arguments: argparse.Namespace) -> int:
    """`tag RUN TAG…`."""
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        store.tag_run(arguments.run_id, arguments.tags)
        run = store.run(arguments.run_id)
    return _report(arguments, run, f"run {run.run_id} now has the tags: {text.plain(', '.join(run.tags) or 'none')}")


def _report(arguments: argparse.Namespace, run: Any, words: str) -> int:
    if arguments.json:
        text.print_json(run)
    else:
        print(words)
    return 0


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_ids", metavar="RUN", nargs="+", type=positive_integer, help="run numbers, as shown by 'runs'")


def _counted(n: int) -> str:
    return f"{n} run{'' if n == 1 else 's'}"
