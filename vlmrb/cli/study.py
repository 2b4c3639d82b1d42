"""The command `study`: experiments whose design and claim are written down before they start."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, add_destination_options, given_destination
from vlmrb.cli.progress import Progress
from vlmrb.errors import NotFoundError

if TYPE_CHECKING:
    from vlmrb.store import Store
    from vlmrb.studies import Cost, Study, StudyFolder
    from vlmrb.studies import Progress as StudyProgress


def add(commands: Any) -> None:
    """Register the command and its subcommands."""
    parser = commands.add_parser(
        "study",
        help="run a study: its design and claim are fixed before it starts",
        description="A study is a TOML file: arms, seeds, what is measured and what is claimed. 'list' shows those that "
        "come with the project.",
        epilog="example:\n  python -m vlmrb study run replay-8x8 --small --wait",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_command(inner, "list", list_studies, "list studies and how far they are", "python -m vlmrb study list")
    for name, run, summary in (
        ("show", show_study, "show what a study makes, measures and claims, and what it costs"),
        ("run", run_study, "make the runs of a study that are missing, in the background"),
        ("status", show_status, "show how far a study is"),
        ("stop", stop_study, "stop a study and its runs after a checkpoint; 'run' continues it"),
        ("report", report_study, "write a study's report and picture from its curves.jsonl"),
    ):
        sub = add_command(inner, name, run, summary, f"python -m vlmrb study {name} replay-8x8", details=_DETAILS.get(name, ""))
        sub.add_argument("study", metavar="NAME_OR_FILE", help="a preset's name, a TOML file, or a study's folder")
        sub.add_argument("--small", action="store_true", help="the version that ends in minutes")
        if name != "show":
            sub.add_argument(
                "--results", metavar="FOLDER", type=Path, help="the study's folder (default: studies/NAME next to the store)"
            )
        if name == "run":
            sub.add_argument(
                "--checkpoints", metavar="PLACE", help="where the study's runs keep their checkpoints; as for 'launch'"
            )
            sub.add_argument("--wait", action="store_true", help="stay, show progress, and write the report at the end")
            sub.add_argument("--yes", action="store_true", help="do not ask before more than one core-hour")
            add_destination_options(sub)


_DETAILS = {
    "run": "Fixes the study's file in its folder, says what it costs, and queues its runs. A background job branches and resumes "
    "them and writes the report; with --wait this process does. With --results and without --wait nobody does: run it again to "
    "continue.",
    "report": "The same curves.jsonl gives the same report. Runs that have ended are added to it first if the store is there.",
}


def list_studies(arguments: argparse.Namespace) -> int:
    """`study list`."""
    from vlmrb import studies

    begun = {folder.path.name: folder for folder in studies.begun_studies(studies.default_folder(arguments.store))}
    rows = []
    for name in dict.fromkeys([*studies.presets(), *begun]):
        study = begun[name].study() if name in begun else studies.find_study(name)
        done = len(begun[name].records(study)) if name in begun else None
        cost = studies.cost_of(None, studies.planned(study))
        rows.append((study, done, cost))
    if arguments.json:
        text.print_json([_facts(study) | {"written": done} for study, done, _ in rows])
        return 0
    text.print_table(
        ["study", "runs", "core-hours, roughly", "results", "title"],
        [
            [study.name, len(study.every), f"{cost.core_hours:.2g}", "–" if done is None else done, study.design.title]
            for study, done, cost in rows
        ],
    )
    print("show one with: python -m vlmrb study show NAME")
    return 0


def show_study(arguments: argparse.Namespace) -> int:
    """`study show`."""
    from vlmrb import studies

    study = studies.find_study(arguments.study, small=arguments.small)
    with _store_if_there(arguments.store) as store:
        cost = studies.cost_of(store, studies.planned(study))
    if arguments.json:
        text.print_json(_facts(study) | {"cost": cost})
        return 0
    design = study.design
    print(f"{study.name}: {text.plain(design.title)}")
    for claim in design.claim:
        print(f"claim: {text.plain(claim.text)}")
    print(f"measures: {', '.join(measure.text for measure in study.measures)}; metric {design.metric}")
    if design.branch is not None:
        branch = design.branch
        print(f"branches: every arm continues the same {len(study.trunks)} runs from {branch.at} for {branch.steps} steps")
    if design.tasks:
        print(f"tasks: {', '.join(design.tasks)}")
    print(f"seeds: {', '.join(map(str, design.seeds))}")
    print(f"settings: {_settings(design.settings)}\n")
    text.print_table(["arm", "sets"], [[arm, _settings(own)] for arm, own in design.arms.items()])
    print(f"\n{_cost_words(cost)}")
    return 0


def run_study(arguments: argparse.Namespace) -> int:
    """`study run`: fix it, say what it costs, make what is missing."""
    from vlmrb import studies
    from vlmrb.places import read_address
    from vlmrb.store import Store

    study, destination = studies.find_study(arguments.study, small=arguments.small), given_destination(arguments)
    folder = _folder(arguments, study)
    with Store(arguments.store) as store:
        folder.begin(study)
        if arguments.checkpoints is not None:
            folder.keep_checkpoints_in(read_address(arguments.checkpoints))
        if destination is not None:
            studies.set_destination(store, study, destination)
        cost = studies.cost_of(store, studies.progress_of(store, study, folder).states)
        if not arguments.json:
            print(_cost_words(cost))
        if not _agreed(arguments, cost):
            print("nothing was started")
            return 0
        if arguments.wait:
            state = _wait(store, study, folder, quiet=arguments.json)
        else:
            state = studies.advance(store, study, folder)
            if not state.complete and _is_default(arguments, study):
                studies.start(store, study)
    if state.complete:
        studies.write_report(folder)
    if arguments.json:
        text.print_json(_state_facts(study, folder, state))
        return 0
    _print_state(study, folder, state)
    return 0


def stop_study(arguments: argparse.Namespace) -> int:
    """`study stop`."""
    from vlmrb import studies
    from vlmrb.store import Store

    folder, study = _begun(arguments)
    with Store(arguments.store, create=False) as store:
        stopped = studies.stop(store, study)
    if arguments.json:
        text.print_json({"name": study.name, "folder": folder.path, "stopped": stopped})
        return 0
    print(f"stopped {stopped} run{'' if stopped == 1 else 's'}; continue with: python -m vlmrb study run {study.name}")
    return 0


def _wait(store: Store, study: Study, folder: StudyFolder, *, quiet: bool) -> StudyProgress:
    """Keep the study going until it is complete, or until only runs are left that have failed."""
    from vlmrb import studies

    total = sum(each.of for each in studies.planned(study))
    with Progress(total, "steps", quiet=quiet) as bar:

        def seen(state: StudyProgress) -> None:
            steps = sum(each.of if each.state == "no branch" else each.steps for each in state.states)
            bar.update(steps, f"{state.done} runs done")

        return studies.carry_on(store, study, folder, seen)


def show_status(arguments: argparse.Namespace) -> int:
    """`study status`: arms × seeds, and the time left."""
    from vlmrb import studies
    from vlmrb.store import Store

    folder, study = _begun(arguments)
    with Store(arguments.store, create=False) as store:
        with folder.lock():
            studies.collect(store, study, folder)
        state = studies.progress_of(store, study, folder)
        cost = studies.cost_of(store, state.states)
    if arguments.json:
        text.print_json(_state_facts(study, folder, state) | {"cost": cost})
        return 0
    _print_state(study, folder, state)
    if cost.runs:
        print(_cost_words(cost))
    return 0


def report_study(arguments: argparse.Namespace) -> int:
    """`study report`: write report.md and curves.svg, and print the verdicts."""
    from vlmrb import studies
    from vlmrb.studies.report import plain_verdict

    folder, study = _begun(arguments)
    with _store_if_there(arguments.store) as store:
        if store is not None:
            with folder.lock():
                studies.collect(store, study, folder)
    studies.write_report(folder)
    verdicts = studies.judge_claims(study, folder.lines(study))
    if arguments.json:
        text.print_json({"folder": folder.path, "verdicts": [_verdict_facts(each) for each in verdicts]})
        return 0
    for verdict in verdicts:
        print(f"claim: {text.plain(verdict.claim.text)}")
        print(f"  {text.plain(plain_verdict(study, verdict))}")
    print(f"written: {folder.path / 'report.md'}, {folder.path / 'curves.svg'}")
    return 0


def _folder(arguments: argparse.Namespace, study: Study) -> StudyFolder:
    from vlmrb import studies

    return studies.StudyFolder(arguments.results or studies.default_folder(arguments.store, study.name))


def _is_default(arguments: argparse.Namespace, study: Study) -> bool:
    """Whether the study's folder is where background jobs look for it."""
    from vlmrb import studies

    return _folder(arguments, study).path.absolute() == studies.default_folder(arguments.store, study.name).absolute()


def _begun(arguments: argparse.Namespace) -> tuple[StudyFolder, Study]:
    """The folder of a study that has begun: --results, a folder given in place of the name, or the default one."""
    from vlmrb import studies

    given = Path(arguments.study)
    if arguments.results is not None:
        folder = studies.StudyFolder(arguments.results)
    elif studies.StudyFolder(given).begun:
        folder = studies.StudyFolder(given)
    else:
        folder = _folder(arguments, studies.find_study(arguments.study, small=arguments.small))
    return folder, folder.study()


@contextmanager
def _store_if_there(url: str | None) -> Iterator[Store | None]:
    """The store, or None if there is none yet."""
    from vlmrb.store import Store

    try:
        store = Store(url, create=False)
    except NotFoundError:
        yield None
        return
    with store:
        yield store


def _agreed(arguments: argparse.Namespace, cost: Cost) -> bool:
    from vlmrb.studies.cost import ASK_ABOVE

    if arguments.yes or arguments.json or cost.core_hours <= ASK_ABOVE or not sys.stdin.isatty():
        return True
    return input("Start it? [y/N] ").strip().lower() == "y"


def _cost_words(cost: Cost) -> str:
    if not cost.runs:
        return "nothing is left to train"
    at_most = "at most " if cost.at_most else "about "
    runs = f"{cost.runs} run{'' if cost.runs == 1 else 's'}"
    return (
        f"{runs} to train: {at_most}{cost.core_hours:.2g} core-hours, {text.duration(cost.hours * 3600)} on this machine, "
        f"{cost.basis}; a model that scores clips takes more"
    )


def _print_state(study: Study, folder: StudyFolder, state: StudyProgress) -> None:
    """Arms × seeds: 'done', how far a run is in percent, or its status."""
    found = {each.cell.key: each for each in state.states}
    arms = [*(["trunk"] if study.trunks else []), *study.design.arms]
    rows = []
    for task in study.tasks:
        for arm in arms:
            cells = [found[task, arm, seed] for seed in study.design.seeds]
            rows.append([*([task] if task else []), arm, *map(_state_words, cells)])
    text.print_table([*(["task"] if study.design.tasks else []), "arm", *(f"s{seed}" for seed in study.design.seeds)], rows)
    for each in state.failed:
        print(f"run {each.run_id} ({each.cell.name}) failed: {text.shorten(each.error, 120)}")
    print(f"{state.done} of {len(state.states)} runs done; results: {folder.path}")
    if not state.complete:
        print("'study status' shows how far it is, 'study stop' stops it, and 'study run' continues it")


def _state_words(state: Any) -> str:
    return f"{100 * state.steps / state.of:.0f} %" if state.state in ("running", "paused") else str(state.state)


def _settings(settings: dict[str, Any]) -> str:
    from vlmrb.settings import in_words

    return ", ".join(f"{name} {in_words(value)}" for name, value in settings.items()) or "the defaults"


def _facts(study: Study) -> dict[str, Any]:
    return {"name": study.name, "runs": len(study.every)} | study.design.model_dump(exclude={"small"})


def _state_facts(study: Study, folder: StudyFolder, state: StudyProgress) -> dict[str, Any]:
    runs = [
        {"task": each.cell.task, "arm": each.cell.arm, "seed": each.cell.seed, "state": each.state, "run_id": each.run_id,
         "steps": each.steps, "of": each.of, "error": each.error}
        for each in state.states
    ]  # fmt: skip
    return {"name": study.name, "folder": folder.path, "complete": state.complete, "runs": runs}


def _verdict_facts(verdict: Any) -> dict[str, Any]:
    return {
        "claim": verdict.claim.text,
        "task": verdict.task,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "contrasts": list(verdict.contrasts),
    }
