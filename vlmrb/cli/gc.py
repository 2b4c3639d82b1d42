"""The command `gc`: removes what nothing needs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, positive_integer
from vlmrb.cli.progress import Progress
from vlmrb.errors import CheckpointError, ConfigError, StoreFullError
from vlmrb.retention import Retention, retention_of
from vlmrb.types import Surplus

if TYPE_CHECKING:
    from vlmrb.housekeeping import Stray
    from vlmrb.store import Store


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "gc",
        collect,
        "remove what nothing needs: clips that runs do not keep, folders of deleted runs, unfinished files",
        "python -m vlmrb gc --dry-run",
        details="Which clips a run keeps is its setting --keep-clips. Clips that people labelled, that trials or records of "
        "draws show, or that a live run, a resume or a branch needs, stay in any case, and are counted.",
    )
    parser.add_argument("run_ids", metavar="RUN", type=positive_integer, nargs="*", help="only these runs (default: all)")
    parser.add_argument(
        "--keep-clips", metavar="WHICH", help="what these runs keep from now on, instead of their setting, such as every:100"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed, and its size")


def collect(arguments: argparse.Namespace) -> int:
    """`gc`: say what goes and what stays, and remove it unless it is a dry run."""
    from vlmrb.housekeeping import stray_files, surplus_of
    from vlmrb.store import Store

    retention = _retention(arguments)
    with Store(arguments.store, create=False) as store:
        everyone = store.runs()
        runs = [store.run(run_id) for run_id in dict.fromkeys(arguments.run_ids)] or everyone[::-1]
        found, unknown = list[Surplus](), list[str]()
        for run in runs:
            try:
                found.append(surplus_of(store, run, retention, everyone))
            except CheckpointError as error:
                unknown.append(f"run {run.run_id} is left alone: {error}")
        found = [each for each in found if each.clip_ids or each.needed]
        strays = stray_files(store, arguments.run_ids or None)
        problems = [] if arguments.dry_run else _remove(store, found, strays)
        settings = {run.run_id: str(retention or retention_of(run.config)) for run in runs}
        sqlite = store.folder_of_run(0).parent if "://" not in store.url else None
    size = sum(each.bytes for each in found) + sum(each.bytes for each in strays)
    if arguments.json:
        text.print_json(
            {"dry_run": arguments.dry_run, "clips": found, "files": strays, "bytes": size, "problems": [*unknown, *problems]}
        )
    else:
        _print(found, strays, settings)
        clips = sum(len(each.clip_ids) for each in found)
        done = "would be removed (dry run)" if arguments.dry_run else "removed"
        print(f"{clips:,} clips and {len(strays):,} files and folders {done}: {text.size(size)}")
        if clips and sqlite is not None and not arguments.dry_run:
            print("The SQLite file keeps its size; what was freed in it is filled with new rows.")
        for problem in (*unknown, *problems):
            text.complain(problem)
    return 2 if problems else 0


def _retention(arguments: argparse.Namespace) -> Retention | None:
    if arguments.keep_clips is None:
        return None
    if not arguments.run_ids:
        raise ConfigError("--keep-clips: name the runs that it is for, such as: vlmrb gc 3 4 --keep-clips every:100")
    try:
        retention = Retention.parse(arguments.keep_clips)
    except ValueError as error:
        raise ConfigError(f"--keep-clips: got {text.shorten(arguments.keep_clips, 60)!r}; {error}") from None
    if not retention.stores:
        raise ConfigError("--keep-clips: got 'none', which is for runs that store no clips; newest:1 keeps the fewest")
    return retention


def _remove(store: Store, found: Sequence[Surplus], strays: Sequence[Stray]) -> list[str]:
    """Remove it all, files first: on a full disk, deleting rows needs some space; what could not be removed, in words."""
    from vlmrb.housekeeping import delete_surplus, remove_stray

    problems = []
    for stray in strays:
        try:
            remove_stray(stray)
        except OSError as error:
            problems.append(f"{stray.path} cannot be removed: {error.strerror or error}")
    total, done = sum(len(each.clip_ids) for each in found), 0

    def deleted(clips: int) -> None:
        nonlocal done
        done += clips
        progress.update(done, "")

    with Progress(total, "clips", quiet=not total) as progress:
        for each in found:
            try:
                delete_surplus(store, each.clip_ids, deleted)
            except StoreFullError as error:
                problems.append(f"{error}. {done:,} of {total:,} clips were removed before; free some space, then: vlmrb gc")
                break
    return problems


def _print(found: Sequence[Surplus], strays: Sequence[Stray], settings: dict[int, str]) -> None:
    if found:
        rows = [
            [
                each.run_id,
                settings[each.run_id],
                len(each.clip_ids),
                text.size(each.bytes),
                ", ".join(f"{count:,} {why}" for why, count in each.needed.items()) or "–",
            ]
            for each in found
        ]
        text.print_table(["run", "keeps", "clips to remove", "size", "others that stay"], rows)
        print()
    if strays:
        text.print_table(
            ["file or folder", "size", "what it is"], [[each.path, text.size(each.bytes), each.why] for each in strays]
        )
        print()
