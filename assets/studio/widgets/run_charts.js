// The curves of one run, updated while it trains; zoom and legend state are kept.
import { Chart } from "../chart.js";
import { smoothingWeight } from "../smoothing.js";
import { count, h, number, query, setQuery, token } from "../studio.js";
import { changeLabel, curveTraces, GROUPS, verticals } from "./run_curves.js";
import { SYSTEM } from "./run_system.js";

const SMOOTHING = 0.6;
const FEW_POINTS = 40; // a shorter curve is smoothed only once somebody has set the slider
const MOST_SMOOTHING = 0.98;

export class RunCharts {
  /**
   * `color`: the method's colour token; `playSteps`: steps of scripted play at the start of the run;
   * `onsuccess(step)`: called when a point of the success curve is clicked.
   */
  constructor(plotly, color, playSteps, onsuccess) {
    this.plotly = plotly;
    this.color = color;
    this.playSteps = playSteps;
    this.onsuccess = onsuccess;
    this.data = new Map();
    /** @type {any[]} */
    this.changes = [];
    /** @type {{ successes: any[], start: any[], branches: any[] }} */
    this.moments = { successes: [], start: [], branches: [] };
    /** @type {any[]} */
    this.groups = [];
    this.chosen = Boolean(query().smooth);
    this.smoothing = smoothingWeight(query().smooth, { otherwise: SMOOTHING, most: MOST_SMOOTHING });
    this.grid = h("div.run-charts");
    this.nothing = h(
      "p.run-nothing.muted",
      {},
      "No data yet. The first points appear after the first log interval and the first evaluation.",
    );
    this.slider = h("input", {
      type: "range",
      min: 0,
      max: MOST_SMOOTHING,
      step: 0.02,
      value: this.smoothing,
      oninput: () => this.smooth(Number(this.slider.value)),
    });
    this.words = h("span.muted");
    this.node = h(
      "section",
      { "aria-label": "Curves" },
      h("div.toolbar", {}, h("label.range-label", {}, "Smoothing ", this.slider), this.words),
      this.nothing,
      this.grid,
    );
    this.describeSmoothing();
  }

  smooth(weight) {
    this.smoothing = weight;
    this.chosen = true;
    setQuery({ smooth: weight });
    this.describeSmoothing();
    this.groups.forEach((group) => group.curves.some((curve) => curve.noisy) && this.drawGroup(group));
  }

  describeSmoothing() {
    this.words.textContent =
      this.smoothing === 0
        ? "Off: curves are shown as measured."
        : `Training curves show an exponential moving average over the drawn points (weight ${this.smoothing.toFixed(2)}), ` +
          "with the measured values faint behind it. Evaluations are never smoothed" +
          (this.chosen ? "." : `, and neither are curves of fewer than ${FEW_POINTS} points until you move the slider.`);
  }

  /** Add new points: steps and values by metric; with `afresh`, they replace all points. */
  take({ curves, afresh, changes }) {
    const news = new Set(Object.keys(curves));
    if (afresh) this.data.clear();
    for (const [name, [steps, values]] of Object.entries(curves)) {
      const curve = this.data.get(name) ?? { steps: [], values: [] };
      this.data.set(name, { steps: curve.steps.concat(steps), values: curve.values.concat(values) });
    }
    const applied = changes.filter(
      (change) => change.applied_step !== null && ["lambda", "prompt", "question"].includes(change.name),
    );
    const marked = JSON.stringify(applied) !== JSON.stringify(this.changes);
    this.changes = applied;
    this.makeGroups();
    this.groups.forEach(
      (group) =>
        (afresh || marked || !group.drawn || group.curves.some((curve) => news.has(curve.name))) && this.drawGroup(group),
    );
  }

  /** Mark successes, where branches start and, in a branch, its own start, where its curves begin. */
  mark(moments) {
    if (JSON.stringify(moments) === JSON.stringify(this.moments)) return;
    this.moments = moments;
    this.groups.forEach((group) => this.drawGroup(group));
  }

  makeGroups() {
    const known = new Set(GROUPS.flatMap((group) => group.curves.map((curve) => curve.name)));
    const others = [...this.data.keys()]
      .filter((name) => !known.has(name) && !name.startsWith(SYSTEM))
      .map((name) => ({ key: name, title: name, curves: [{ name, title: name }] }));
    const wanted = [...GROUPS, ...others].filter((group) => group.curves.some((curve) => this.data.has(curve.name)));
    for (const group of wanted) {
      if (this.groups.some((one) => one.key === group.key)) continue;
      const node = h("div");
      const chart = new Chart(node, this.plotly, {
        label: group.title,
        onclick: group.key === "success" ? (point) => this.clicked(point) : null,
      });
      const panel = h(
        "section.panel.chart-panel",
        {},
        h("h2", {}, group.title),
        group.key === "success" && this.onsuccess
          ? h("p.muted.chart-hint", {}, "Click a point to see the clips around it.")
          : null,
        node,
      );
      this.groups.push({ ...group, node, chart, panel });
    }
    const rank = (group) => wanted.findIndex((one) => one.key === group.key);
    this.groups.sort((a, b) => rank(a) - rank(b));
    this.groups.forEach(
      (group, i) => this.grid.children[i] === group.panel || this.grid.insertBefore(group.panel, this.grid.children[i] ?? null),
    );
    this.nothing.hidden = this.groups.length > 0;
  }

  clicked(point) {
    if (this.onsuccess && point.data.meta !== "mark") this.onsuccess(point.x);
  }

  drawGroup(group) {
    group.drawn = !group.node._dragging; // a chart being zoomed waits for the next update
    if (!group.drawn) return;
    const there = group.curves.filter((curve) => this.data.get(curve.name)?.steps.length);
    group.node.setAttribute("aria-label", `${group.title}. ${there.map((curve) => this.inWords(curve)).join("; ")}`);
    const hidden = { overlaying: "y", range: [0, 1], fixedrange: true, visible: false };
    const layout = {
      xaxis: {
        title: { text: "steps", standoff: 6, font: { size: 12 } },
        tickformat: "~s",
        rangemode: this.moments.start.length ? "normal" : "tozero",
      },
      yaxis: {
        range: group.range,
        tickformat: group.format,
        exponentformat: "power",
        minexponent: 6,
        rangemode: group.range ? undefined : "tozero",
        dtick: group.band ? 1 : undefined,
      },
      yaxis3: hidden,
      showlegend: there.length > 1 || this.marks().length > 0,
      margin: { t: 8, b: 40, r: group.right ? 48 : 14 },
    };
    if (group.right)
      layout.yaxis2 = {
        overlaying: "y",
        side: "right",
        rangemode: "tozero",
        showgrid: false,
        tickfont: { size: 12 },
        zeroline: false,
        exponentformat: "power",
        minexponent: 6,
        tickmode: "auto",
        nticks: 5,
      };
    group.chart.draw(() => [...there.flatMap((curve) => this.traces(group, curve)), ...this.marks()], layout);
  }

  inWords(curve) {
    const { steps, values } = this.data.get(curve.name);
    return `${curve.title}: ${number(values.at(-1) * (curve.scale ?? 1))} at step ${count(steps.at(-1))}`;
  }

  traces(group, curve) {
    const color = token(curve.color ?? this.color) || token("accent");
    const data = this.data.get(curve.name);
    const weight = this.chosen || data.steps.length >= FEW_POINTS ? this.smoothing : 0;
    return curveTraces(group, curve, data, { weight, color });
  }

  /** Marks of the end of scripted play, once reached, of successes, starts of branches, and live changes. */
  marks() {
    const newest = Math.max(...[...this.data.values()].map((curve) => curve.steps.at(-1) ?? 0));
    const ends = this.playSteps > 0 && newest >= this.playSteps ? [[this.playSteps, "end of scripted play"]] : [];
    const changes = this.changes.map((change) => [change.applied_step, `${changeLabel(change)}<br>applied`]);
    return [
      ...verticals("end of play", ends, { color: token("info"), width: 1.5, dash: "dash" }),
      ...verticals("start of the branch", this.moments.start, { color: token("info"), width: 1.5, dash: "dash" }),
      ...verticals("branches", this.moments.branches, { color: token("info"), width: 1.5, dash: "dot" }),
      ...verticals("first and fifth success", this.moments.successes, { color: token("good"), width: 1.5, dash: "dashdot" }),
      ...verticals("live change", changes, { color: token("warn"), width: 1.5, dash: "dot" }),
    ];
  }
}
