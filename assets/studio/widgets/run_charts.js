// The curves of one run. They grow while the run trains; zoom and legend stay.
import { Chart } from "../chart.js";
import { count, h, number, query, setQuery, token } from "../studio.js";

const SMOOTHING = 0.6;
const TOO_MANY = 2_000;

/** `noisy`: smoothed as the slider says. `step`: holds its value until the next point. `right`: has the axis on the right. */
const GROUPS = [
  { key: "success", title: "Success rate", range: [-0.03, 1.05], wide: true, format: ".0%", curves: [
    { name: "eval/success_rate", title: "evaluation", points: true }, { name: "rollout/success_rate", title: "while training", color: "muted", noisy: true }] },
  { key: "return", title: "Return of an episode", curves: [
    { name: "eval/episodic_return", title: "evaluation", points: true }, { name: "rollout/episodic_return", title: "while training", color: "muted", noisy: true }] },
  { key: "loss", title: "TD loss", curves: [{ name: "train/td_loss", title: "TD loss", noisy: true }] },
  { key: "lambda", title: "λ: share of a batch drawn by VLM priority", range: [-0.03, 1.05], curves: [{ name: "replay/vlm_weight", title: "λ", step: true }] },
  { key: "yes", title: "Share of clips that get a yes", range: [-0.03, 1.05], format: ".0%", curves: [{ name: "scoring/positive_rate", title: "yes" }] },
  { key: "scoring", title: "Scoring: clips, and seconds per clip", right: "seconds", curves: [
    { name: "scoring/backlog", title: "waiting" }, { name: "replay/stale_scores", title: "scored too late", color: "method-per" },
    { name: "scoring/dropped", title: "dropped", color: "bad" }, { name: "scoring/latency_s", title: "seconds per clip (right)", color: "muted", right: true, noisy: true }] },
  { key: "speed", title: "Steps per second", curves: [{ name: "speed/steps_per_second", title: "steps/s" }] },
  { key: "q", title: "Mean Q-value", curves: [{ name: "train/mean_q", title: "mean Q", noisy: true }] },
  { key: "length", title: "Length of an episode", curves: [
    { name: "eval/episodic_length", title: "evaluation", points: true }, { name: "rollout/episodic_length", title: "while training", color: "muted", noisy: true }] },
  { key: "scored", title: "Clips scored", curves: [{ name: "scoring/clips_scored", title: "clips" }] },
];

export class RunCharts {
  /** `onsuccess(step)`: a point of the success curve was clicked. */
  constructor(plotly, onsuccess) {
    Object.assign(this, { plotly, onsuccess, data: new Map(), changes: [], groups: [], color: "accent" });
    this.smoothing = clamp(Number(query().smooth ?? SMOOTHING));
    this.grid = h("div.run-charts");
    this.nothing = h("p.run-nothing.muted", {}, "No points yet. The first ones come with the first log interval and the first evaluation.");
    this.slider = h("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: this.smoothing, oninput: () => this.smooth(Number(this.slider.value)) });
    this.words = h("span.muted");
    this.node = h("section", { "aria-label": "Curves" }, h("div.toolbar", {}, h("label.range-label", {}, "Smooth ", this.slider), this.words), this.nothing, this.grid);
    this.tellSmoothing();
  }

  smooth(weight) {
    this.smoothing = weight;
    setQuery({ smooth: weight === SMOOTHING ? "" : weight });
    this.tellSmoothing();
    this.groups.forEach((group) => group.curves.some((curve) => curve.noisy) && this.drawGroup(group));
  }

  tellSmoothing() {
    this.words.textContent = this.smoothing === 0 ? "Curves as measured."
      : `Training curves: exponential moving average over the drawn points, weight ${this.smoothing.toFixed(2)}; what was measured lies faint behind. Evaluations are never smoothed.`;
  }

  /** Add what is new: steps and values by metric; `afresh` takes the place of everything. */
  take({ curves, afresh, changes, row }) {
    const news = new Set(Object.keys(curves));
    if (afresh) this.data.clear();
    for (const [name, [steps, values]] of Object.entries(curves)) {
      const curve = this.data.get(name) ?? { steps: [], values: [] };
      this.data.set(name, { steps: curve.steps.concat(steps), values: curve.values.concat(values) });
    }
    const applied = changes.filter((change) => change.applied_step !== null && ["lambda", "prompt"].includes(change.name));
    const marked = JSON.stringify(applied) !== JSON.stringify(this.changes) || this.color !== row.color;
    Object.assign(this, { changes: applied, color: row.color });
    this.makeGroups();
    this.groups.forEach((group) => (afresh || marked || !group.drawn || group.curves.some((curve) => news.has(curve.name))) && this.drawGroup(group));
  }

  /** The last step of each curve: what to ask the server to go on from; nothing once there is so much that it should be thinned out again. */
  lastSteps() {
    const curves = [...this.data].filter(([, curve]) => curve.steps.length);
    if (curves.some(([, curve]) => curve.steps.length > TOO_MANY)) return {};
    return Object.fromEntries(curves.map(([name, curve]) => [name, curve.steps.at(-1)]));
  }

  makeGroups() {
    const known = new Set(GROUPS.flatMap((group) => group.curves.map((curve) => curve.name)));
    const others = [...this.data.keys()].filter((name) => !known.has(name)).map((name) => ({ key: name, title: name, curves: [{ name, title: name }] }));
    const wanted = [...GROUPS, ...others].filter((group) => group.curves.some((curve) => this.data.has(curve.name)));
    for (const group of wanted) {
      if (this.groups.some((one) => one.key === group.key)) continue;
      const node = h("div");
      const chart = new Chart(node, this.plotly, { label: group.title, onclick: group.key === "success" ? (point) => this.clicked(point) : null });
      const panel = h(`section.panel.chart-panel${group.wide ? ".wide" : ""}`, {}, h("h2", {}, group.title),
        group.key === "success" && this.onsuccess ? h("p.muted.chart-hint", {}, "Click a point to see the clips around it.") : null, node);
      this.groups.push({ ...group, node, chart, panel });
    }
    const rank = (group) => wanted.findIndex((one) => one.key === group.key);
    this.groups.sort((a, b) => rank(a) - rank(b));
    this.groups.forEach((group, i) => this.grid.children[i] === group.panel || this.grid.insertBefore(group.panel, this.grid.children[i] ?? null));
    this.nothing.hidden = this.groups.length > 0;
  }

  clicked(point) {
    if (this.onsuccess && point.data.meta !== "changes") this.onsuccess(point.x);
  }

  drawGroup(group) {
    group.drawn = true;
    const there = group.curves.filter((curve) => this.data.get(curve.name)?.steps.length);
    group.node.setAttribute("aria-label", `${group.title}. ${there.map((curve) => this.inWords(curve)).join("; ")}`);
    const hidden = { overlaying: "y", range: [0, 1], fixedrange: true, visible: false };
    const layout = { xaxis: { title: { text: "steps", standoff: 6 }, tickformat: "~s" }, yaxis: { range: group.range, tickformat: group.format, rangemode: group.range ? undefined : "tozero" },
      yaxis3: hidden, showlegend: there.length > 1 || this.changes.length > 0, margin: { t: 8, b: 40, r: group.right ? 48 : 14 } };
    if (group.right) layout.yaxis2 = { overlaying: "y", side: "right", rangemode: "tozero", showgrid: false, tickfont: { size: 12 }, zeroline: false };
    group.chart.draw(() => [...there.flatMap((curve) => this.traces(group, curve)), ...this.marks()], layout);
  }

  inWords(curve) {
    const { steps, values } = this.data.get(curve.name);
    return `${curve.title}: ${number(values.at(-1))} at step ${count(steps.at(-1))}`;
  }

  traces(group, curve) {
    const { steps, values } = this.data.get(curve.name);
    const color = token(curve.color ?? this.color) || token("accent");
    const line = { color, width: 2, shape: curve.step ? "hv" : "linear" };
    const base = { type: "scatter", x: steps, name: curve.title, legendgroup: curve.name, yaxis: curve.right ? "y2" : "y", connectgaps: true,
      hovertemplate: `%{y:${group.format ?? ".4~g"}} at step %{x:,}<extra>${curve.title.replace(/[<>&]/g, "")}</extra>` };
    const smoothed = curve.noisy && this.smoothing > 0;
    const main = { ...base, y: smoothed ? average(values, this.smoothing) : values, line, mode: curve.points || steps.length < 2 ? "lines+markers" : "lines", marker: { color, size: 6 } };
    return smoothed ? [{ ...base, y: values, line: { ...line, width: 1 }, mode: "lines", opacity: 0.3, hoverinfo: "skip", hovertemplate: null, showlegend: false }, main] : [main];
  }

  /** Live changes as vertical lines; several points each, so that one finds their label anywhere along them. */
  marks() {
    if (!this.changes.length) return [];
    const heights = Array.from({ length: 17 }, (_, i) => i / 16);
    const x = this.changes.flatMap((change) => [...heights.map(() => change.applied_step), null]);
    const y = this.changes.flatMap(() => [...heights, null]);
    const text = this.changes.flatMap((change) => [...heights.map(() => changeLabel(change)), ""]);
    return [{ type: "scatter", mode: "lines", x, y, text, yaxis: "y3", name: "live change", meta: "changes", line: { color: token("warn"), width: 1.5, dash: "dot" },
      hovertemplate: "%{text}<br>applied at step %{x:,}<extra></extra>" }];
  }
}

/** A change in one short line; what a person wrote is cut and cannot be markup, which Plotly would read. */
function changeLabel(change) {
  const value = change.value.length > 60 ? `${change.value.slice(0, 59)}…` : change.value;
  return `${change.name === "lambda" ? "λ" : "prompt"} → ${value}`.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** Exponential moving average without the pull towards its start. */
export function average(values, weight) {
  let mean = 0;
  let share = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}

function clamp(weight) {
  return Number.isFinite(weight) ? Math.min(0.98, Math.max(0, weight)) : SMOOTHING;
}
