"""A study's file, checked: which runs it makes, what it measures, and what it claims before it starts."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vlmrb.assets import asset_path
from vlmrb.branching import FIXED
from vlmrb.config import TrainConfig, make_config, unread_settings
from vlmrb.errors import ConfigError, VlmrbError
from vlmrb.jobs import matched_set, parse_seeds
from vlmrb.studies.measures import Measure, parse_measure
from vlmrb.types import SUCCESS

TRUNK = "trunk"
"""The arm of the runs that branch studies branch off from."""

FILE = "study.toml"
_NAME = re.compile(r"[\w.,=+%≤≥λ×() -]{1,30}")
_SET_BY_STUDY = {
    "seed": "give the top-level key 'seeds'",
    "keep_checkpoints": "the study chooses what its branches need",
    "checkpoints": "a study is the same wherever they are; give 'study run' the option --checkpoints",
}

Settings = dict[str, Any]


def _seeds(value: Any) -> Any:
    return parse_seeds(value) if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31, strict=True)]], BeforeValidator(_seeds), Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Claim(_Table):
    """One claim: on `measure`, arm `better` is better than the best of the arms `than`, or reaches `at_least`.

    Attributes:
        by: the advantage it claims, as a share of what the best of `than` has; 0 for any.
        direction: which values are better; None for the measure's own sense.
        alpha: the interval that decides has level 1 − alpha.
        task: the task that it is about; None for each of them.
    """

    text: str = Field(min_length=1)
    measure: str
    better: str
    than: list[str] = []
    at_least: float | None = None
    by: float = Field(0.0, ge=0.0, le=10.0)
    direction: Literal["higher", "lower"] | None = None
    alpha: float = Field(0.05, gt=0.0, lt=0.5)
    task: str | None = None

    @property
    def lower_is_better(self) -> bool:
        """Whether smaller values are better."""
        return parse_measure(self.measure).in_steps if self.direction is None else self.direction == "lower"


class Branch(_Table):
    """Each seed is a trunk run, and every arm continues it from `at`, a moment or a step, for `steps` steps."""

    at: Literal["first-success", "fifth-success"] | Annotated[int, Field(ge=1, strict=True)]
    steps: int = Field(ge=1)


class Small(_Table):
    """The version that ends in minutes: seeds, settings of every run, and steps of each branch."""

    seeds: Seeds | None = None
    settings: Settings = {}
    steps: int | None = Field(None, ge=1)


class Design(_Table):
    """The whole file."""

    title: str = Field(min_length=1)
    note: str = ""
    metric: str = SUCCESS
    measures: list[str] = []
    seeds: Seeds
    claim: Annotated[list[Claim], BeforeValidator(_listed), Field(min_length=1)]
    settings: Settings = {}
    tasks: dict[str, Settings] = {}
    arms: dict[str, Settings] = Field(min_length=1)
    branch: Branch | None = None
    trunk: Settings = {}
    small: Small | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a study: its place and its configuration. Of a branch, the configuration is that after branching."""

    task: str
    arm: str
    seed: int
    config: TrainConfig

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells it apart within the study."""
        return self.task, self.arm, self.seed

    @property
    def is_trunk(self) -> bool:
        """Whether others branch off from it."""
        return self.arm == TRUNK

    @property
    def name(self) -> str:
        """For people: '8x8, per, seed 3'."""
        return ", ".join(filter(None, (self.task, self.arm, f"seed {self.seed}")))


@dataclass(frozen=True, slots=True)
class Study:
    """A checked study.

    Attributes:
        name: for commands, and of its folder; ends in '-small' for the small version.
        text: the file, word for word.
        small: whether this is the small version.
        design: the file's content; of the small version, with its sizes.
        trunks: the runs to branch off from; empty unless it is a study of branches.
        cells: the runs that are compared, ordered by seed, so that all arms advance together.
    """

    name: str
    text: str
    small: bool
    design: Design
    trunks: tuple[Cell, ...]
    cells: tuple[Cell, ...]

    @property
    def digest(self) -> str:
        """Identifies the file's text and its version, full or small."""
        return hashlib.sha256(f"{'small ' if self.small else ''}{self.text}".encode()).hexdigest()

    @property
    def every(self) -> tuple[Cell, ...]:
        """All runs."""
        return self.trunks + self.cells

    @property
    def tasks(self) -> tuple[str, ...]:
        """Its tasks; one without a name if the file lists none."""
        return tuple(self.design.tasks) or ("",)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What it measures: what claims need, then the others."""
        texts = [claim.measure for claim in self.design.claim] + self.design.measures
        return tuple(parse_measure(text) for text in dict.fromkeys(texts))


def presets() -> dict[str, str]:
    """The text of each study that ships with the project, by name."""
    return {path.stem: _read(path) for path in sorted(asset_path("studies").glob("*.toml"))}


def find_study(name_or_file: str, *, small: bool = False) -> Study:
    """The study of a preset's name, of a TOML file, or of a folder with a `study.toml`.

    Raises:
        ConfigError: there is none, or it is not a valid study; the message names the key and what is allowed.
    """
    path = Path(name_or_file)
    if path.suffix == ".toml" or os.sep in name_or_file or path.is_dir():
        path = path / FILE if path.is_dir() else path
        name = path.absolute().parent.name if path.name == FILE else path.stem
        return read_study(_read(path), name, small=small, source=str(path))
    known = presets()
    if name_or_file not in known:
        raise ConfigError(f"study: there is no {name_or_file!r}; give a TOML file, or choose from {', '.join(known)}")
    return read_study(known[name_or_file], name_or_file, small=small, source=name_or_file)


def read_study(text: str, name: str, *, small: bool = False, source: str = "study") -> Study:
    """Check a study's text.

    Args:
        text: TOML.
        name: of the study; its small version gets '-small' appended.
        small: its small version.
        source: what error messages call it.

    Raises:
        ConfigError: see `find_study`.
    """
    try:
        design = Design.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError("\n".join(f"{source}: {_explain(item)}" for item in error.errors())) from None
    try:
        if small:
            design, name = _shrunk(design), f"{name}-small"
        _check_words(design)
        trunks, cells = _trunks(design), _cells(design)
        _refuse_fixed(trunks, cells)
        design = _fit_measures(design, cells, small)
    except VlmrbError as error:
        raise ConfigError("\n".join(f"{source}: {line}" for line in str(error).splitlines())) from None
    return Study(name, text, small, design, trunks, cells)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"study: {path} cannot be read ({reason}); give a preset's name or a TOML file") from None


def _shrunk(design: Design) -> Design:
    if design.small is None:
        raise ConfigError("small: this study has no small version; add a table [small], or leave out --small")
    branch = design.branch
    if design.small.steps is not None:
        if branch is None:
            raise ConfigError("small.steps: only branches have steps of their own; set small.settings.total_steps instead")
        branch = branch.model_copy(update={"steps": design.small.steps})
    own = design.small.settings

    def without(settings: Settings) -> Settings:
        return {name: value for name, value in settings.items() if name not in own}

    return design.model_copy(
        update={
            "seeds": design.small.seeds or design.seeds,
            "branch": branch,
            "settings": design.settings | own,
            "trunk": without(design.trunk),
            "tasks": {name: without(settings) for name, settings in design.tasks.items()},
            "arms": {name: without(settings) for name, settings in design.arms.items()},
        }
    )


def _explain(item: Any) -> str:
    # a union's members are part of pydantic's place, as in branch.at.constrained-int
    where = ".".join(str(part) for part in item["loc"] if not re.search(r"constrained|literal|function", str(part)))
    if item["type"] == "extra_forbidden":
        table = [part for part in item["loc"][:-1] if isinstance(part, str)]
        models: dict[str, type[_Table]] = {"claim": Claim, "branch": Branch, "small": Small}
        known = models.get(table[0] if table else "", Design).model_fields
        return f"{where}: there is no such key; allowed: {', '.join(known)}"
    if item["type"] == "missing":
        return f"{where}: missing; add it to the file"
    message = item["msg"].removeprefix("Value error, ")
    return f"{where}: got {item['input']!r}; {message[0].lower()}{message[1:]}"


def _check_words(design: Design) -> None:
    """Check names, and that claims speak of arms and tasks that exist."""
    for kind, names in (("arms", design.arms), ("tasks", design.tasks)):
        for name in names:
            if not _NAME.fullmatch(name) or name != name.strip():
                raise ConfigError(f"{kind}: {name!r} is no name for one; use up to 30 letters, digits, blanks and -+.,=()")
    if TRUNK in design.arms:
        raise ConfigError(f"arms: {TRUNK!r} is the name of the runs that branches start from; choose another")
    if len(set(design.seeds)) < len(design.seeds):
        raise ConfigError("seeds: a seed is given twice; give each once")
    if design.trunk and design.branch is None:
        raise ConfigError("trunk: only a study of branches has a trunk; add a table [branch] or remove [trunk]")
    for claim in design.claim:
        for arm in [claim.better, *claim.than]:
            if arm not in design.arms:
                raise ConfigError(f"claim: there is no arm {arm!r}; choose from {', '.join(design.arms)}")
        if claim.better in claim.than:
            raise ConfigError(f"claim: {claim.better!r} is compared with itself; remove it from 'than'")
        if claim.task is not None and claim.task not in design.tasks:
            raise ConfigError(f"claim: there is no task {claim.task!r}; choose from {', '.join(design.tasks) or 'none'}")
        if bool(claim.than) == (claim.at_least is not None):
            raise ConfigError("claim: give either 'than', arms to compare with, or 'at_least', a value to reach")


def _fit_measures(design: Design, cells: tuple[Cell, ...], small: bool) -> Design:
    """Check that measures exist and that every run gets as far as they look; the small version's look as far as its runs get."""
    length = min(cell.config.total_steps for cell in cells) if design.branch is None else design.branch.steps

    def fitting(text: str) -> str:
        found = parse_measure(text)
        if found.kind not in ("area", "success_at") or found.number is None or found.number <= length:
            return text
        if not small:
            raise ConfigError(f"measure: {text!r} looks further than the runs get, {length} steps; name a smaller step")
        return f"{found.kind}:{length}"

    claims = [claim.model_copy(update={"measure": fitting(claim.measure)}) for claim in design.claim]
    return design.model_copy(update={"claim": claims, "measures": [fitting(text) for text in design.measures]})


def _trunks(design: Design) -> tuple[Cell, ...]:
    if design.branch is None:
        return ()
    branch = design.branch
    moment = branch.at if isinstance(branch.at, str) else f"every:{branch.at}"
    keep = {"keep_checkpoints": moment}
    return tuple(
        Cell(task, TRUNK, seed, _config(design, f"tasks.{task}, trunk" if task else "trunk", settings, design.trunk, seed, keep))
        for seed in design.seeds
        for task, settings in (design.tasks or {"": {}}).items()
    )


def _cells(design: Design) -> tuple[Cell, ...]:
    found = []
    for seed in design.seeds:
        for task, settings in (design.tasks or {"": {}}).items():
            for arm, own in design.arms.items():
                where = f"tasks.{task}, arms.{arm}" if task else f"arms.{arm}"
                if seed == design.seeds[0]:
                    _refuse_unread(design, settings, arm, own)
                found.append(Cell(task, arm, seed, _config(design, where, settings | design.trunk, own, seed, {})))
    alike: dict[str, Cell] = {}
    for cell in found:
        if (other := alike.setdefault(cell.config.model_dump_json(), cell)) is not cell:
            raise ConfigError(f"{other.name} and {cell.name} are the same run; let their settings differ, or remove one")
    return tuple(found)


def _config(
    design: Design, where: str, settings: Mapping[str, Any], own: Mapping[str, Any], seed: int, keep: Mapping[str, Any]
) -> TrainConfig:
    merged = {**design.settings, **settings, **own}
    for name, way_out in _SET_BY_STUDY.items():
        if name in merged:
            raise ConfigError(f"{where}: {name} is not for a study's settings; {way_out}")
    # what no branch can change is the trunk's, also where its replay does not read it
    fixed = {name: merged[name] for name in FIXED if name in merged} if design.branch else {}
    try:
        config = matched_set({**merged, **keep}, [{}], [seed])[0]
        return make_config(**(config.model_dump() | fixed))
    except VlmrbError as error:
        raise ConfigError("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from None


def _refuse_unread(design: Design, settings: Mapping[str, Any], arm: str, own: Mapping[str, Any]) -> None:
    """An arm that sets what its replay method does not read is a mistake; a setting shared by all arms is not."""
    merged = {**design.settings, **settings, **design.trunk, **own}
    try:
        unread = unread_settings(str(merged.get("replay", "vlm")), str(merged.get("base", "uniform")), merged.get("her"))
    except VlmrbError:
        return  # the configuration says so in its own words
    if wrong := sorted(unread & set(own)):
        raise ConfigError(
            f"arms.{arm}: {', '.join(wrong)} is not read by {merged.get('replay', 'vlm')!r} replay; remove it from this arm"
        )


def _refuse_fixed(trunks: tuple[Cell, ...], cells: tuple[Cell, ...]) -> None:
    """A branch cannot change everything: better said before the trunks are trained than after."""
    of_trunk = {(trunk.task, trunk.seed): trunk.config for trunk in trunks}
    for cell in cells:
        trunk = of_trunk.get((cell.task, cell.seed), cell.config)
        for name, reason in FIXED.items():
            if getattr(cell.config, name) != getattr(trunk, name):
                raise ConfigError(
                    f"arms.{cell.arm}: {name}: a branch cannot change it: {reason}; set it in [trunk] or [settings]"
                )
