"""The command `doctor`: checks this machine and the store, and reports problems in plain words."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sqlite3
from collections.abc import Collection
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command
from vlmrb.errors import ConfigError, NotFoundError, StoreUnavailableError, VlmrbError

_EXTRAS = {
    "hub": ("torchvision", "timm", "num2words"),
    "postgres": ("psycopg",),
    "s3": ("s3fs",),
    "gcs": ("gcsfs",),
    "box2d": ("Box2D",),
}
_WAL_RESET_FIXED_IN = (3, 51, 3)


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "doctor",
        examine,
        "check this installation and the store; optionally back up the store",
        "python -m vlmrb doctor --backup runs-backup.db",
        details="Exits with status 1 if it finds a problem; hints do not count.",
    )
    parser.add_argument(
        "--backup",
        metavar="FILE",
        type=Path,
        help="copy the store (SQLite only) to FILE, and each run's newest checkpoint and those kept for branches to "
        "a folder next to it; consistent even while runs are writing",
    )


def examine(arguments: argparse.Namespace) -> int:
    """`doctor`: facts, then hints, then problems."""
    from vlmrb import __version__

    facts: dict[str, Any] = {
        "vlmrb": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
    }
    problems: list[str] = []
    hints: list[str] = []
    facts |= _torch(problems)
    facts |= _extras(hints)
    facts |= _rendering(problems)
    facts |= _robots(hints)
    facts |= _embedded_model(problems)
    facts |= _replay_methods(problems)
    facts |= _video(hints)
    facts |= _sqlite(arguments, hints)
    facts |= _store(arguments, problems, hints)
    if arguments.json:
        text.print_json({"facts": facts, "hints": hints, "problems": problems})
    else:
        text.print_pairs(facts)
        for hint in hints:
            print(f"hint: {text.plain(hint)}")
        for problem in problems:
            print(f"PROBLEM: {text.plain(problem)}")
        print("problems found; see above" if problems else "no problems found")
    return 1 if problems else 0


def _torch(problems: list[str]) -> dict[str, Any]:
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken installation can raise anything, and reporting it is the point
        problems.append(f"cannot import torch: {error}; reinstall the project")
        return {}
    devices = ["cpu"] + [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {"torch": f"{torch.__version__}, {torch.get_num_threads()} threads", "devices": ", ".join(devices)}


def _extras(hints: list[str]) -> dict[str, Any]:
    found = {extra: [name for name in modules if find_spec(name) is None] for extra, modules in _EXTRAS.items()}
    if "torchvision" not in found["hub"]:
        try:
            import_module("torchvision")
        except Exception as error:  # noqa: BLE001 - a build for a different torch fails in many ways
            hints.append(
                f"torchvision is installed but does not match this torch ({error}); hub models that read video need one that does"
            )
    return {
        f"extra [{extra}]": "installed"
        if not missing
        else f"not installed (pip install 'vlmrb[{extra}]' adds {', '.join(missing)})"
        for extra, missing in found.items()
    }


def _rendering(problems: list[str]) -> dict[str, Any]:
    """Render one frame without a screen."""
    try:
        import gymnasium
        import minigrid  # noqa: F401 - registers its environments

        environment = gymnasium.make("MiniGrid-Empty-5x5-v0", render_mode="rgb_array")
        environment.reset(seed=0)
        frame: Any = environment.render()
        environment.close()
    except Exception as error:  # noqa: BLE001 - as above
        problems.append(f"cannot render a MiniGrid frame: {error}")
        return {"rendering": "fails"}
    return {"rendering": f"works without a screen ({frame.shape[1]}×{frame.shape[0]} pixels)"}


def _robots(hints: list[str]) -> dict[str, Any]:
    """Check that MuJoCo finds an OpenGL that works without a screen; only robots need one."""
    from vlmrb.envs import cannot_draw, choose_gl

    name = choose_gl() or "MuJoCo's own choice"
    try:
        mujoco = import_module("mujoco")
        context = mujoco.GLContext(16, 16)
        context.make_current()
        context.free()
    except Exception as error:  # noqa: BLE001 - as above
        hints.append(str(cannot_draw(error)))
        return {"rendering of robots": f"fails (OpenGL: {name})"}
    return {"rendering of robots": f"works without a screen (OpenGL: {name})"}


def _replay_methods(problems: list[str]) -> dict[str, Any]:
    """List the replay methods; name packages whose method cannot be used."""
    from vlmrb.replay.registry import broken_methods, replay_methods

    problems += [
        f"the replay method {name!r} of another package cannot be used ({reason}); update or uninstall that package"
        for name, reason in broken_methods().items()
    ]
    return {"replay methods": ", ".join(replay_methods())}


def _embedded_model(problems: list[str]) -> dict[str, Any]:
    """Load the default scorers."""
    from vlmrb.scoring import ScorerOptions, make_scorer

    found = {}
    for title, name in (("embedded model", "embedded"), ("embedded model of robots", "embedded:robots")):
        try:
            scorer = make_scorer(name, ScorerOptions(device="cpu"))
        except Exception as error:  # noqa: BLE001 - as above
            problems.append(f"cannot load the {title}: {error}; reinstall VLM-RB, or choose another --scorer")
            found[title] = "fails"
        else:
            found[title] = f"loads ({getattr(scorer, 'revision', '')[:19]}…)"
            scorer.close()
    return found


def _video(hints: list[str]) -> dict[str, Any]:
    """Check that frames can be stored as video; without it, only the store's size suffers."""
    from vlmrb.store.encoding import encoder_problem

    problem = encoder_problem()
    if problem:
        hints.append(
            f"FFmpeg cannot encode lossless H.264 ({problem}); frames are deflated instead, and stores of environments "
            "without snapshots grow several times faster. 'pip install --force-reinstall av' installs a build that can"
        )
    return {"video": f"frames are deflated: {problem}" if problem else "frames are stored as lossless H.264"}


def _sqlite(arguments: argparse.Namespace, hints: list[str]) -> dict[str, Any]:
    from vlmrb.store import default_store_url

    if _path_of(arguments.store or default_store_url()) is not None and sqlite3.sqlite_version_info < _WAL_RESET_FIXED_IN:
        fixed_in = ".".join(map(str, _WAL_RESET_FIXED_IN))
        hints.append(
            f"SQLite before {fixed_in} has a very rare bug (WAL reset) that can corrupt a database with several writers; "
            "back up the store now and then: doctor --backup FILE"
        )
    return {"sqlite": sqlite3.sqlite_version}


def _store(arguments: argparse.Namespace, problems: list[str], hints: list[str]) -> dict[str, Any]:
    from vlmrb.store import Store, default_store_url

    wanted = arguments.store or default_store_url()
    facts: dict[str, Any] = {"store": _without_password(wanted)}
    try:
        with Store(arguments.store, create=False) as store:
            problems += store.check()
            facts["runs"] = len(store.runs())
            facts |= _disk(store.url, hints) | _place(store, problems, hints)
            if arguments.backup:
                facts["backup"] = _back_up(store, arguments.backup)
    except (NotFoundError, StoreUnavailableError) as error:
        if arguments.backup or _path_of(wanted) is None or Path(_path_of(wanted) or "").exists():
            problems.append(str(error))
        else:
            facts["store"] += " (does not exist yet; created by the first run)"
            facts |= _disk(wanted, hints)
    except VlmrbError as error:
        problems.append(str(error))
    return facts


def _place(store: Any, problems: list[str], hints: list[str]) -> dict[str, Any]:
    """Try where new runs keep their checkpoints."""
    from vlmrb.places import check_place, choose_place

    try:
        place = choose_place(None, store)
    except ConfigError as error:  # each run may say where
        hints.append(str(error))
        return {}
    try:
        check_place(place)
    except ConfigError as error:
        problems.append(str(error))
    return {"checkpoints of new runs": place or "next to the store"}


def _back_up(store: Any, target: Path) -> str:
    """Copy the checkpoints, then the database: a resume needs every row that is older than its checkpoint.

    Those that runs have elsewhere stay there: the copy's runs resume from the same place.
    """
    from vlmrb.checkpoint import copy_checkpoint, copy_checkpoints
    from vlmrb.kept import MOMENTS, kind_of
    from vlmrb.places import PARENT, RESUME, place_of
    from vlmrb.store import runs_folder

    folder = runs_folder(target)
    for path in (target, folder):
        if path.exists():
            raise StoreUnavailableError(f"--backup: {path} already exists; give a new file name")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    copied: set[int] = set()
    elsewhere: set[int] = set()
    try:
        if _path_of(store.url) is not None and target.parent.is_dir():  # else the store says in words what is wrong
            for run in store.runs():
                theirs, ours = store.folder_of_run(run.run_id), partial / str(run.run_id)
                if place_of(store, run).folder != theirs:
                    elsewhere.add(run.run_id)
                    continue
                if copy_checkpoint(theirs / RESUME, ours / RESUME) is not None:
                    copied.add(run.run_id)
                for moment in MOMENTS:
                    copy_checkpoints(theirs / kind_of(moment), ours / kind_of(moment))
                if copy_checkpoints(theirs / PARENT, ours / PARENT):
                    copied.add(run.run_id)
        store.backup(target)
        if partial.exists():
            partial.rename(folder)
    except OSError as error:
        raise StoreUnavailableError(
            f"--backup: the checkpoints cannot be copied to {folder} ({error}); choose a folder with enough space"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return f"{target} ({text.size(target.stat().st_size)}); {_checkpoints_in(target, folder, copied, elsewhere)}"


def _checkpoints_in(target: Path, folder: Path, copied: set[int], elsewhere: set[int]) -> str:
    """What the backup has of the runs' folders, and what it leaves out."""
    from vlmrb.store import Store

    with Store(str(target), create=False) as copy:
        unfinished = [run.run_id for run in copy.runs() if run.status != "finished" and run.step > 0]
    without = [run_id for run_id in unfinished if run_id not in copied | elsewhere]
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if copied else 0
    words = f"checkpoints in {folder} of {_named(copied)} ({text.size(size)})" if copied else "no run has a checkpoint"
    if without:
        words += f"; left out, without a whole checkpoint to resume from this copy: {_named(without)}"
    if elsewhere:
        words += f"; those of {_named(elsewhere)} stay where --checkpoints put them"
    return f"{words}; logs are left out"


def _named(run_ids: Collection[int]) -> str:
    """Such as 'run 1' or 'runs 1, 2'."""
    return f"run{'s' * (len(run_ids) != 1)} {', '.join(map(str, sorted(run_ids)))}"


def _disk(url: str, hints: list[str]) -> dict[str, Any]:
    path = _path_of(url)
    if path is None:
        return {}
    folder = Path(path).resolve().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < 1e9:
        hints.append(f"only {text.size(free)} free in {folder}; a 200,000-step run needs up to 100 MB")
    size = Path(path).stat().st_size if Path(path).exists() else 0
    return {"disk": f"store {text.size(size)}, free {text.size(free)}"}


def _path_of(url: str) -> str | None:
    """The file behind a plain path or an SQLite URL; None for other databases."""
    if url.startswith("sqlite"):
        return url.partition(":///")[2].partition("?")[0] or None
    return None if "://" in url else url


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.partition(':')[0]}:…@{host}" if at and ":" in credentials else url
