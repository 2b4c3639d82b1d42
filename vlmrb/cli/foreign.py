"""The commands `import` and `export`: curves from other programs, and for TensorBoard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, positive_integer
from vlmrb.errors import ConfigError
from vlmrb.types import SUCCESS


def add(commands: Any) -> None:
    """Register the commands."""
    parser = add_command(
        commands,
        "import",
        import_curves,
        "import curves that another program has logged, as finished runs",
        "python -m vlmrb import progress.csv --env DoorKey-8x8 --algo dqn --method 'PER (SB3)' --metric "
        "eval/mean_reward=eval/episodic_return",
        details="Reads CSV, JSON Lines (records, or runs as 'compare --curves' writes them), and TensorBoard's event files or a "
        "folder of them (needs the extra [tensorboard]). Each file is one run, except for runs in JSON Lines. Compare shows them "
        "beside those of this project that have the same environment and agent. Only their curves are known: discovery and "
        "consolidation, clips and branches are not.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="files, or folders of event files; one run each")
    parser.add_argument("--env", metavar="ID", default="", help="the environment's id, as in this project")
    parser.add_argument("--algo", metavar="A", default="", help="the agent, such as dqn")
    parser.add_argument("--method", metavar="NAME", default="", help="what to call the replay method, such as 'PER (SB3)'")
    parser.add_argument(
        "--seed", type=int, metavar="N", default=0, help="seed of the first file; the others count up from it (default: 0)"
    )
    parser.add_argument("--step", metavar="COLUMN", help="the column of environment steps (default: one that is named so)")
    parser.add_argument(
        "--metric",
        metavar="THEIRS=OURS",
        action="append",
        default=[],
        help=f"rename a metric, such as success={SUCCESS}; may be given several times; all others keep their names",
    )
    parser.add_argument("--set-name", metavar="NAME", default="", help="group the runs under this name")

    parser = add_command(
        commands,
        "export",
        export_curves,
        "write the curves of runs as TensorBoard's event files",
        "python -m vlmrb export 1 2 3 --folder tensorboard",
        details="One folder per run. Needs the extra [tensorboard]. For CSV, JSON and HTML see the Compare page; for data of one "
        "metric see 'compare --curves'.",
    )
    parser.add_argument("run_ids", metavar="RUN", nargs="+", type=positive_integer, help="run numbers")
    parser.add_argument("--folder", metavar="FOLDER", type=Path, required=True, help="where to write; made if it is missing")


def import_curves(arguments: argparse.Namespace) -> int:
    """`import`: reads and checks all files, then writes their runs."""
    from vlmrb.foreign import Origin, import_runs, read_runs
    from vlmrb.store import Store

    rename = {}
    for given in arguments.metric:
        theirs, equals, ours = given.partition("=")
        if not (equals and theirs and ours):
            raise ConfigError(f"--metric: got {given!r}; give THEIRS=OURS, such as success={SUCCESS}")
        rename[theirs] = ours
    origin, runs = Origin(arguments.env, arguments.algo, arguments.method), []
    for number, path in enumerate(arguments.files):
        runs += read_runs(path, origin, arguments.seed + number, step=arguments.step, rename=rename)
    with Store(arguments.store) as store:
        ids = import_runs(store, runs, set_name=arguments.set_name)
    told = [
        {"run": run_id, "env": run.origin.env, "algo": run.origin.algo, "method": run.origin.method, "seed": run.seed,
         "steps": run.last_step, "metrics": sorted(run.curves), "left_out": run.left_out}
        for run_id, run in zip(ids, runs, strict=True)
    ]  # fmt: skip
    if arguments.json:
        text.print_json(told)
        return 0
    for each in told:
        words = (
            f"run {each['run']}: {each['env']}, {each['algo']}, {each['method']}, seed {each['seed']}, {each['steps']:,} steps"
        )
        print(text.plain(words))
    if left_out := sorted({name for run in runs for name in run.left_out}):
        print(text.plain(f"note     left out, since they hold more than numbers: {', '.join(left_out)}"))
    if not any(SUCCESS in run.curves for run in runs):
        metrics = ", ".join(sorted({name for run in runs for name in run.curves})[:8])
        print(text.plain(f"note     none has {SUCCESS}, which comparisons start with; rename one with --metric: {metrics}"))
    return 0


def export_curves(arguments: argparse.Namespace) -> int:
    """`export`: one folder of event files per run."""
    from vlmrb.store import Store

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError("export: needs the package tensorboard: pip install -e '.[tensorboard]'") from None
    told = []
    with Store(arguments.store, create=False) as store:
        runs = [(store.run(run_id), arguments.folder / f"run-{run_id}") for run_id in dict.fromkeys(arguments.run_ids)]
        try:
            for _, folder in runs:
                folder.mkdir(parents=True, exist_ok=True)
                if next(folder.iterdir(), None) is not None:
                    raise ConfigError(f"export: {folder} is not empty; choose another folder")
            for run, folder in runs:
                names = store.metric_names(run.run_id)
                with SummaryWriter(str(folder)) as writer:
                    writer.add_text("run", run.name)
                    for (_, name), (steps, values) in store.curves([run.run_id], names).items():
                        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                            writer.add_scalar(name, value, step)
                told.append({"run": run.run_id, "folder": folder, "metrics": names})
        except OSError as error:
            raise ConfigError(f"export: cannot write {arguments.folder} ({error.strerror}); choose a writable folder") from error
    if arguments.json:
        text.print_json(told)
    else:
        for each in told:
            print(text.plain(f"run {each['run']}: {len(each['metrics'])} curves in {each['folder']}"))
    return 0
