"""A study's report, made from its folder alone: the same file and lines give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmrb.analysis.comparison import ENOUGH_SEEDS
from vlmrb.analysis.stats import Interval, RestrictedMean
from vlmrb.errors import ConfigError
from vlmrb.settings import in_words
from vlmrb.studies.claims import Contrast, Verdict, judge_claims
from vlmrb.studies.design import TRUNK, Study
from vlmrb.studies.files import PICTURE, REPORT, StudyFolder, write_whole
from vlmrb.studies.measures import Difference, Line, Measure, Measured, measure, parse_measure
from vlmrb.studies.picture import curves_svg

Columns = Sequence[tuple[Measure, Measured]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report. A row starts with its arms; `title` is the task or '', `foot` explains the figures."""

    title: str
    header: list[str]
    rows: list[list[str]]
    foot: str


def write_report(folder: StudyFolder) -> str:
    """Write `report.md` and `curves.svg` from `curves.jsonl`; returns the report.

    Raises:
        ConfigError: nothing has begun there, no run has ended yet, a line is damaged, or the folder cannot be written.
    """
    study = folder.study()
    lines = folder.lines(study)
    if not lines:
        raise ConfigError(f"study: no run of {study.name!r} has ended yet; see: python -m vlmrb study status {study.name}")
    text = report_text(study, lines)
    try:
        write_whole(folder.path / PICTURE, curves_svg(study, lines))
        write_whole(folder.path / REPORT, text)
    except OSError as error:
        raise ConfigError(f"study: {folder.path} cannot be written ({error.strerror})") from None
    return text


def report_text(study: Study, lines: Sequence[Line]) -> str:
    """The report in Markdown: verdicts first, then the design, the results and what to know about them."""
    parts = [f"# {study.design.title}", _answers(study, lines), "## Results", f"![Curves of all arms]({PICTURE})"]
    parts += [_in_markdown(table) for table in tables(study, lines)]
    parts += ["## Design", _design(study), "## Notes", _bullets(notes_on(study, lines))]
    return "\n\n".join(parts) + "\n"


def verdict_words(study: Study, verdict: Verdict) -> str:
    """A verdict in one sentence."""
    measured = parse_measure(verdict.claim.measure)
    task = f"{verdict.task}: " if verdict.task else ""
    reason = f" ({verdict.reason})" if verdict.reason else ""
    found = "; ".join(_contrast(study, verdict, measured, each) for each in verdict.contrasts)
    return f"{task}**{verdict.outcome}**{reason}" + (f". {found}." if found else ".")


def plain_verdict(study: Study, verdict: Verdict) -> str:
    """The same without Markdown."""
    return verdict_words(study, verdict).replace("**", "").replace("`", "")


def _answers(study: Study, lines: Sequence[Line]) -> str:
    verdicts = judge_claims(study, lines)
    parts = []
    for claim in study.design.claim:
        answers = [verdict_words(study, each) for each in verdicts if each.claim is claim]
        parts.append(f"**Claim.** {claim.text}")
        parts.append(f"**Answer.** {answers[0]}" if len(answers) == 1 else "**Answer.**\n" + _bullets(answers))
    return "\n\n".join(parts)


def _contrast(study: Study, verdict: Verdict, what: Measure, found: Contrast) -> str:
    claim, advantage = verdict.claim, found.advantage
    other = f"`{found.than}`" if found.than else _value(study, what, claim.at_least or 0.0)
    if claim.by:
        other += f" {'less' if claim.lower_is_better else 'plus'} {100 * claim.by:g} %"
    words = f"Advantage of `{claim.better}` over {other} in {what.title}: {_interval(study, what, advantage)}"
    kind = "pairs" if found.paired else "seeds" if not found.than else "seeds or more each"
    return f"{words} ({100 * (1 - claim.alpha):g} % interval, {found.seeds} {kind})"


def tables(study: Study, lines: Sequence[Line]) -> list[Table]:
    """For each task the results of all arms, and their differences from the arms that claims compare with."""
    found = []
    for task in study.tasks:
        ours = [line for line in lines if line.task == task and line.arm != TRUNK]
        columns = [(what, measure(what, ours)) for what in study.measures]
        found += [_results(study, task, ours, columns), _differences(study, columns)]
    return [table for table in found if table is not None]


def _results(study: Study, task: str, ours: Sequence[Line], columns: Columns) -> Table:
    rates = any(line.positive_rate is not None for line in ours)
    header = ["arm", "runs", *(what.title for what, _ in columns), *(["labels yes"] if rates else [])]
    rows = []
    for arm in study.design.arms:
        mine = [line for line in ours if line.arm == arm]
        cells = [arm, f"{len(mine)} of {len(study.design.seeds)}"]
        cells += [_summary(study, what, found, arm) for what, found in columns]
        if rates:
            known = [line.positive_rate for line in mine if line.positive_rate is not None]
            cells.append(f"{100 * float(np.mean(known)):.0f} %" if known else "–")
        rows.append(cells)
    shared = [
        f"{what.title[0].upper()}{what.title[1:]}: restricted to the first {found.horizon:,.0f} steps"
        for what, found in columns
        if what.in_steps and found.horizon
    ]
    upto = {found.horizon for what, found in columns if what.kind in ("final", "area") and what.number is None and found.horizon}
    shared += [f"Curves are read up to step {step:,.0f}, which every run reached" for step in upto]
    return Table(task, header, rows, f"Means over runs [95 % interval]. {'. '.join(shared)}." if shared else "")


def _summary(study: Study, what: Measure, found: Measured, arm: str) -> str:
    mean = found.summary(arm)
    if mean is None:
        return "–"
    words = _interval(study, what, mean)
    return f"{words} ({mean.n - mean.censored}/{mean.n} got there)" if isinstance(mean, RestrictedMean) else words


def _differences(study: Study, columns: Columns) -> Table | None:
    """Every arm against every arm that a claim is compared with; None if no claim is."""
    rows = []
    for other in dict.fromkeys(other for claim in study.design.claim for other in claim.than):
        for arm in study.design.arms:
            found = [measured.difference(arm, other) if arm != other else None for _, measured in columns]
            if any(found):
                cells = [
                    "–" if each is None else f"{_interval(study, what, each.interval)} ({_number(each)})"
                    for (what, _), each in zip(columns, found, strict=True)
                ]
                rows.append([f"{arm} − {other}", *cells])
    foot = "Differences of means [95 % interval]; of steps, restricted to what the two arms have in common."
    return Table("", ["arm − other", *(what.title for what, _ in columns)], rows, foot) if rows else None


def _in_markdown(table: Table) -> str:
    rows = [table.header, ["---"] * len(table.header), *([f"`{first}`", *rest] for first, *rest in table.rows)]
    body = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return "\n\n".join(filter(None, (f"### {table.title}" if table.title else "", body, table.foot)))


def _number(found: Difference) -> str:
    return _counted(found.seeds, "pair") if found.paired else f"{_counted(found.seeds, 'seed')} or more each"


def _interval(study: Study, what: Measure, found: Interval | RestrictedMean) -> str:
    words = _value(study, what, found.point)
    if found.low is not None and found.high is not None:
        words += f" [{_value(study, what, found.low)}, {_value(study, what, found.high)}]"
    return words


def _value(study: Study, what: Measure, value: float) -> str:
    if what.in_steps:
        return f"{value:,.0f}"
    if what.kind == "auc":
        return f"{value:.3f}"
    return f"{100 * value:.1f} %" if study.design.metric.endswith("_rate") else f"{value:.3g}"


def _design(study: Study) -> str:
    design = study.design
    parts = []
    if study.small:
        parts.append("This is the small version: it shows that everything works, and decides nothing.")
    if design.branch is not None:
        moment = (
            f"step {design.branch.at:,}" if isinstance(design.branch.at, int) else f"its {design.branch.at.replace('-', ' ')}"
        )
        parts.append(
            f"Every seed is one run ({_settings(design.trunk) or 'default settings'}) up to {moment}. Every arm continues it "
            f"from the same networks, buffer and generators, for {design.branch.steps:,} steps, so that arms are paired."
        )
    parts.append(f"Metric: `{design.metric}`. Seeds: {', '.join(map(str, design.seeds))}. {_counted(len(study.every), 'run')}.")
    parts.append(f"Settings of every run: {_settings(design.settings) or 'the defaults'}.")
    if design.tasks:
        parts.append(_bullets(f"`{task}`: {_settings(own) or 'nothing else'}" for task, own in design.tasks.items()))
    parts.append("| arm | what it sets |\n| --- | --- |\n" + "\n".join(
        f"| `{arm}` | {_settings(own) or '–'} |" for arm, own in design.arms.items()
    ))  # fmt: skip
    if design.note:
        parts.append(design.note.strip())
    return "\n\n".join(parts)


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"`{name}` {in_words(value)}" for name, value in settings.items()).replace("|", "\\|")


def notes_on(study: Study, lines: Sequence[Line]) -> list[str]:
    """What to know about the results: what is missing, and what they were made with."""
    found = {(line.task, line.arm, line.seed) for line in lines}
    never = [line for line in lines if line.arm == TRUNK and line.record.get("moment") is None]
    lost = {(line.task, line.seed) for line in never}
    missing = [cell for cell in study.cells if cell.key not in found and (cell.task, cell.seed) not in lost]
    notes = []
    if missing:
        names = "; ".join(cell.name for cell in missing[:12]) + ("; …" if len(missing) > 12 else "")
        notes.append(f"{_counted(len(missing), 'run')} of {len(study.cells)} missing: {names}.")
    if never:
        names = "; ".join(filter(None, (", ".join(filter(None, (line.task, f"seed {line.seed}"))) for line in never)))
        notes.append(f"No branches from {_counted(len(never), 'run')} that never got to where they begin: {names}.")
    if len(study.design.seeds) < ENOUGH_SEEDS:
        notes.append(f"Fewer than {ENOUGH_SEEDS} seeds: exploration luck can decide, so no claim is.")
    for what in study.measures:
        if what.kind == "consolidation_to" and study.design.branch is None:
            left = [line for line in lines if line.arm != TRUNK and line.phases.get("fifth_success") is None]
            if left:
                notes.append(f"{_counted(len(left), 'run')} without a fifth success have no {what.title}.")
    if len(study.design.claim) * len(study.tasks) > 1:
        notes.append("Intervals are not corrected for the number of claims.")
    for name, words in (("version", "versions of VLM-RB"), ("commit", "commits"), ("host", "machines")):
        values = sorted({str(line.record.get(name) or "unknown") for line in lines})
        notes.append(f"{words[0].upper()}{words[1:]}: {', '.join(values)}.")
    speeds = [(int(line.steps[-1]) - line.start, line.record.get("steps_per_second")) for line in lines if line.steps.size]
    hours = sum(steps / speed for steps, speed in speeds if speed) / 3600
    if hours:
        notes.append(f"Core-hours trained: {hours:.2g}.")
    return notes


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
