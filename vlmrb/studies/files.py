"""A study's folder: the file as it was when the study began, and `curves.jsonl`. Nothing in it needs the store."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlmrb.errors import ConfigError
from vlmrb.studies.design import FILE, Study, read_study
from vlmrb.studies.measures import Line

CURVES, FIXED, REPORT, PICTURE = "curves.jsonl", "fixed.json", "report.md", "curves.svg"
_CHECKPOINTS = "checkpoints.txt"


def default_folder(store_url: str | None, name: str = "") -> Path:
    """Where studies of this store are kept: `studies/NAME` next to an SQLite file, else in the user's data folder."""
    from platformdirs import user_data_path

    from vlmrb.store.engine import default_store_url, parse_url, sqlite_path

    path = sqlite_path(parse_url(store_url or default_store_url()))
    beside = user_data_path("vlmrb", appauthor=False) if path is None else path.parent
    return beside / "studies" / name


def begun_studies(folder: Path) -> list[StudyFolder]:
    """The studies that have begun in this folder of studies, by name."""
    return [StudyFolder(path.parent) for path in sorted(folder.glob(f"*/{FIXED}"))]


class StudyFolder:
    """The folder of one study.

    Args:
        path: it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def begun(self) -> bool:
        """Whether a study has been fixed here."""
        return (self.path / FIXED).exists()

    def study(self) -> Study:
        """The study as it was fixed.

        Raises:
            ConfigError: none has begun here, or its file was changed afterwards.
        """
        if not self.begun:
            raise ConfigError(f"study: nothing has begun in {self.path}; start with: python -m vlmrb study run NAME")
        try:
            fixed = json.loads((self.path / FIXED).read_text(encoding="utf-8"))
            text, name, small = (self.path / FILE).read_text(encoding="utf-8"), str(fixed["name"]), bool(fixed["small"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"study: {self.path / FIXED} or {FILE} is missing or damaged ({error}); restore it") from None
        found = read_study(text, name.removesuffix("-small") if small else name, small=small, source=str(self.path / FILE))
        if found.digest != fixed.get("sha256"):
            raise ConfigError(
                f"study: {self.path / FILE} was changed after the study had begun; restore it, or begin a new study in another "
                "folder with --results"
            )
        return found

    def begin(self, study: Study) -> None:
        """Fix the study here, or make sure that it is the one that was.

        Raises:
            ConfigError: another study, or another text of this one, has begun here; or the folder cannot be written.
        """
        if self.begun:
            before = self.study()
            if before.digest != study.digest:
                what = "its file has changed since" if before.name == study.name else f"it is {before.name!r}"
                raise ConfigError(
                    f"study: {self.path} holds a study that has begun, and {what}. A claim stands before its runs: continue as "
                    f"it was with: python -m vlmrb study run {self.path} --results {self.path}; or begin the other one in a "
                    "folder of its own with --results"
                )
            return
        fixed = {"name": study.name, "small": study.small, "sha256": study.digest, "fixed_at": _now()}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.path / FILE, study.text)
            write_whole(self.path / FIXED, json.dumps(fixed, indent=2) + "\n")
        except OSError as error:
            raise ConfigError(f"--results: {self.path} cannot be written ({error.strerror}); name another folder") from None

    @property
    def checkpoints(self) -> str | None:
        """Where its runs keep their checkpoints; None for where new runs do anyway."""
        path = self.path / _CHECKPOINTS
        return path.read_text(encoding="utf-8").strip() or None if path.exists() else None

    def keep_checkpoints_in(self, address: str) -> None:
        """Have runs that are yet to be made keep their checkpoints there."""
        write_whole(self.path / _CHECKPOINTS, f"{address}\n")

    def records(self, study: Study) -> dict[tuple[str, str, int], dict[str, Any]]:
        """The lines of `curves.jsonl`, by place in the study.

        Raises:
            ConfigError: a line is damaged, or there twice.
        """
        path = self.path / CURVES
        if not path.exists():
            return {}
        places = {cell.key for cell in study.every}
        found: dict[tuple[str, str, int], dict[str, Any]] = {}
        for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            if not text.strip():
                continue
            try:
                record = json.loads(text)
                key = (str(record["task"]), str(record["arm"]), int(record["seed"]))
                as_line(record)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigError(
                    f"study: line {number} of {path} is damaged ({type(error).__name__}: {error}); restore the file, or delete "
                    "that line: the next 'study run' writes it again from the store, or makes the run again"
                ) from None
            if key in found or key not in places:
                what = "is there twice" if key in found else "is not part of this study"
                raise ConfigError(f"study: line {number} of {path}: the run ({', '.join(map(str, key))}) {what}; delete the line")
            found[key] = record
        return found

    def lines(self, study: Study) -> list[Line]:
        """The runs in `curves.jsonl`, in the study's order."""
        found = self.records(study)
        return [as_line(found[cell.key]) for cell in study.every if cell.key in found]

    def add(self, study: Study, new: Mapping[tuple[str, str, int], Mapping[str, Any]]) -> None:
        """Add lines to `curves.jsonl`, in the study's order; a place that has a line keeps it. All or nothing is written."""
        found = self.records(study)
        if not new.keys() - found.keys():
            return
        every = {**new, **found}
        ordered = [every[cell.key] for cell in study.every if cell.key in every]
        write_whole(self.path / CURVES, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in ordered))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process at a time makes runs of this study; the others wait. It ends with the process, however that ends."""
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        with (self.path / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def as_line(record: Mapping[str, Any]) -> Line:
    """A line of `curves.jsonl`; points without a value are left out.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    steps = np.array(record["steps"], dtype=np.int64)
    values = np.array([np.nan if value is None else float(value) for value in record["values"]], dtype=np.float64)
    if steps.shape != values.shape or np.any(np.diff(steps) <= 0):
        raise ValueError("steps and values do not fit together")
    known = ~np.isnan(values)
    parent_step, phases = record.get("parent_step"), record.get("phases") or {}
    return Line(
        arm=str(record["arm"]),
        task=str(record["task"]),
        seed=int(record["seed"]),
        steps=steps[known],
        values=values[known],
        start=int(parent_step or 0),
        branched=parent_step is not None,
        phases={name: phases.get(name) for name in ("first_success", "fifth_success")},
        auc=record.get("auc"),
        positive_rate=record.get("positive_rate"),
        record=record,
    )


def write_whole(path: Path, text: str) -> None:
    """Replace a file at once: whoever reads it, or restarts after a crash, finds the old text or the new one."""
    hidden = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with hidden.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
