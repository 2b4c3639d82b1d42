"""A comparison as a file: an HTML page with charts and pictures, all measurements as CSV, or the page's data as JSON."""

from __future__ import annotations

import base64
import csv
import io
import json
import time
from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal, get_args

from app.colors import light_color
from app.comparing import CompareView, Panel, TableRow, compare_view
from app.figures import comparison_figure
from app.plain import to_json
from app.studio import Studio
from vlmrb.analysis import stats
from vlmrb.analysis.comparison import SHOWN_PHASES, Improvement, MeasuredRun, method_of, unusual_settings
from vlmrb.analysis.verdicts import contrast_words, paired_words, restricted_words
from vlmrb.errors import VlmrbError
from vlmrb.types import ClipFilter, RunSummary

Format = Literal["html", "csv", "json"]
FORMATS: tuple[str, ...] = get_args(Format)
MEDIA_TYPES = {"html": "text/html; charset=utf-8", "csv": "text/csv; charset=utf-8", "json": "application/json"}
PICTURES = 6
"""Clips per label in the HTML page."""

PHASES_NOTE = (
    "Steps: mean time [95 % interval], restricted to a horizon that the methods share (censored runs, which never got there, of "
    "those in which this time began)."
)

STYLE = """body{font:15px/1.5 Inter,system-ui,sans-serif;color:#17171c;max-width:1100px;margin:32px auto;padding:0 20px}
h1{font-size:24px}h2{font-size:18px;margin-top:36px}table{border-collapse:collapse;font-size:13.5px;width:100%}
th,td{text-align:left;padding:6px 8px;border-bottom:1px solid #e3e3e9;white-space:nowrap}.wrap{overflow-x:auto}
.verdict{border-left:4px solid #4f46e5;background:#f6f6f8;padding:8px 16px}.dot{display:inline-block;width:10px;height:10px;
border-radius:3px;margin-right:7px}.muted{color:#585864}.clips{display:flex;flex-wrap:wrap;gap:12px}.clip{font-size:12.5px;width:112px}
.settings{white-space:normal}
.film{width:112px;height:112px;background-size:auto 100%;border-radius:6px}"""


def export(studio: Studio, run_ids: list[int], metric: str, statistic: str, form: Format) -> bytes:
    """The comparison of these runs as a file.

    Raises:
        VlmrbError: like `compare_view`.
    """
    view = compare_view(studio.store, run_ids, metric, statistic)
    if form == "json":
        return json.dumps(to_json(view), ensure_ascii=False, indent=1).encode()
    runs = studio.store.measured_runs(view.run_ids, metric)
    if form == "csv":
        return csv_of(runs, metric).encode()
    return html_of(view, _runs_html(runs) + _pictures(studio, view)).encode()


def csv_of(runs: Iterable[MeasuredRun], metric: str) -> str:
    """One line per run and step, not downsampled: env, algo, method, run, where it branched, its phases, step, value."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    lineage = ["parent_id", "parent_step"]
    head = ["env", "algo", "method", "run", "seed", *lineage, *SHOWN_PHASES, "step", _escape_formula(metric)]
    writer.writerow(head)
    for measured in runs:
        run, method = measured.run, method_of(measured.run)
        cells = [*map(_escape_formula, (method.env, method.algo, method.label)), run.run_id, run.seed]
        cells += [getattr(run, name) for name in lineage] + [getattr(measured.phases, name, None) for name in SHOWN_PHASES]
        for step, value in zip(measured.steps.tolist(), measured.values.tolist(), strict=True):
            writer.writerow([*cells, step, value])
    return lines.getvalue()


def _escape_formula(words: str) -> str:
    """Quote a cell that a spreadsheet would run as a formula."""
    return f"'{words}" if words.startswith(("=", "+", "-", "@", "\t", "\r")) else words


def html_of(view: CompareView, more: str = "") -> str:
    """A self-contained page. Names and prompts are escaped; `more` is HTML appended at the end."""
    from plotly.offline import get_plotlyjs

    figures = [comparison_figure(panel, view.metric, as_share=view.as_share) for panel in view.panels]
    data = json.dumps(to_json(figures)).replace("<", "\\u003c")
    panels = "".join(_panel_html(number, panel, view) for number, panel in enumerate(view.panels))
    notes = "".join(f"<li>{escape(note)}</li>" for note in view.notes)
    made = time.strftime("%Y-%m-%d %H:%M")
    name = "interquartile mean" if view.statistic == "iqm" else "mean"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>VLM-RB comparison</title>'
        f"<style>{STYLE}</style></head><body><h1>VLM-RB comparison</h1>"
        f'<p class="muted">{escape(view.metric)}; {name} over seeds with 95 % bootstrap intervals over runs; '
        f"created {made} from runs {', '.join(map(str, view.run_ids))}.</p>{panels}"
        f"{f'<h2>Caveats</h2><ul>{notes}</ul>' if notes else ''}{more}"
        f"<script>{get_plotlyjs()}</script><script>const figures={data};"
        "figures.forEach((figure,i)=>Plotly.newPlot('figure-'+i,figure.data,figure.layout,{displaylogo:false,responsive:true,"
        "showSendToCloud:false,plotlyServerURL:''}));"
        "</script></body></html>"
    )


def _panel_html(number: int, panel: Panel, view: CompareView) -> str:
    sentences = "".join(f"<p>{escape(words)}</p>" for words in panel.verdict.sentences)
    head = [
        "method",
        "n",
        *(f"at {step:,}" for step in panel.steps),
        *(f"steps to {100 * each:.0f} %" for each in view.thresholds),
    ]
    rows = [_row_cells(row, view) for row in panel.rows]
    odds = [_odds_cells(panel, improvement) for improvement in panel.improvements]
    beginning = f"<p>Runs start {escape(panel.beginning)}.</p>" if panel.beginning else ""
    success = bool(panel.phases)
    compared = ["", "runs", *["steps to 50 %, difference"] * success, "probability of a larger area", "gain in area"]
    return (
        f"<h2>{escape(panel.title)}</h2>{beginning}"
        f'<div class="verdict">{sentences}</div><div id="figure-{number}"></div>'
        f"{_table_html([*head, f'area to step {panel.horizon:,}'], rows)}"
        f"{_phases_html(panel)}{_table_html(compared, odds) if odds else ''}"
    )


def _phases_html(panel: Panel) -> str:
    """When runs first succeeded, and how long they took from there."""
    if not panel.phases:
        return ""
    rows = [[_name_cell(row), *(restricted_words(each) for each in row.phases)] for row in panel.rows]
    return f'<h3>Discovery and consolidation</h3>{_table_html(["method", *panel.phases], rows)}<p class="muted">{PHASES_NOTE}</p>'


def _table_html(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. Header texts are escaped; cells are HTML already."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for cells in rows)
    return (
        f'<div class="wrap"><table><thead><tr>{"".join(f"<th>{escape(words)}</th>" for words in head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row_cells(row: TableRow, view: CompareView) -> list[str]:
    cells = [_name_cell(row), str(len(row.run_ids))]
    cells += [interval_words(each, view.as_share) for each in row.at]
    cells += [reaching_words(each) for each in row.reaching]
    return [*cells, interval_words(row.area, view.as_share)]


def _name_cell(row: TableRow) -> str:
    return f'<span class="dot" style="background:{light_color(row.token)}"></span>{escape(row.label)}'


def _odds_cells(panel: Panel, found: Improvement) -> list[str]:
    rows = {row.label: row for row in panel.rows}
    gain = rows[found.method.label].gains.get(found.baseline.label)
    runs = paired_words(found) or " and ".join(str(len(rows[each.label].run_ids)) for each in (found.method, found.baseline))
    steps = [contrast_words(found.consolidation)] if panel.phases else []
    names = f"{found.method.label} over {found.baseline.label}"
    return [
        escape(names),
        runs,
        *steps,
        interval_words(found.probability, False),
        "–" if gain is None else f"{100 * gain:+.0f} %",
    ]


def _runs_html(runs: Iterable[MeasuredRun]) -> str:
    """Each run with its non-default settings: what it takes to reproduce it."""
    head = ["run", "name", "method", "seed", "state", "steps", "non-default settings"]
    return f"<h2>Runs</h2>{_table_html(head, [_run_cells(measured.run) for measured in runs])}"


def _run_cells(run: RunSummary) -> list[str]:
    settings = " ".join(f"{name}={value}" for name, value in unusual_settings(run).items())
    words = (run.run_id, run.name, method_of(run).label, run.seed, run.status, f"{run.step:,}")
    return [*(escape(str(each)) for each in words), f'<code class="settings">{escape(settings)}</code>']


def interval_words(found: stats.Interval | None, as_share: bool) -> str:
    """'61 [43, 80] %'."""
    if found is None:
        return "–"
    numbers = [found.point, *([] if found.low is None or found.high is None else [found.low, found.high])]
    words = [f"{100 * each:.0f}" if as_share else f"{each:.3g}" for each in numbers]
    return words[0] + (f" [{words[1]}, {words[2]}]" if len(words) > 1 else "") + (" %" if as_share else "")


def reaching_words(found: stats.ThresholdSummary) -> str:
    """'120,000 [100,000, …] (4/5)'."""
    reached = f"({found.reached}/{found.n})"
    if found.median is None:
        return f"– {reached}"
    bounds = "" if found.low is None else f" [{found.low:,.0f}, {'…' if found.high is None else f'{found.high:,.0f}'}]"
    return f"{found.median:,.0f}{bounds} {reached}"


def _pictures(studio: Studio, view: CompareView) -> str:
    """A few clips labelled yes and a few labelled no."""
    found = [_clips_html(studio, view.run_ids, label) for label in ("yes", "no")]
    return "".join(found)


def _clips_html(studio: Studio, run_ids: Iterable[int], label: Literal["yes", "no"]) -> str:
    clips = studio.store.find_clips(ClipFilter(run_ids=tuple(run_ids), label=label), "newest", limit=PICTURES)
    cells = []
    for clip in clips:
        try:
            sheet = studio.playback.thumbnail(clip.clip_id)
        except VlmrbError:
            continue  # a clip that cannot be drawn is missing from the pictures only
        picture = f"data:{sheet.media_type};base64,{base64.b64encode(sheet.data).decode()}"
        motion = f"animation:film{sheet.frames} {0.16 * sheet.frames:.2f}s steps({sheet.frames},jump-none) infinite"
        frames = f"@keyframes film{sheet.frames}{{from{{background-position:0 0}}to{{background-position:100% 0}}}}"
        words = escape(", ".join(dict.fromkeys(str(event).replace("_", " ") for _, event in clip.events)) or "no events")
        cells.append(
            f'<div class="clip"><style>{frames}</style><div class="film" style="background-image:url({picture});{motion}"></div>'
            f"clip {clip.clip_id}<br>{words}</div>"
        )
    return f'<h2>Clips labelled {label}</h2><div class="clips">{"".join(cells)}</div>' if cells else ""
