// How much of the machine a run uses: a folded group of charts below its curves, drawn once it is opened.
import { Chart } from "../chart.js";
import { fileSize, h, number, token } from "../studio.js";
import { curveTraces } from "./run_curves.js";

export const SYSTEM = "system/";

/** @type {any[]} */
const GROUPS = [
  { key: "cpu", title: "Processor: busy cores", ends: "_cpu" },
  { key: "memory", title: "Memory in GB", ends: "_memory", gpu: false, scale: 1e-9 },
  { key: "gpu", title: "GPU: share of the time it computes", ends: "_use", share: true },
  { key: "gpu_memory", title: "GPU memory in GB, of all programs", ends: "_memory", gpu: true, scale: 1e-9 },
];
const COLORS = [null, "info", "warn", "good"]; // null: the method's
const WHO = { learner: "learner", scorer: "scoring process" };

/** Whose curve it is: "learner", "scoring process", "GPU 0". */
function whose(name, ends) {
  const who = name.slice(SYSTEM.length, -ends.length);
  return WHO[who] ?? who.replace(/^gpu(\d+)$/, "GPU $1");
}

/** Groups of curves, in the form of those in run_curves.js; unknown ones have charts of their own. `names`: all of the run's. */
export function systemGroups(names) {
  const ours = names.filter((name) => name.startsWith(SYSTEM));
  const isOf = (name, { ends, gpu }) =>
    name.endsWith(ends) &&
    (gpu === undefined || gpu === name.startsWith(`${SYSTEM}gpu`)) &&
    name.length > SYSTEM.length + ends.length;
  const known = GROUPS.map((group) => ({
    key: group.key,
    title: group.title,
    range: group.share ? [-0.03, 1.05] : undefined,
    format: group.share ? ".0%" : undefined,
    curves: ours
      .filter((name) => isOf(name, group))
      .map((name, at) => ({
        name,
        title: whose(name, group.ends),
        color: COLORS[at % COLORS.length],
        scale: group.scale,
        noisy: !group.scale,
      })),
  })).filter((group) => group.curves.length);
  const grouped = new Set(known.flatMap((group) => group.curves.map((curve) => curve.name)));
  const others = ours.filter((name) => !grouped.has(name));
  return [...known, ...others.map((name) => ({ key: name, title: name, curves: [{ name, title: name }] }))];
}

/** The newest values in a line: "learner 0.98 cores, 512 MB · scoring process 0.4 cores, 1.2 GB". */
export function systemWords(latest) {
  return ["learner", "scorer"]
    .filter((who) => Number.isFinite(latest(`${SYSTEM}${who}_cpu`)))
    .map((who) => {
      const cores = number(latest(`${SYSTEM}${who}_cpu`), 2);
      return `${WHO[who]} ${cores} ${cores === "1" ? "core" : "cores"}, ${fileSize(latest(`${SYSTEM}${who}_memory`))}`;
    })
    .join(" · ");
}

export class SystemPanel {
  /** `color`: the method's colour token; `smoothing()`: the weight that the page's curves are smoothed with. */
  constructor(plotly, color, smoothing) {
    this.plotly = plotly;
    this.color = color;
    this.smoothing = smoothing;
    this.data = new Map();
    this.charts = new Map();
    this.words = h("span.muted");
    this.grid = h("div.run-charts");
    this.node = h(
      "details.panel.run-system",
      { hidden: true, ontoggle: () => this.draw() },
      h("summary", {}, h("h2", {}, "System "), this.words),
      this.grid,
    );
  }

  /** `data`: the run's curves by name. */
  take(data) {
    this.data = data;
    const groups = systemGroups([...data.keys()]);
    this.node.hidden = !groups.length;
    this.words.textContent = systemWords((name) => data.get(name)?.values.at(-1));
    this.draw();
  }

  draw() {
    if (!this.node.open) return; // a chart without a size would be drawn too small
    for (const group of systemGroups([...this.data.keys()])) {
      const last = group.curves.map((curve) => this.data.get(curve.name).steps.at(-1)).join();
      const chart = this.charts.get(group.key) ?? this.add(group);
      if (chart.last === last || chart.node._dragging) continue;
      chart.last = last;
      chart.chart.draw(() => this.traces(group), {
        xaxis: { title: { text: "steps", standoff: 6, font: { size: 12 } }, tickformat: "~s", rangemode: "tozero" },
        yaxis: { range: group.range, tickformat: group.format, rangemode: group.range ? undefined : "tozero" },
        showlegend: group.curves.length > 1,
        margin: { t: 8, b: 40, r: 14 },
      });
    }
  }

  add(group) {
    const node = h("div");
    this.grid.append(h("section.chart-panel", {}, h("h3", {}, group.title), node));
    const chart = { node, chart: new Chart(node, this.plotly, { label: group.title }), last: "" };
    this.charts.set(group.key, chart);
    return chart;
  }

  traces(group) {
    return group.curves.flatMap((curve) => {
      const color = token(curve.color ?? this.color) || token("accent");
      return curveTraces(group, curve, this.data.get(curve.name), { weight: this.smoothing(), color });
    });
  }
}
