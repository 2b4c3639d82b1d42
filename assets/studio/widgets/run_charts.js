// The curves of one run, updated while it trains; zoom and legend state are kept.
import {
  AXIS_DEFAULTS,
  axesOf,
  axisPart,
  CLOCK,
  CLOCK_METRICS,
  leftOutWords,
  positions,
  RUNNING,
  STEP,
  STEPS,
  withLogarithm,
  xAxis,
  yAxis,
} from "../axes.js";
import { Chart } from "../chart.js";
import { Kept, rememberedLists, rememberLists } from "../kept.js";
import { smoothingWeight } from "../smoothing.js";
import { count, h, number, query, setQuery, token } from "../studio.js";
import { moved, ordered, ShownList, viewMenu, viewPart } from "../view_menu.js";
import { changeLabel, curveTraces, GROUPS, verticals } from "./run_curves.js";
import { SYSTEM } from "./run_system.js";

const SMOOTHING = 0.6;
const FEW_POINTS = 40; // a shorter curve is smoothed only once somebody has set the slider
const MOST_SMOOTHING = 0.98;
const ARRANGEMENT = "run-charts"; // in the browser's memory: the order of the charts, and which are hidden
const UNKNOWN_TIME = {
  [RUNNING]: "Nothing tells how long this run had been running at a step: charts are over steps.",
  [CLOCK]: "The time of this run's steps is not stored (earlier versions did not record it): charts are over steps.",
};

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
    /** Keys of the charts in their usual order. @type {string[]} */
    this.usual = [];
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
    this.timeless = h("span.muted", { role: "status" });
    this.kept = new Kept("run-view", AXIS_DEFAULTS);
    this.arrangement = rememberedLists(ARRANGEMENT, ["order", "hidden"]);
    this.chosenCharts = new ShownList("Charts", "Show all, in the usual order", {
      toggle: (key) => this.toggle(key),
      move: (key, by) => this.arrange({ order: moved(this.shownKeys(), key, by) }),
      reset: () => this.arrange({ order: [], hidden: [] }),
    });
    const menu = viewMenu(
      axisPart(this.kept, () => this.groups.forEach((group) => this.drawGroup(group))),
      viewPart("Charts", this.chosenCharts.node),
    );
    this.allHidden = h("p.run-nothing.muted", {}, "All charts are hidden; choose some under View.");
    this.node = h(
      "section",
      { "aria-label": "Curves" },
      h("div.toolbar", {}, menu, h("label.range-label", {}, "Smoothing ", this.slider), this.words, this.timeless),
      this.nothing,
      this.allHidden,
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
    Object.values(CLOCK_METRICS).forEach((name) => known.add(name));
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
      const note = h("p.muted.chart-note");
      panel.append(note);
      this.groups.push({ ...group, node, chart, panel, note });
    }
    this.usual = wanted.map((group) => group.key);
    this.showGroups();
    this.nothing.hidden = this.groups.length > 0;
  }

  // -- which charts there are, and in which order

  /** The charts of this run, in order, hidden ones included. */
  keys() {
    return ordered(this.usual, this.arrangement.order);
  }

  shownKeys() {
    return this.keys().filter((key) => !this.arrangement.hidden.includes(key));
  }

  arrange(changes) {
    this.arrangement = { ...this.arrangement, ...changes };
    rememberLists(ARRANGEMENT, this.arrangement);
    this.showGroups();
    this.groups.forEach((group) => group.drawn || this.drawGroup(group));
  }

  toggle(key) {
    const { hidden } = this.arrangement;
    this.arrange({ hidden: hidden.includes(key) ? hidden.filter((each) => each !== key) : [...hidden, key] });
  }

  showGroups() {
    const { order, hidden } = this.arrangement;
    const byKey = new Map(this.groups.map((group) => [group.key, group]));
    const shown = this.shownKeys().map((key) => byKey.get(key));
    const others = this.keys()
      .filter((key) => hidden.includes(key))
      .map((key) => byKey.get(key));
    for (const group of this.groups) if (!shown.includes(group)) group.panel.remove();
    shown.forEach(
      (group, i) => this.grid.children[i] === group.panel || this.grid.insertBefore(group.panel, this.grid.children[i] ?? null),
    );
    this.chosenCharts.draw(
      [...shown, ...others].map(({ key, title }) => ({ key, title, shown: !hidden.includes(key) })),
      !order.length && !hidden.length,
    );
    this.allHidden.hidden = shown.length > 0 || !others.length;
  }

  clicked(point) {
    if (this.onsuccess && point.data.meta !== "mark") this.onsuccess(point.customdata);
  }

  // -- drawing

  /** The axes as chosen; over steps if nobody knows the time of this run's steps. */
  axes() {
    const chosen = axesOf(this.kept, [this.clock()]);
    const unknown = positions(chosen, [], this.clock()) === null;
    this.timeless.textContent = unknown && this.groups.length ? UNKNOWN_TIME[chosen.x] : "";
    return unknown ? { ...chosen, x: STEP } : chosen;
  }

  clock() {
    return { running: this.data.get(CLOCK_METRICS.running), clock: this.data.get(CLOCK_METRICS.clock) };
  }

  drawGroup(group) {
    group.drawn = !group.node._dragging && group.panel.isConnected; // a chart being zoomed waits for the next update
    if (!group.drawn) return;
    const there = group.curves.filter((curve) => this.data.get(curve.name)?.steps.length);
    group.node.setAttribute("aria-label", `${group.title}. ${there.map((curve) => this.inWords(curve)).join("; ")}`);
    const hidden = { overlaying: "y", range: [0, 1], fixedrange: true, visible: false };
    const axes = this.axes();
    const points = there.flatMap((curve) => pointsOf(this.data.get(curve.name)));
    // fractions and numbers of questions stay linear, and so does what has no logarithm anywhere
    const logY = axes.logY && !group.range && !group.band && points.some(([, value]) => value > 0);
    group.note.textContent = leftOutWords(points, { logX: axes.logX, logY });
    const x = xAxis(axes, { rangemode: this.moments.start.length ? "normal" : "tozero" });
    const layout = {
      xaxis: { ...x, title: { ...x.title, standoff: 6, font: { size: 12 } } },
      yaxis: yAxis(logY, {
        range: group.range,
        tickformat: group.format,
        exponentformat: "power",
        minexponent: 6,
        rangemode: group.range ? undefined : "tozero",
        dtick: group.band ? 1 : undefined,
      }),
      yaxis3: hidden,
      showlegend: there.length > 1 || this.marks().length > 0,
      margin: { t: 8, b: 40, r: group.right ? 48 : 14 },
    };
    if (group.right)
      layout.yaxis2 = yAxis(logY, {
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
      });
    const drawn = { ...axes, logY };
    group.chart.draw(
      () => [
        ...withLogarithm(
          there.flatMap((curve) => this.traces(group, curve, axes)),
          drawn,
        ),
        ...this.marks(axes),
      ],
      layout,
    );
  }

  inWords(curve) {
    const { steps, values } = this.data.get(curve.name);
    return `${curve.title}: ${number(values.at(-1) * (curve.scale ?? 1))} at step ${count(steps.at(-1))}`;
  }

  traces(group, curve, axes) {
    const color = token(curve.color ?? this.color) || token("accent");
    const data = this.data.get(curve.name);
    const weight = this.chosen || data.steps.length >= FEW_POINTS ? this.smoothing : 0;
    return curveTraces(group, curve, data, { weight, color, axes, x: this.positions(axes, data.steps) });
  }

  positions(axes, steps) {
    return positions(axes, steps, this.clock()) ?? steps;
  }

  /** Marks of the end of scripted play, once reached, of successes, starts of branches, and live changes. */
  marks(axes = STEPS) {
    const at = (steps) => this.positions(axes, steps);
    const newest = Math.max(...[...this.data.values()].map((curve) => curve.steps.at(-1) ?? 0));
    const ends = this.playSteps > 0 && newest >= this.playSteps ? [[this.playSteps, "end of scripted play"]] : [];
    const changes = this.changes.map((change) => [change.applied_step, `${changeLabel(change)}<br>applied`]);
    return [
      ...verticals("end of play", ends, { color: token("info"), width: 1.5, dash: "dash" }, axes, at),
      ...verticals("start of the branch", this.moments.start, { color: token("info"), width: 1.5, dash: "dash" }, axes, at),
      ...verticals("branches", this.moments.branches, { color: token("info"), width: 1.5, dash: "dot" }, axes, at),
      ...verticals(
        "first and fifth success",
        this.moments.successes,
        { color: token("good"), width: 1.5, dash: "dashdot" },
        axes,
        at,
      ),
      ...verticals("live change", changes, { color: token("warn"), width: 1.5, dash: "dot" }, axes, at),
    ];
  }
}

function pointsOf({ steps, values }) {
  return steps.map((step, i) => [step, values[i]]);
}
