"""A study's curves as an SVG: one panel per task, one line per arm, with the 95 % interval of its mean. No dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from vlmrb.analysis.stats import aggregate_curves, mean, on_common_steps
from vlmrb.studies.design import Study
from vlmrb.studies.measures import Line

COLORS = ("#4f46e5", "#c2570c", "#5b6b75", "#0f766e", "#be123c", "#a21caf", "#0e7490", "#854d0e", "#4d7c0f", "#7c3aed")
DASHES = ("", "6 3", "2 3")
"""Arms beyond the number of colours get the same ones again, dashed."""

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 300, 60, 220, 34, 44
RESAMPLES = 1_000
POINTS = 60

Point = tuple[float, float, float, float]
"""Step, mean, and the bounds of its interval."""


def curves_svg(study: Study, lines: Sequence[Line]) -> str:
    """The picture. Steps of branches count from where they branched off; nothing is smoothed or interpolated."""
    panels = [_panel(study, task, [line for line in lines if line.task == task], row) for row, task in enumerate(study.tasks)]
    height = HEIGHT * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img">\n<title>{escape(study.design.title)}</title>\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(panels) + "\n</svg>\n"
    )


def _panel(study: Study, task: str, lines: Sequence[Line], row: int) -> str:
    curves = {arm: _points([line for line in lines if line.arm == arm]) for arm in study.design.arms}
    every = [point for points in curves.values() for point in points]
    until = max((point[0] for point in every), default=1.0)
    low, high = (0.0, 1.0) if study.design.metric.endswith("_rate") else _range(every)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(step: float) -> float:
        return LEFT + (right - LEFT) * step / until

    def y(value: float) -> float:
        return bottom - (bottom - TOP) * (value - low) / (high - low)

    parts = [f'<g transform="translate(0 {row * HEIGHT})">', _text(LEFT, 20, task or study.design.title, weight="600")]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * (high - low)
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{right}" stroke="#e5e7eb"/>')
        words = f"{100 * value:.0f} %" if study.design.metric.endswith("_rate") else f"{value:.3g}"
        parts.append(_text(LEFT - 6, y(value) + 4, words, anchor="end"))
        parts.append(_text(x(share * until), bottom + 18, f"{share * until:,.0f}", anchor="middle"))
    since = " since the branch" if study.design.branch is not None else ""
    parts.append(_text((LEFT + right) / 2, HEIGHT - 8, f"steps{since}", anchor="middle"))
    for number, (arm, points) in enumerate(curves.items()):
        color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        at = TOP + 8 + 18 * number
        parts.append(f'<path d="M{right + 14} {at}h18" stroke="{color}" stroke-width="2"{dashed}/>')
        parts.append(_text(right + 38, at + 4, f"{arm} (n = {len({line.seed for line in lines if line.arm == arm})})"))
        if points:
            upper = " ".join(f"{x(step):.1f},{y(top):.1f}" for step, _, _, top in points)
            lower = " ".join(f"{x(step):.1f},{y(base):.1f}" for step, _, base, _ in reversed(points))
            middle = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value, _, _ in points)
            parts.append(f'<polygon points="{upper} {lower}" fill="{color}" fill-opacity="0.12"/>')
            parts.append(f'<polyline points="{middle}" fill="none" stroke="{color}" stroke-width="2"{dashed}/>')
    return "\n".join([*parts, "</g>"])


def _points(lines: Sequence[Line]) -> list[Point]:
    """The mean of an arm's curves where they were measured: at most 60 points, each run as far as it got."""
    lines = [line for line in lines if line.steps.size]
    if not lines:
        return []
    curves = on_common_steps([(line.elapsed, line.values) for line in lines], POINTS)
    band = aggregate_curves(curves, rng=np.random.default_rng(0), statistic=mean, resamples=RESAMPLES)
    low, high = (np.where(np.isnan(bound), band.point, bound) for bound in (band.low, band.high))
    return list(zip(band.steps.astype(float).tolist(), band.point.tolist(), low.tolist(), high.tolist(), strict=True))


def _range(points: Sequence[Point]) -> tuple[float, float]:
    low, high = min((p[2] for p in points), default=0.0), max((p[3] for p in points), default=1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "400") -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="#1f2937"'
    return f"<text {where}>{escape(words)}</text>"
