"""Makes a study's runs: launches what is missing, resumes what stopped, branches, and writes down what has ended.

A run belongs to a study by its tags, which are written with its row, so that a study that is killed and started again
finds what it has made. Every step here may be repeated at any time: nothing is made or written twice.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmrb import __version__, jobs
from vlmrb.analysis.agreement import auc
from vlmrb.analysis.curves import curve_record
from vlmrb.analysis.phases import FIFTH
from vlmrb.branching import FIXED
from vlmrb.config import defaults_of_run
from vlmrb.errors import CheckpointError, ConfigError, RunBusyError, VlmrbError
from vlmrb.jobs.launching import MAX_RUNS, as_made
from vlmrb.store import Store
from vlmrb.studies.design import TRUNK, Cell, Study
from vlmrb.studies.files import StudyFolder
from vlmrb.types import LIVE, Destination, RunSummary

_OF_BRANCH = ("total_steps", "schedule_steps", "keep_checkpoints", "checkpoints")
"""Settings that a branch has of its own: how long it trains, and what it keeps."""

CLIPS_READ_AT_ONCE = 2_000

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class CellState:
    """How far one run of a study is.

    Attributes:
        state: 'done', 'missing', 'no branch' (its trunk never got to the moment), or the status of its run.
        run_id: of its run in the store, if it is there.
        steps: done, out of `of`.
        error: why it failed, or ''.
    """

    cell: Cell
    state: str
    run_id: int | None
    steps: int
    of: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is: trunks first, then its cells."""

    states: tuple[CellState, ...]

    @property
    def done(self) -> int:
        """Number of runs whose line is written or that cannot be made."""
        return sum(each.state in ("done", "no branch") for each in self.states)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.done == len(self.states)

    @property
    def moving(self) -> bool:
        """Whether any run is queued or live."""
        return any(each.state in ("queued", *LIVE) for each in self.states)

    @property
    def failed(self) -> list[CellState]:
        """Runs that failed."""
        return [each for each in self.states if each.state == "failed"]


def advance(store: Store, study: Study, folder: StudyFolder, resumed: set[int] | None = None) -> Progress:
    """Take every step that can be taken now, and return how far the study is.

    Args:
        store: where its runs are trained.
        study: begun in this folder.
        folder: its results.
        resumed: runs that this caller has resumed before; they are not resumed again if they fail, and new ones are added.

    Raises:
        VlmrbError: a run cannot start here; nothing was launched.
    """
    resumed = set() if resumed is None else resumed
    with folder.lock():
        collect(store, study, folder)
        done, runs = folder.records(study), runs_of(store, study)
        missing = [cell for cell in _first(study) if cell.key not in done and cell.key not in runs]
        _launch(store, study, missing, folder.checkpoints)
        _branch(store, study, done, runs)
        for key, run in runs_of(store, study).items():
            again = run.status in ("created", "stopped", "interrupted", "failed") and run.run_id not in resumed
            if again and key not in done and not _has_ended(study, store, key, run):
                resumed.add(run.run_id)
                with suppress(RunBusyError):  # somebody else was faster
                    jobs.resume(store, run.run_id)
        jobs.reconcile(store)
        return progress_of(store, study, folder)


def planned(study: Study) -> list[CellState]:
    """The runs of a study that has not begun."""
    return [CellState(cell, "missing", None, 0, length_of(study, cell)) for cell in study.every]


def progress_of(store: Store, study: Study, folder: StudyFolder) -> Progress:
    """How far the study is; changes nothing."""
    done, runs = folder.records(study) if folder.begun else {}, runs_of(store, study)
    states = []
    for cell in study.every:
        run, of = runs.get(cell.key), length_of(study, cell)
        run_id = None if run is None else run.run_id
        if cell.key in done:
            states.append(CellState(cell, "done", run_id, of, of))
        elif run is not None:
            steps = max(0, run.step - (run.parent_step or 0))
            states.append(CellState(cell, run.status, run_id, min(steps, of), of, run.error if run.status == "failed" else ""))
        else:
            trunk = done.get((cell.task, TRUNK, cell.seed))
            states.append(CellState(cell, "no branch" if trunk and trunk["moment"] is None else "missing", None, 0, of))
    return Progress(tuple(states))


def collect(store: Store, study: Study, folder: StudyFolder) -> int:
    """Write the lines of the runs that have ended; returns how many. The caller holds the folder's lock."""
    done = folder.records(study)
    ended = {key: run for key, run in runs_of(store, study).items() if key not in done and _has_ended(study, store, key, run)}
    for cell in study.every:
        if cell.key in ended:
            _check_made(ended[cell.key], cell)
    if ended:
        commit, host = _commit(), _machine()
        folder.add(study, {key: _record(store, study, key, run, commit, host) for key, run in ended.items()})
    return len(ended)


def _first(study: Study) -> Iterable[Cell]:
    """The cells that are launched, not branched."""
    return study.trunks or study.cells


def _launch(store: Store, study: Study, missing: Sequence[Cell], checkpoints: str | None) -> None:
    if missing:
        _refuse_lost_tags(store, study)
    for start in range(0, len(missing), MAX_RUNS):
        cells = missing[start : start + MAX_RUNS]
        jobs.launch(
            store,
            [cell.config.model_copy(update={"checkpoints": checkpoints}) for cell in cells],
            names=[f"{study.name}: {cell.name}" for cell in cells],
            set_name=study.name,
            tags_of=[_tags(study, cell) for cell in cells],
            destination=_destination(store, study),
        )


def set_destination(store: Store, study: Study, destination: Destination) -> None:
    """Choose where the study's runs train that are not made yet."""
    store.set_setting(_tag(study), {"launcher": destination.launcher, "resources": dict(destination.resources)})


def _destination(store: Store, study: Study) -> Destination | None:
    chosen = store.setting(_tag(study))
    return None if chosen is None else Destination(**chosen)


def _tags(study: Study, cell: Cell) -> list[str]:
    return [_tag(study), f"arm:{cell.arm}", *([f"task:{cell.task}"] if cell.task else [])]


def _tag(study: Study) -> str:
    return f"study:{study.digest[:12]}"


def runs_of(store: Store, study: Study) -> dict[Key, RunSummary]:
    """The study's runs in the store, by place; of two in one place, which a person may have made, the first."""
    found: dict[Key, RunSummary] = {}
    for run in reversed(store.runs()):
        if _tag(study) in run.tags:
            named = dict(tag.partition(":")[::2] for tag in run.tags)
            found.setdefault((named.get("task", ""), named.get("arm", ""), run.seed), run)
    places = {cell.key for cell in study.every}
    return {key: run for key, run in found.items() if key in places}


def _refuse_lost_tags(store: Store, study: Study) -> None:
    """A run of the study whose tags were edited would be made again, unnoticed."""
    for run in store.runs():
        if (
            run.set_name == study.name
            and run.name.startswith(f"{study.name}: ")
            and not any(t.startswith("study:") for t in run.tags)
        ):
            raise ConfigError(
                f"study: run {run.run_id} ({run.name}) was made by this study, but its tags were changed, so that its place is "
                f"unknown; restore them with: vlmrb tag {run.run_id} {_tag(study)} 'arm:NAME' 'task:NAME', or delete the run"
            )


# -- branches


def _branch(store: Store, study: Study, done: Mapping[Key, Any], runs: Mapping[Key, RunSummary]) -> None:
    """Branch every trunk that has got to its moment, and stop those whose branches are all made."""
    for trunk in study.trunks:
        run = runs.get(trunk.key)
        missing = [
            cell for cell in study.cells
            if (cell.task, cell.seed) == (trunk.task, trunk.seed) and cell.key not in done and cell.key not in runs
        ]  # fmt: skip
        if run is None:
            if missing and (done.get(trunk.key) or {}).get("moment") is not None:
                raise ConfigError(
                    f"study: the run of {trunk.name} is no longer in this store, so that its branches cannot be made; use the "
                    "store that holds it, or delete its line and those of its branches from curves.jsonl to make them all again"
                )
        elif _moment_of(study, store, run) is not None and _branched(store, study, run, missing) and run.status in LIVE:
            with suppress(RunBusyError):  # it has just ended
                jobs.stop(store, run.run_id)


def _branched(store: Store, study: Study, run: RunSummary, missing: Sequence[Cell]) -> bool:
    """Make these branches; False if the trunk has yet to write the checkpoint that they start from."""
    assert study.design.branch is not None
    at, steps = study.design.branch.at, study.design.branch.steps
    for cell in missing:
        try:
            (run_id,) = jobs.branch(
                store,
                run.run_id,
                at,
                [_changes(cell)],
                steps=steps,
                set_name=study.name,
                tags=_tags(study, cell),
                destination=_destination(store, study),
            )
        except CheckpointError:
            if run.status in LIVE:
                return False
            raise
        _check_made(store.run(run_id), cell)
        store.rename_run(run_id, f"{study.name}: {cell.name}")
    return True


def _changes(cell: Cell) -> dict[str, Any]:
    """Every setting that a branch may choose, as the arm has it; what a method would do by default is none of its business."""
    return {name: value for name, value in cell.config.model_dump().items() if name not in FIXED and name not in _OF_BRANCH}


def _check_made(run: RunSummary, cell: Cell) -> None:
    """A run that is not what its place says would go into the report under that name.

    Raises:
        VlmrbError: its settings are not those of the arm.
    """
    told = as_made(cell.config, run.render_spec)
    made, arm = defaults_of_run(run.config) | run.config, told.model_dump()
    wrong = [name for name in arm if name not in _OF_BRANCH and made[name] != arm[name]]
    if wrong:
        words = ", ".join(f"{name} {made[name]!r} instead of {arm[name]!r}" for name in wrong)
        raise VlmrbError(
            f"study: run {run.run_id} is not what {cell.name} says: {words}. Its line is not written; delete the run, and it "
            "is made again"
        )


def _moment_of(study: Study, store: Store, run: RunSummary) -> int | None:
    """The step at which branches leave this trunk; None if it has not got there."""
    branch = study.design.branch
    assert branch is not None
    if isinstance(branch.at, int):
        return branch.at if run.step >= branch.at else None
    number = 1 if branch.at == "first-success" else FIFTH
    ((step,),) = store.early_successes({run.run_id: int(run.config.get("play_steps", 0))}, [number]).values()
    return step


def length_of(study: Study, cell: Cell) -> int:
    """Steps of its own that a run trains."""
    branch = study.design.branch
    return cell.config.total_steps if branch is None or cell.is_trunk else branch.steps


def _has_ended(study: Study, store: Store, key: Key, run: RunSummary) -> bool:
    """Whether the run got as far as the study needs it: to its end, or, a trunk, to its moment."""
    if run.status == "stopped" and key[1] == TRUNK:
        return _moment_of(study, store, run) is not None
    return run.status == "finished"


# -- lines


def _record(store: Store, study: Study, key: Key, run: RunSummary, commit: str, host: str) -> dict[str, Any]:
    """The line of a run that has ended."""
    task, arm, seed = key
    (measured,) = store.measured_runs([run.run_id], study.design.metric)
    record = curve_record(measured, study.design.metric, __version__)
    record = {"study": study.name, "task": task, "arm": arm, "seed": seed} | record
    if arm == TRUNK:
        record["moment"] = _moment_of(study, store, run)
    if run.counters.positive_rate is not None:
        record["positive_rate"] = run.counters.positive_rate
    if any(each.kind == "auc" for each in study.measures):
        record["auc"] = _label_auc(store, run.run_id)
    return record | {"steps_per_second": run.steps_per_second, "commit": commit, "host": host}


def _label_auc(store: Store, run_id: int) -> float | None:
    """How well P(yes) tells clips with progress from others."""
    pairs = [(clip.score.probability, clip.progress) for clip in _clips(store, run_id) if clip.score is not None]
    return auc([probability for probability, _ in pairs], [progress for _, progress in pairs])


def _clips(store: Store, run_id: int) -> Iterator[Any]:
    after = None
    while page := store.clips(run_id, limit=CLIPS_READ_AT_ONCE, after=after, order="oldest"):
        yield from page
        after = page[-1].clip_id


def _machine() -> str:
    """The class of this machine; never its name."""
    return f"{os.cpu_count() or 1} cores, {platform.machine()}, {platform.system()}"


def _commit() -> str:
    """The commit of a source checkout, with '+' if files were changed since; '' in an installation."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "vlmrb").strip()
        return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""
