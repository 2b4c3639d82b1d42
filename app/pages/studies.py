"""The studies page: what a study claims and costs, how far it is, and its report as it fills."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.checks import a_text
from app.studio import Studio
from app.widgets import widget
from vlmrb import studies
from vlmrb.errors import ConfigError, NotFoundError, VlmrbError
from vlmrb.settings import in_words
from vlmrb.store import Store
from vlmrb.studies import CellState, Cost, Progress, Study, StudyFolder
from vlmrb.studies.cost import ASK_ABOVE
from vlmrb.studies.design import FILE
from vlmrb.studies.files import CURVES, FIXED
from vlmrb.studies.picture import curves_svg
from vlmrb.studies.report import Table, notes_on, plain_verdict, tables
from vlmrb.types import ACTIVE_JOB

MAX_NAME = 120
SMALL = "-small"


@dataclass(frozen=True, slots=True)
class Entry:
    """A study in the list.

    Attributes:
        state: '' if it has not begun; 'running', 'finished', 'failed' or 'stopped'.
        done, runs: how many of its runs need nothing more.
        problem: why it cannot be read, or ''.
    """

    name: str
    title: str
    state: str
    done: int
    runs: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run in the grid; `share` is how far it is, in [0, 1]."""

    task: str
    arm: str
    seed: int
    state: str
    run_id: int | None
    share: float
    error: str


@dataclass(frozen=True, slots=True)
class Named:
    """An arm or a task, and its settings in words."""

    name: str
    settings: str


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study and how far it is.

    Attributes:
        full, small: names of its full and of its small version; '' for one that is not here.
        small_begun: whether the small version has begun.
        state: as for `Entry`.
        carried: whether a process carries it on.
        error: why that process ended, or ''.
        branch: where its arms branch off, in words; '' if they do not.
        cells: trunks first.
        steps, of: steps trained, of all.
        cost: of what is left.
        folder: where its results are; '' before it begins.
    """

    name: str
    title: str
    note: str
    full: str
    small: str
    small_begun: bool
    state: str
    carried: bool
    error: str
    claims: list[str]
    measures: list[str]
    metric: str
    branch: str
    seeds: list[int]
    settings: str
    tasks: list[Named]
    arms: list[Named]
    cells: list[Cell]
    done: int
    steps: int
    of: int
    cost: Cost
    folder: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on a claim for one task: 'yes', 'no' or 'undecided', and in words."""

    outcome: str
    words: str


@dataclass(frozen=True, slots=True)
class Results:
    """The report so far. `version` changes with the lines that it is made from; the rest is None if the browser has that one.

    Attributes:
        lines: number of runs that are in it.
        answers: for each claim, one per task.
        picture: the curves, as an SVG.
    """

    version: str
    lines: int
    answers: list[list[Answer]] | None = None
    tables: list[Table] | None = None
    notes: list[str] | None = None
    picture: str | None = None


def build(studio: Studio) -> None:
    """Add the page's components to the open Blocks."""
    store = studio.store

    def listed(_: dict[str, Any]) -> list[Entry]:
        """The studies that have begun in this store, then the presets."""
        return entries(store)

    def look(request: dict[str, Any]) -> StudyView:
        """The study's design, and how far it is."""
        return view_of(store, a_text(request, "study", MAX_NAME))

    def results(request: dict[str, Any]) -> Results:
        """The report so far, unless `version` is current."""
        return results_of(store, a_text(request, "study", MAX_NAME), a_text(request, "version", 60))

    def start(request: dict[str, Any]) -> None:
        """Begin or continue the study in the background."""
        study, _ = find(store, a_text(request, "study", MAX_NAME))
        studies.start(store, study)

    def stop(request: dict[str, Any]) -> int:
        """Stop the study and its runs; returns how many runs were stopped."""
        study, _ = find(store, a_text(request, "study", MAX_NAME))
        return studies.stop(store, study)

    widget("study_view", listed, look, results, start, stop, ask_above=ASK_ABOVE)


def entries(store: Store) -> list[Entry]:
    """The studies that have begun, then the presets that have not; one that cannot be read says why."""
    begun = [folder.path.name for folder in studies.begun_studies(studies.default_folder(store.url))]
    found = []
    for name in [*begun, *(name for name in studies.presets() if name not in begun)]:
        try:
            study, folder = find(store, name)
            progress = studies.progress_of(store, study, folder)
            found.append(Entry(name, study.design.title, _state(store, study, folder, progress), progress.done, len(study.every)))
        except VlmrbError as error:
            found.append(Entry(name, "", "failed", 0, 0, str(error)))
    return found


def find(store: Store, name: str) -> tuple[Study, StudyFolder]:
    """The study that has begun under this name, or the preset or its small version.

    Raises:
        NotFoundError: there is none.
        ConfigError: its files are damaged or were changed.
    """
    root, full = studies.default_folder(store.url), name.removesuffix(SMALL)
    folder = next((each for each in studies.begun_studies(root) if each.path.name == name), None)
    if folder is not None:
        study = _begun(folder.path, *(_version(folder.path / each) for each in (FILE, FIXED)))
        if study.name != name:
            raise ConfigError(f"study: {folder.path} holds {study.name!r}; give the folder that name")
        return study, folder
    if full not in studies.presets():
        raise NotFoundError(f"there is no study {name!r} here; it may have been removed")
    return _preset(full, name != full), StudyFolder(root / name)


@functools.lru_cache(maxsize=64)
def _begun(path: Path, *_: str) -> Study:
    """The study in a folder, read again when its files change."""
    return StudyFolder(path).study()


@functools.lru_cache(maxsize=64)
def _preset(name: str, small: bool) -> Study:
    return studies.find_study(name, small=small)


def view_of(store: Store, name: str) -> StudyView:
    """A study's design, and how far it is.

    Raises:
        NotFoundError, ConfigError: as for `find`.
    """
    study, folder = find(store, name)
    design, full = study.design, name.removesuffix(SMALL) if study.small else name
    progress = studies.progress_of(store, study, folder)
    job = studies.job_of(store, study.name)
    small = full + SMALL if design.small is not None else ""
    root = studies.default_folder(store.url)
    there = {*studies.presets(), *(each.path.name for each in studies.begun_studies(root))}
    return StudyView(
        name=study.name,
        title=design.title,
        note=design.note.strip(),
        full=full if full in there else "",
        small=small if full in studies.presets() or small in there else "",
        small_begun=small in there,
        state=_state(store, study, folder, progress),
        carried=job is not None and job.status in ACTIVE_JOB,
        error=job.error if job is not None and job.status == "failed" and not progress.complete else "",
        claims=[claim.text for claim in design.claim],
        measures=[measure.title for measure in study.measures],
        metric=design.metric,
        branch=_branch_words(study),
        seeds=design.seeds,
        settings=_settings(design.settings),
        tasks=[Named(task, _settings(own)) for task, own in design.tasks.items()],
        arms=[Named(arm, _settings(own)) for arm, own in design.arms.items()],
        cells=[_cell(each) for each in progress.states],
        done=progress.done,
        steps=sum(each.of if each.state == "no branch" else each.steps for each in progress.states),
        of=sum(each.of for each in progress.states),
        cost=studies.cost_of(store, progress.states),
        folder=str(folder.path) if folder.begun else "",
    )


def _state(store: Store, study: Study, folder: StudyFolder, progress: Progress) -> str:
    if not folder.begun:
        return ""
    if progress.complete:
        return "finished"
    job = studies.job_of(store, study.name)
    if progress.moving or (job is not None and job.status in ACTIVE_JOB):
        return "running"
    return "failed" if job is not None and job.status == "failed" else "stopped"


def _cell(each: CellState) -> Cell:
    cell = each.cell
    return Cell(cell.task, cell.arm, cell.seed, each.state, each.run_id, each.steps / each.of, each.error)


def _branch_words(study: Study) -> str:
    branch = study.design.branch
    if branch is None:
        return ""
    at = f"step {branch.at:,}" if isinstance(branch.at, int) else f"its {branch.at.replace('-', ' ')}"
    trunk = _settings(study.design.trunk) or "default settings"
    return f"Each seed is one run ({trunk}) up to {at}. Every arm continues it for {branch.steps:,} steps, so arms are paired."


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {in_words(value)}" for name, value in settings.items())


def results_of(store: Store, name: str, version: str) -> Results:
    """The report so far, unless the browser has this version of it.

    Raises:
        NotFoundError, ConfigError: as for `find`; or a line of its results is damaged.
    """
    study, folder = find(store, name)
    current = _version(folder.path / CURVES)
    lines = [] if current == version else folder.lines(study)
    if not lines:
        return Results(current, 0)
    verdicts = studies.judge_claims(study, lines)
    return Results(
        version=current,
        lines=len(lines),
        answers=[
            [Answer(each.outcome, plain_verdict(study, each)) for each in verdicts if each.claim is claim]
            for claim in study.design.claim
        ],
        tables=tables(study, lines),
        notes=notes_on(study, lines),
        picture=curves_svg(study, lines),
    )


def _version(path: Path) -> str:
    """Changes with the file; '' if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"{stat.st_mtime_ns}-{stat.st_size}"
