"""Comparisons as Plotly figures for exported pages. Records in, plain data out."""

from __future__ import annotations

from typing import Any

from app.colors import light_color
from app.comparing import MethodCurve, Panel


def comparison_figure(panel: Panel, metric: str, *, as_share: bool) -> dict[str, Any]:
    """One task's curves as a Plotly figure: data and layout, JSON-serialisable."""
    traces = [trace for curve in panel.curves for trace in _curve_traces(curve)]
    axis = {"title": {"text": metric}, "gridcolor": "#e3e3e9", "zerolinecolor": "#8b8b98"}
    layout = {
        "xaxis": {
            "title": {"text": "steps since the branch" if panel.branched else "steps"},
            "rangemode": "tozero",
            "gridcolor": "#e3e3e9",
        },
        "yaxis": axis | ({"tickformat": ".0%", "range": [-0.02, 1.04]} if as_share else {}),
        "plot_bgcolor": "#ffffff",
        "paper_bgcolor": "#ffffff",
        "font": {"family": "Inter, system-ui, sans-serif", "size": 13, "color": "#17171c"},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "height": 420,
    }
    return {"data": traces, "layout": layout}


def _curve_traces(curve: MethodCurve) -> list[dict[str, Any]]:
    """Faint lines for the runs, then the band, then the method's line on top."""
    color = light_color(curve.token)
    shared = {"type": "scatter", "legendgroup": curve.label}
    runs = [
        shared | {"mode": "lines", "x": run.steps.tolist(), "y": run.values.tolist(), "line": {"color": color, "width": 1}}
        | {"opacity": 0.28, "showlegend": False, "name": f"run {run.run_id}, seed {run.seed}"}
        for run in curve.raw
    ]  # fmt: skip
    known = [(step, low, high) for step, low, high in zip(curve.steps, curve.low, curve.high, strict=True) if low == low]
    outline = [(step, high) for step, _, high in known] + [(step, low) for step, low, _ in reversed(known)]
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    band = shared | {
        "mode": "lines", "x": [int(step) for step, _ in outline], "y": [float(value) for _, value in outline], "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.16)", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    line = shared | {
        "mode": "lines+markers", "x": curve.steps.tolist(), "y": curve.point.tolist(),
        "name": f"{_without_markup(curve.label)} (n={curve.n})", "line": {"color": color, "width": 2.5}, "marker": {"size": 5},
    }  # fmt: skip
    return [*runs, *([band] if outline else []), line]


def _without_markup(words: str) -> str:
    """Plotly interprets a few tags in text, so names must not contain any."""
    return words.replace("<", "‹").replace(">", "›")
