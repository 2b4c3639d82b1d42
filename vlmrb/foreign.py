"""Curves of runs that something else trained, as finished runs of the store: from CSV, JSON Lines and TensorBoard event files.

Files are read as data and checked before anything is written. Of such a run only its curves are known: no episodes, no clips.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vlmrb.config import make_config
from vlmrb.errors import ConfigError, shown
from vlmrb.store import Store
from vlmrb.types import IMPORTED, SUCCESS

STEPS = (
    "step", "steps", "_step", "global_step", "env_step", "total_steps", "total_timesteps", "timesteps",
    "time/total_timesteps", "time/timesteps",
)  # fmt: skip
"""Names under which programs write the environment step, in any case; the first that a file has counts."""

LARGEST = 256 * 2**20
"""Bytes of a text file."""

MAX_NAME = 100
"""Characters of the names of environments, agents and methods."""

_EXTRA = "pip install -e '.[tensorboard]'"

Curves = dict[str, dict[int, float]]
"""Values by step, by metric."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the files do not say about their runs.

    Attributes:
        env, algo: as in this project, since runs are compared if they have both in common: 'DoorKey-8x8', 'dqn'.
        method: what its curve is called: a replay method of this project, or any name, such as 'PER (SB3)'.
    """

    env: str
    algo: str
    method: str


@dataclass(frozen=True, slots=True)
class ForeignRun:
    """A run to be imported. `left_out`: columns that hold something other than numbers, so that they are no metrics."""

    name: str
    origin: Origin
    seed: int
    curves: Curves
    settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def last_step(self) -> int:
        """The last step of any curve."""
        return max(step for curve in self.curves.values() for step in curve)


def read_runs(
    path: Path, origin: Origin, seed: int, *, step: str | None = None, rename: Mapping[str, str] | None = None
) -> list[ForeignRun]:
    """The runs in a file, or in a folder of event files.

    Args:
        path: `.csv`; `.jsonl` or `.json`, of which each line is one record, or a run as `compare --curves` writes it; else an
            event file of TensorBoard, or a folder with some.
        origin: of runs that do not say it themselves.
        seed: likewise.
        step: the column that holds the environment step; by default the first of STEPS.
        rename: new names of metrics by those in the file.

    Raises:
        ConfigError: it cannot be read, or a step or a value is out of range; the message names the file and the place.
    """
    kind = path.suffix.lower()
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file or folder")
    if kind in (".jsonl", ".json"):
        records = list(_objects(path))
        runs = [_own(path, number, record, origin) for number, record in records if "values" in record and "metric" in record]
        if len(runs) not in (0, len(records)):
            raise ConfigError(f"{path}: some lines are runs and others are not; import them from two files")
        found = runs or [_run(path, origin, seed, *_columns(path, records, step))]
    elif kind == ".csv":
        found = [_run(path, origin, seed, *_columns(path, list(_rows(path)), step))]
    else:
        found = [_run(path, origin, seed, _scalars(path))]
    return [_checked(path, run, rename or {}) for run in found]


def import_runs(store: Store, runs: Iterable[ForeignRun], *, set_name: str = "") -> list[int]:
    """Write runs into a store; returns their ids."""
    ids = []
    for run in runs:
        config = {
            **run.settings,
            "env": run.origin.env,
            "algo": run.origin.algo,
            "replay": run.origin.method,
            "seed": run.seed,
            "total_steps": run.last_step,
            IMPORTED: run.name,
        }
        name = f"{run.name} {run.origin.method} s{run.seed}"
        run_id = store.create_run(config, name=name, render_spec={}, success_rule="", set_name=set_name)
        writer = store.writer(run_id)
        for metric, curve in run.curves.items():
            for step, value in curve.items():
                writer.add_metric(metric, step, value)
        writer.flush()
        store.heartbeat(run_id, run.last_step)
        store.release_run(run_id, "finished")
        ids.append(run_id)
    return ids


def _run(path: Path, origin: Origin, seed: int, curves: Curves, left_out: tuple[str, ...] = ()) -> ForeignRun:
    return ForeignRun(path.stem, origin, seed, curves, left_out=left_out)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path}: {path.stat().st_size / 2**20:,.0f} MB; at most {LARGEST // 2**20} MB can be imported")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{path}: cannot be read ({reason})") from None


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON Lines, with their line numbers."""
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError(
                    f"{path}, line {number}: not JSON ({str(error)[:80]}); one object per line is expected"
                ) from None
            if not isinstance(record, dict):
                raise ConfigError(f"{path}, line {number}: {shown(record)} is no object; one object per line is expected")
            yield number, record


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a CSV file, with their line numbers; lines that start with # before the header are left out."""
    lines = _text(path).splitlines()
    skipped = next((number for number, line in enumerate(lines) if not line.startswith("#")), 0)
    try:
        for number, row in enumerate(csv.DictReader(lines[skipped:]), skipped + 2):
            yield number, {name: value for name, value in row.items() if isinstance(name, str)}
    except csv.Error as error:
        raise ConfigError(f"{path}: not CSV ({error})") from None


def _columns(path: Path, rows: list[tuple[int, dict[str, Any]]], step: str | None) -> tuple[Curves, tuple[str, ...]]:
    """The numeric columns by step, and those that are none. A cell may be empty; a column with other words is no metric."""
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    if step is None:
        known = {name.strip().lower(): name for name in names}
        step = next((known[name] for name in STEPS if name in known), None)
    if step not in names:
        columns = ", ".join(names[:20]) or "none"
        raise ConfigError(f"{path}: it has no column of steps; name one of its columns with --step: {columns}")
    curves: Curves = {name: {} for name in names if name != step}
    for number, row in rows:
        at = _number(row.get(step))
        if at is None:
            if all(row.get(name) in (None, "") for name in names):
                continue
            raise ConfigError(f"{path}, line {number}: the step is {shown(row.get(step))}; a whole number from 0 up is expected")
        for name in list(curves):
            value = row.get(name)
            if value is None or value == "":
                continue
            parsed = _number(value)
            if parsed is None:
                del curves[name]
            else:
                curves[name][_step(path, number, at)] = parsed
    left_out = tuple(name for name in names if name != step and name not in curves)
    return {name: curve for name, curve in curves.items() if curve}, left_out


def _own(path: Path, number: int, record: Mapping[str, Any], origin: Origin) -> ForeignRun:
    """A run as `compare --curves` writes it. What it says of itself counts."""
    where = f"{path}, line {number}"
    if record.get("parent_step") is not None or isinstance(record.get("parent"), dict):
        raise ConfigError(f"{where}: it is a branch, which means nothing without its parent; import runs from step 0")
    steps, values, settings = record.get("steps"), record["values"], record.get("settings") or {}
    if not (isinstance(steps, list) and isinstance(values, list) and len(steps) == len(values) and isinstance(settings, dict)):
        raise ConfigError(f"{where}: 'steps' and 'values' must be lists of the same length, and 'settings' an object")
    curve = {}
    for at, value in zip(steps, values, strict=True):
        parsed = None if value is None else _number(value)
        if parsed is not None:
            curve[_step(path, number, _number(at))] = parsed
    seed = record.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ConfigError(f"{where}: the seed is {shown(seed)}; a whole number is expected")
    readable = _readable(settings)
    own = Origin(
        env=str(record.get("env") or origin.env),
        algo=str(record.get("algo") or origin.algo),
        method=str(readable.get("replay") or record.get("method") or origin.method),
    )
    return ForeignRun(path.stem, own, seed, {str(record["metric"]): curve}, readable)


def _readable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, from which the method gets its name; none if this version cannot read them."""
    try:
        return make_config(**settings).model_dump()
    except ConfigError:
        return {}


def _scalars(path: Path) -> Curves:
    """The scalars of TensorBoard's event files."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise ConfigError(f"{path}: reading TensorBoard's event files needs the package tensorboard: {_EXTRA}") from None
    events = EventAccumulator(str(path), size_guidance={"scalars": 0})
    try:
        events.Reload()
        names = events.Tags()["scalars"]
        found = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
        raise ConfigError(f"{path}: not an event file of TensorBoard ({type(error).__name__}: {str(error)[:120]})") from None
    return {name: {_step(path, None, at): value for at, value in points} for name, points in found.items()}


def _number(value: Any) -> float | None:
    """None for what is no number; NaN stays."""
    if isinstance(value, bool):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _step(path: Path, number: int | None, value: float | None) -> int:
    if value is None or not math.isfinite(value) or not 0 <= value < 2**62 or value != int(value):
        where = f"{path}, line {number}" if number else str(path)
        raise ConfigError(f"{where}: the step is {value}; a whole number from 0 up is expected")
    return int(value)


def _checked(path: Path, run: ForeignRun, rename: Mapping[str, str]) -> ForeignRun:
    if unknown := sorted(set(rename) - set(run.curves)):
        metrics = ", ".join(sorted(run.curves)[:20]) or "none"
        raise ConfigError(f"{path}: there is no metric {shown(unknown[0])}; it has {metrics}")
    curves = {rename.get(name, name): curve for name, curve in run.curves.items()}
    if not any(curves.values()):
        raise ConfigError(f"{path}: it holds no numbers by step")
    for what in ("env", "algo", "method"):
        value = getattr(run.origin, what)
        if not value.strip() or len(value) > MAX_NAME or not value.isprintable():
            raise ConfigError(f"{path}: {what} is {shown(value)}; 1 to {MAX_NAME} printable characters are allowed")
    rates = [value for value in curves.get(SUCCESS, {}).values() if math.isfinite(value)]
    if rates and not (min(rates) >= 0 and max(rates) <= 1):
        raise ConfigError(
            f"{path}: {SUCCESS} reaches from {min(rates):g} to {max(rates):g}; success rates are fractions from 0 to 1"
        )
    return replace(run, curves=curves)
