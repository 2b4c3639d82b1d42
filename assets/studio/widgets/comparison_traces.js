// Plotly traces of the comparison charts.
import { hoverWords } from "../axes.js";
import { smoothed } from "../smoothing.js";

/**
 * Lines of the methods with confidence bands and, optionally, a faint line for each run.
 *
 * @param {any} panel one task: its `curves` with steps, point, low, high, counts and the runs' own values as `raw`
 * @param {{ share: boolean, raw: boolean, weight: number, colorOf: (token: string) => string }} how `share`: show values as
 *   percentages; `raw`: also draw each run; `weight`: of smoothing, lines only; `colorOf`: a token's colour as #rrggbb
 */
export function comparisonTraces(panel, { share, raw, weight, colorOf }) {
  const found = [];
  const shown = share ? ":.0%" : ":.4g";
  for (const curve of panel.curves) {
    const color = colorOf(curve.token);
    const group = { legendgroup: curve.label };
    if (raw)
      for (const run of curve.raw)
        found.push({
          ...group,
          type: "scatter",
          mode: "lines",
          x: run.steps,
          y: smoothed(run.values, weight),
          customdata: run.steps,
          line: { color, width: 1 },
          opacity: 0.28,
          showlegend: false,
          meta: { runs: [run.run_id], start: run.start },
          hovertemplate: `run ${run.run_id}, seed ${run.seed}: %{y${shown}}<extra></extra>`,
        });
    const known = curve.steps.map((_, i) => i).filter((i) => curve.low[i] !== null);
    if (known.length)
      found.push({
        ...group,
        type: "scatter",
        mode: "lines",
        hoverinfo: "skip",
        showlegend: false,
        x: [...known.map((i) => curve.steps[i]), ...[...known].reverse().map((i) => curve.steps[i])],
        y: [...known.map((i) => curve.high[i]), ...[...known].reverse().map((i) => curve.low[i])],
        fill: "toself",
        fillcolor: faded(color, 0.16),
        line: { width: 0 },
      });
    const band = known.length ? ` [%{customdata[1]${shown}}, %{customdata[2]${shown}}]` : "";
    found.push({
      ...group,
      type: "scatter",
      mode: "lines+markers",
      name: `${curve.label} (n=${curve.n})`,
      x: curve.steps,
      y: smoothed(curve.point, weight),
      line: { color, width: 2.5 },
      marker: { size: 5, color },
      meta: { runs: curve.run_ids, start: panel.branched ? undefined : 0 }, // branches begin at different steps
      customdata: curve.steps.map((step, i) => [curve.counts[i], curve.low[i], curve.high[i], step]),
      hovertemplate: `${escapeWords(curve.label)} at %{x:,}: %{y${shown}}${band}, n=%{customdata[0]}<extra></extra>`,
    });
  }
  return found;
}

/**
 * One line for each run, over time: runs differ in speed, so that a mean at a time would mix runs at different steps.
 *
 * @param {any} panel as for `comparisonTraces`
 * @param {{ share: boolean, weight: number, colorOf: (token: string) => string, axes: any, at: (run: any) => any[] | null }} how
 *   `axes`: see `axesOf`; `at`: where a run's steps are on them, null if nobody knows
 */
export function runTraces(panel, { share, weight, colorOf, axes, at }) {
  const shown = share ? ":.0%" : ":.4g";
  return panel.curves.flatMap((curve) => {
    const color = colorOf(curve.token);
    const drawn = curve.raw.map((run) => [run, at(run)]).filter(([, x]) => x !== null);
    return drawn.map(([run, x], i) => ({
      type: "scatter",
      mode: "lines+markers",
      legendgroup: curve.label,
      name: `${curve.label} (n=${drawn.length})`,
      showlegend: i === 0,
      x,
      y: smoothed(run.values, weight),
      customdata: run.steps,
      line: { color, width: 1.5 },
      marker: { size: 3.5, color },
      opacity: 0.75,
      meta: { runs: [run.run_id], start: run.start },
      hovertemplate: `run ${run.run_id}, seed ${run.seed}: %{y${shown}} ${hoverWords(axes)}<extra></extra>`,
    }));
  });
}

/** A small deterministic offset that separates clips of equal score. */
export function jitter(id) {
  return (((id * 2654435761) % 1000) / 1000 - 0.5) * 0.05;
}

function faded(color, opacity) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

/** Plotly interprets a few tags and %{…} in text, so names must not contain any. */
function escapeWords(words) {
  return words.replace(/[<>%{}]/g, " ");
}
