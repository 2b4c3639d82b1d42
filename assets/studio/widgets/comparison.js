// The compare page: choice of runs, verdicts, curves with confidence bands, tables, TD error against score.
import { AXIS_DEFAULTS, axesOf, axisPart, leftOutWords, positions, STEP, withLogarithm, xAxis, yAxis } from "../axes.js";
import { Chart, methodColor } from "../chart.js";
import { Kept, rememberedLists, rememberLists } from "../kept.js";
import { smoothingWeight } from "../smoothing.js";
import {
  badge,
  button,
  count,
  debounce,
  empty,
  fill,
  focusedNode,
  h,
  number,
  page,
  percent,
  poll,
  problem,
  query,
  setQuery,
  short,
  toast,
  token,
} from "../studio.js";
import { moved, ShownList, viewMenu, viewPart } from "../view_menu.js";
import { StepClips } from "./comparison_clips.js";
import { sweepPanel } from "./comparison_sweep.js";
import { comparisonTraces, jitter, runTraces } from "./comparison_traces.js";
import { whyPanel } from "./comparison_why.js";
import { contrast, interval, pairs, reaching, restricted } from "./comparison_words.js";

const SECONDS = 10;
const MOST_SMOOTHING = 0.95;
const FURTHER = "compare-charts"; // in the browser's memory: the further metrics that are charted, in order

export function mount({ node, data, call, plotly }) {
  const view = new Comparison(data, call, plotly);
  fill(node, view.node);
  return view.start();
}

class Comparison {
  constructor(data, call, plotly) {
    this.data = data;
    /** What is compared, once it is there. @type {any} */
    this.view = null;
    this.call = call;
    this.plotly = plotly;
    this.chosen = new Set();
    /** @type {any[]} */
    this.charts = [];
    /** Charts of further metrics. @type {any[]} */
    this.further = [];
    /** Where in the page they go. @type {any[]} */
    this.places = [];
    /** When the runs were at which step; read once it is asked for. @type {{ version: string, runs: Map<number, any> } | null} */
    this.clocks = null;
    this.kept = new Kept("compare-view", AXIS_DEFAULTS);
    /** The further metrics to chart, in order; not all runs have them. */
    this.wanted = rememberedLists(FURTHER, ["metrics"]).metrics;
    /** @type {{ version: string, node: any } | null} */
    this.why = null;
    this.clips = new StepClips(call);
    this.trouble = h("div");
    this.addressTrouble = h("div");
    this.notice = h("div", { "aria-live": "polite" });
    this.body = h("div.compare-body");
    this.node = h(
      "div.compare",
      {},
      h("h1.visually-hidden", {}, "Compare"),
      this.addressTrouble,
      this.trouble,
      this.bar(),
      this.picker(),
      this.notice,
      this.body,
    );
    this.load = debounce(() => this.read(), 120);
    addEventListener("popstate", () => {
      this.fromAddress();
      this.clips.fromAddress();
      this.load();
    });
  }

  async start() {
    try {
      this.choices = await this.call("choices");
    } catch (error) {
      fill(this.trouble, problem(error.message));
      return;
    }
    this.node.querySelector(".compare-bar").hidden = !this.choices.runs.length;
    if (!this.choices.runs.length) {
      fill(
        this.body,
        empty(
          "Nothing to compare yet",
          "Train the same task with VLM-RB, PER and uniform replay, several seeds each, to compare their success curves here.",
          h("a.button.primary", { href: page("launch", { preset: "quick" }) }, "Launch the quick comparison"),
        ),
      );
      return;
    }
    this.fromAddress();
    await this.read();
    poll(() => this.lookForNews(), SECONDS);
  }

  fromAddress() {
    const words = (query().runs ?? "")
      .split(",")
      .map((each) => each.trim())
      .filter(Boolean);
    const wrong = words.filter((each) => !/^[1-9]\d{0,14}$/.test(each));
    const asked = words.filter((each) => !wrong.includes(each)).map(Number);
    this.chosen = new Set(words.length ? asked : this.choices.default);
    fill(
      this.addressTrouble,
      wrong.length
        ? problem(`The URL lists invalid runs: ${wrong.join(", ").slice(0, 80)}. Use run numbers, such as runs=1,2,3.`)
        : null,
    );
    this.statistic.value = query().statistic === "mean" ? "mean" : "iqm";
    this.raw.checked = query().raw !== "no";
    this.smoothing.value = smoothingWeight(query().smooth, { otherwise: 0, most: MOST_SMOOTHING });
    this.drawPicker();
  }

  // -- choosing runs

  bar() {
    const changed = () => {
      setQuery({
        statistic: this.statistic.value === "iqm" ? "" : this.statistic.value,
        metric: this.metric.value === this.data.success ? "" : this.metric.value,
      });
      this.load();
    };
    this.metric = h("select.input", { id: "metric", onchange: changed });
    this.statistic = h(
      "select.input",
      { id: "statistic", onchange: changed },
      h("option", { value: "iqm" }, "IQM"),
      h("option", { value: "mean" }, "mean"),
    );
    const redraw = () => {
      setQuery({ raw: this.raw.checked ? "" : "no", smooth: Number(this.smoothing.value) ? this.smoothing.value : "" });
      this.drawCharts();
    };
    this.raw = h("input", { type: "checkbox", checked: true, onchange: redraw });
    this.smoothing = h("input", {
      type: "range",
      min: 0,
      max: MOST_SMOOTHING,
      step: 0.05,
      value: 0,
      id: "smoothing",
      oninput: redraw,
    });
    this.pickButton = button(
      "Choose runs",
      () => {
        this.panel.hidden = !this.panel.hidden;
        this.pickButton.setAttribute("aria-expanded", String(!this.panel.hidden));
      },
      { "aria-expanded": "false" },
    );
    this.exports = h("span.exports");
    this.moreCharts = new ShownList("Further charts", "No further charts", {
      toggle: (key) => this.toggleChart(key),
      move: (key, by) => this.want(moved(this.shownMetrics(), key, by)),
      reset: () => this.want([]),
    });
    const view = viewMenu(
      axisPart(this.kept, () => this.drawCharts()),
      viewPart("Further charts of the same runs", this.moreCharts.node),
    );
    return h(
      "div.toolbar.compare-bar",
      {},
      this.pickButton,
      view,
      h("label.check-label", {}, "Metric", this.metric),
      h("label.check-label", {}, "Statistic", this.statistic),
      h("label.check-label", {}, this.raw, "Individual runs"),
      h("label.check-label", { for: "smoothing" }, "Smoothing", this.smoothing),
      h("span.spacer"),
      this.exports,
    );
  }

  async readMetrics() {
    let names = [];
    try {
      names = await this.call("metrics", { runs: [...this.chosen] });
    } catch {
      /* read() shows the error */
    }
    if (!names.includes(this.data.success)) names.unshift(this.data.success);
    // a metric without values stays selected, so that the page says it has none
    if (query().metric && !names.includes(query().metric)) names.push(query().metric);
    const listed = [...this.metric.options].map((option) => option.value);
    if (listed.join() !== names.join())
      fill(
        this.metric,
        names.map((name) => h("option", { value: name }, name)),
      );
    this.metric.value = query().metric ?? this.data.success;
    this.drawMoreCharts();
  }

  // -- further charts

  /** The metrics that can be charted beside the one that is compared. */
  furtherMetrics() {
    return [...this.metric.options].map((option) => option.value).filter((name) => name !== this.metric.value);
  }

  /** Those of them that are, in order. */
  shownMetrics() {
    const there = this.furtherMetrics();
    return this.wanted.filter((name) => there.includes(name)).slice(0, this.data.max_charts);
  }

  /** `shown`: of the metrics that these runs have. */
  want(shown) {
    const there = this.furtherMetrics();
    this.wanted = [...shown, ...this.wanted.filter((name) => !there.includes(name))];
    rememberLists(FURTHER, { metrics: this.wanted });
    this.drawMoreCharts();
    this.readFurther();
  }

  toggleChart(name) {
    const shown = this.shownMetrics();
    if (shown.includes(name)) this.want(shown.filter((each) => each !== name));
    else if (shown.length < this.data.max_charts) this.want([...shown, name]);
    else {
      toast(`At most ${this.data.max_charts} further charts; remove one first.`, "error");
      this.drawMoreCharts();
    }
  }

  drawMoreCharts() {
    const shown = this.shownMetrics();
    const others = this.furtherMetrics().filter((name) => !shown.includes(name));
    this.moreCharts?.draw(
      [...shown, ...others].map((key) => ({ key, title: key, shown: shown.includes(key) })),
      !shown.length,
    );
  }

  /** Draw the further charts into the panels of their tasks. */
  async readFurther() {
    const view = this.view;
    const metrics = this.shownMetrics();
    if (!view) return;
    let found = [];
    try {
      const request = { runs: view.run_ids, metrics, statistic: view.statistic };
      if (metrics.length) found = await this.call("charts", request);
    } catch (error) {
      toast(error.message, "error");
    }
    if (view !== this.view || metrics.join() !== this.shownMetrics().join()) return; // asked again meanwhile
    this.further = [];
    for (const { panel, more } of this.places) {
      const of = found.flatMap(({ metric, as_share, tasks }) =>
        tasks.filter((task) => task.title === panel.title).map((task) => ({ ...task, metric, share: as_share })),
      );
      fill(
        more,
        of.map((task) => this.smallChart(task)),
      );
    }
    this.drawCharts();
  }

  smallChart(task) {
    const node = h("div");
    const chart = new Chart(node, this.plotly, {
      label: `${task.metric} by method on ${task.title}`,
      onclick: (point) => this.openClips(task, point),
    });
    const note = h("p.muted.chart-words");
    this.further.push({ chart, panel: task, metric: task.metric, share: task.share, note, small: true });
    return h("figure.compare-small", {}, h("figcaption", {}, task.metric), node, note);
  }

  picker() {
    this.search = h("input.input", {
      type: "search",
      placeholder: "Search runs",
      "aria-label": "Search runs",
      oninput: () => this.drawPicker(),
    });
    this.list = h("div.pick-list");
    this.panel = h(
      "section.panel.pick-panel",
      { hidden: true, "aria-label": "Runs to compare" },
      h(
        "div.toolbar",
        {},
        this.search,
        button("None", () => this.choose([]), { kind: "small" }),
        button("Newest set", () => this.choose(this.choices.default), { kind: "small" }),
      ),
      this.list,
    );
    return this.panel;
  }

  drawPicker() {
    const words = this.search.value.trim().toLowerCase();
    const shown = this.choices.runs.filter(
      (run) => !words || `${run.run_id} ${run.name} ${run.env} ${run.method} ${run.set_name}`.toLowerCase().includes(words),
    );
    const groups = new Map();
    for (const run of shown) {
      const key = run.set_name || run.env;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(run);
    }
    // the list is redrawn: keep the keyboard focus
    const focused = focusedNode()?.dataset.pick;
    fill(
      this.list,
      [...groups].map(([title, runs]) => {
        const ids = runs.map((run) => run.run_id);
        const all = ids.every((id) => this.chosen.has(id));
        return h(
          "fieldset.pick-group",
          {},
          h(
            "legend",
            {},
            h(
              "label",
              {},
              h("input", {
                type: "checkbox",
                data: { pick: `group ${title}` },
                checked: all,
                indeterminate: !all && ids.some((id) => this.chosen.has(id)),
                onchange: () => this.choose(all ? [...this.chosen].filter((id) => !ids.includes(id)) : [...this.chosen, ...ids]),
              }),
              title,
              h("span.muted", {}, ` ${count(runs.length)}`),
            ),
          ),
          runs.map((run) =>
            h(
              "label.pick-run",
              {},
              h("input", {
                type: "checkbox",
                data: { pick: `run ${run.run_id}` },
                checked: this.chosen.has(run.run_id),
                onchange: () => this.toggle(run.run_id),
              }),
              h("span.method-dot", { style: { background: `var(--${run.token})` } }),
              h("span.pick-name", { title: run.name }, `${run.run_id} · ${run.name}`),
              badge(run.status),
            ),
          ),
        );
      }),
    );
    if (focused) [...this.list.querySelectorAll("[data-pick]")].find((each) => each.dataset.pick === focused)?.focus();
    this.pickButton.textContent = `Choose runs (${count(this.chosen.size)})`;
  }

  toggle(id) {
    this.choose(this.chosen.has(id) ? [...this.chosen].filter((each) => each !== id) : [...this.chosen, id]);
  }

  choose(ids) {
    this.chosen = new Set(ids.slice(0, this.data.max_runs));
    setQuery({ runs: [...this.chosen].sort((a, b) => a - b).join(",") });
    this.drawPicker();
    this.load();
  }

  // -- loading

  async read() {
    fill(this.notice);
    if (!this.chosen.size) {
      this.asked = this.view = null;
      this.charts = [];
      fill(this.exports);
      fill(
        this.body,
        empty("No runs chosen", "Choose runs above. Runs of the same task with different replay methods can be compared."),
      );
      return;
    }
    const asked = {}; // a later request makes the answer to this one stale
    this.asked = asked;
    this.body.setAttribute("aria-busy", "true");
    try {
      const request = { runs: [...this.chosen], metric: query().metric ?? this.data.success, statistic: this.statistic.value };
      const [view] = await Promise.all([this.call("comparison", request), this.readMetrics()]);
      if (asked !== this.asked) return;
      fill(this.trouble);
      this.view = view;
      this.draw();
    } catch (error) {
      if (asked !== this.asked) return;
      fill(this.trouble, problem(error.message));
    }
    this.body.removeAttribute("aria-busy");
  }

  async lookForNews() {
    if (!this.view || !this.chosen.size) return;
    const version = await this.call("version", { runs: this.view.run_ids }).catch(() => null);
    if (version === null || version === this.view.version) return;
    const before = new Set(this.view.version.split(","));
    const changed = version.split(",").filter((part) => !before.has(part)).length;
    fill(
      this.notice,
      h(
        "div.notice.news",
        {},
        `${count(changed)} ${changed === 1 ? "run has" : "runs have"} new results. `,
        button("Show them", () => this.read(), { kind: "small" }),
      ),
    );
  }

  // -- drawing

  draw() {
    const view = this.view;
    this.charts = [];
    this.further = [];
    this.places = [];
    const asked = { runs: view.run_ids.join(","), metric: view.metric, statistic: view.statistic };
    const address = (format) => `./studio/export?${new URLSearchParams({ ...asked, format })}`;
    fill(
      this.exports,
      h("span.muted", {}, "Export "),
      ["html", "csv", "json"].map((format) => h("a.button.small", { href: address(format), download: "" }, format.toUpperCase())),
    );
    this.scatter = this.scatterPanel(this.scatter?.open ?? false);
    fill(
      this.body,
      view.panels.length
        ? view.panels.map((panel) => this.drawPanel(panel))
        : empty("No evaluations yet", "These runs have no values of this metric so far."),
      this.whyPanel(),
      this.clips.node,
      view.notes.length
        ? h(
            "details.panel.notes",
            { open: view.notes.length <= 6 },
            h("summary", {}, h("strong", {}, "Caveats "), h("span.muted", {}, count(view.notes.length))),
            h(
              "ul",
              {},
              view.notes.map((note) => h("li", {}, note)),
            ),
          )
        : null,
      this.scatter,
    );
    this.drawCharts();
    this.clips.take(view.run_ids);
    this.readFurther();
  }

  /** Another metric or statistic changes nothing about it, so that it stays. */
  whyPanel() {
    const { version, run_ids: runs } = this.view;
    if (!this.why || this.why.version !== version) this.why = { version, node: whyPanel(this.call, runs, this.plotly) };
    return this.why.node;
  }

  drawPanel(panel) {
    const node = h("div.compare-chart");
    const chart = new Chart(node, this.plotly, {
      label: `${this.view.metric} by method on ${panel.title}`,
      onclick: (point) => this.openClips(panel, point),
    });
    const note = h("p.muted.chart-words");
    const more = h("div.compare-more");
    const words = h("p.muted.chart-words");
    this.charts.push({ chart, panel, metric: this.view.metric, share: this.view.as_share, note, words, small: false });
    this.places.push({ panel, more });
    return h(
      "section.panel.compare-panel",
      {},
      h("h2", {}, panel.title),
      panel.beginning ? h("p.muted.chart-words", {}, `Runs start ${panel.beginning}.`) : null,
      h(
        "div",
        { class: `verdict ${panel.verdict.decided ? "decided" : "undecided"}` },
        panel.verdict.sentences.map((words) => h("p", {}, words)),
      ),
      node,
      words,
      note,
      more,
      this.table(panel),
      this.phases(panel),
      this.improvements(panel),
      sweepPanel(this.call, this.view, panel, this.plotly),
    );
  }

  chartWords(overTime) {
    const name = this.view.statistic === "iqm" ? "Interquartile mean" : "Mean";
    if (overTime)
      return "Over time each run is a line and there is no mean: runs differ in speed. Verdict and tables are over steps.";
    return (
      `${name} over seeds with 95 % bootstrap intervals; n is the number of runs. A line ends where its shortest run ends. ` +
      "Click a point to see the clips around it."
    );
  }

  /** The clocks of the runs that are shown; null, and drawn again once they are there, if they are not. */
  clocksNow() {
    const { version, run_ids: runs } = this.view;
    if (this.clocks && this.clocks.version === version) return this.clocks.runs;
    const as = ([steps, values]) => ({ steps, values });
    const found = new Map();
    this.clocks = { version, runs: found };
    this.call("clocks", { runs }).then(
      (clocks) => {
        for (const { run_id, running, wall } of clocks) found.set(run_id, { running: as(running), clock: as(wall) });
        this.drawCharts();
      },
      (error) => {
        this.clocks = null;
        toast(error.message, "error");
      },
    );
    return found;
  }

  drawCharts() {
    if (!this.view) return;
    const overTime = axesOf(this.kept).x !== STEP;
    const clocks = overTime ? this.clocksNow() : new Map();
    const axes = axesOf(this.kept, [...clocks.values()]);
    const at = (run) => {
      const clock = clocks.get(run.run_id);
      return clock
        ? positions(
            axes,
            run.steps.map((step) => step + run.start),
            clock,
          )
        : null;
    };
    for (const one of [...this.charts, ...this.further]) this.drawChart(one, axes, overTime, at, clocks.size > 0);
  }

  /** `known`: whether the clocks are there. */
  drawChart({ chart, panel, metric, share, note, words, small }, axes, overTime, at, known) {
    const weight = Number(this.smoothing.value);
    const how = { share, raw: this.raw.checked, weight, colorOf: methodColor };
    const runs = panel.curves.flatMap((curve) => curve.raw);
    const drawn = overTime || how.raw ? runs : [];
    const points = [
      ...drawn.flatMap((run) => run.steps.map((step, i) => [step, run.values[i]])),
      ...(overTime ? [] : panel.curves.flatMap((curve) => curve.steps.map((step, i) => [step, curve.point[i]]))),
    ];
    const logY = axes.logY && points.some(([, value]) => value > 0);
    const timeless = overTime && known ? runs.filter((run) => at(run) === null).map((run) => run.run_id) : [];
    if (words) words.textContent = this.chartWords(overTime);
    note.textContent = [
      timeless.length
        ? `Not drawn, because the store does not hold when they were at which step: ${timeless.length === 1 ? "run" : "runs"} ` +
          `${timeless.join(", ")}.`
        : "",
      leftOutWords(points, { logX: axes.logX, logY }),
    ]
      .filter(Boolean)
      .join(" ");
    const traces = () => (overTime ? runTraces(panel, { ...how, axes, at }) : comparisonTraces(panel, how));
    chart.draw(() => withLogarithm(traces(), { ...axes, logY }), {
      xaxis: xAxis(axes, { title: panel.branched ? "steps since the branch" : "steps" }),
      yaxis: yAxis(logY, {
        title: small ? undefined : { text: metric },
        ...(share ? { tickformat: logY ? ".1~%" : ".0%", range: [-0.02, 1.04] } : {}),
      }),
      uirevision: this.view.run_ids.join(",") + metric,
      height: small ? 240 : 400,
      ...(small ? { showlegend: false, margin: { l: 48, r: 12, t: 6, b: 40 } } : {}),
      annotations:
        weight && !small
          ? [
              {
                text: overTime
                  ? `smoothed (EMA ${weight.toFixed(2)})`
                  : `lines smoothed (EMA ${weight.toFixed(2)}), bands and tables not`,
                showarrow: false,
                xref: "paper",
                yref: "paper",
                x: 1,
                y: 0,
                xanchor: "right",
                yanchor: "bottom",
                font: { size: 11, color: token("muted") },
              },
            ]
          : [],
    });
  }

  openClips(panel, point) {
    const { runs: ids, start } = point.data.meta ?? {};
    if (!ids) return;
    const runs = ids.join(",");
    if (start === undefined) {
      location.href = page("clips", { runs });
      return;
    }
    const step = start + Number([point.customdata].flat().at(-1));
    const around = Math.max(1, Math.round((panel.curves[0].steps[1] ?? 20000) - (panel.curves[0].steps[0] ?? 0)));
    location.href = page("clips", { runs, min_step: Math.max(0, step - around), max_step: step });
  }

  table(panel) {
    const { thresholds, as_share: share } = this.view;
    const head = [
      "method",
      "n",
      ...panel.steps.map((step) => `at ${short(step)}`),
      ...thresholds.map((each) => `steps to ${share ? percent(each) : each}`),
      `area to ${short(panel.horizon)}`,
    ];
    return h(
      "div.table-wrap",
      {},
      h(
        "table.table.compare-table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            head.map((words) => h("th", { scope: "col" }, words)),
          ),
        ),
        h(
          "tbody",
          {},
          panel.rows.map((row) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, h("span.method-dot", { style: { background: `var(--${row.token})` } }), row.label),
              h("td.num", { title: `runs ${row.run_ids.join(", ")}` }, row.run_ids.length),
              row.at.map((each) => h("td.num", {}, interval(each, share, row.run_ids.length))),
              row.reaching.map((each) => h("td.num", {}, reaching(each))),
              h("td.num", {}, interval(row.area, share, row.run_ids.length)),
            ),
          ),
        ),
      ),
    );
  }

  /** When runs first succeeded, and how long they took from there. */
  phases(panel) {
    if (!panel.phases.length) return null;
    const horizon = (at) => panel.rows.map((row) => row.phases[at]).find(Boolean)?.horizon;
    return h(
      "div",
      {},
      h("h3", {}, "Discovery and consolidation"),
      h(
        "div.table-wrap",
        {},
        h(
          "table.table.phase-table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["method", ...panel.phases.map((name, at) => `${name}, within ${short(horizon(at))}`)].map((words) =>
                h("th", { scope: "col" }, words),
              ),
            ),
          ),
          h(
            "tbody",
            {},
            panel.rows.map((row) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, h("span.method-dot", { style: { background: `var(--${row.token})` } }), row.label),
                row.phases.map((each) => h("td.num", {}, restricted(each))),
              ),
            ),
          ),
        ),
      ),
      h(
        "p.muted.chart-words",
        {},
        "Steps: mean time with 95 % intervals, restricted to a horizon that the methods share. In parentheses: censored runs, " +
          "which never got there, of the runs in which this time began.",
      ),
    );
  }

  improvements(panel) {
    if (!panel.improvements.length) return null;
    const reach = panel.verdict.branched
      ? `over the first ${count(panel.horizon)} steps of a branch`
      : `up to step ${count(panel.horizon)}`;
    return h(
      "div.improvements",
      {},
      h("h3", {}, `Probability of a larger area under the curve, ${reach}`),
      panel.improvements.map((found) => {
        const { method, baseline, probability: p } = found;
        const low = p.low ?? p.point,
          high = p.high ?? p.point;
        const gain = panel.rows.find((row) => row.label === method[2])?.gains[baseline[2]];
        return h(
          "div.improvement",
          {},
          h(
            "span.improvement-names",
            {},
            `${method[2]} over ${baseline[2]}`,
            found.pairs ? h("span.improvement-pairs.muted", {}, pairs(found)) : null,
          ),
          h(
            "span.odds",
            { role: "img", "aria-label": `${number(p.point)} between ${number(low)} and ${number(high)}` },
            h("span.odds-range", { style: { left: `${100 * low}%`, width: `${100 * (high - low)}%` } }),
            h("span.odds-half"),
            h("span.odds-point", { style: { left: `${100 * p.point}%` } }),
          ),
          h(
            "span.num",
            {},
            p.low === null ? p.point.toFixed(2) : `${p.point.toFixed(2)} [${p.low.toFixed(2)}, ${p.high.toFixed(2)}]`,
          ),
          h(
            "span.num.muted",
            {},
            [
              Number.isFinite(gain) ? `area ${gain >= 0 ? "+" : "−"}${Math.abs(100 * gain).toFixed(0)} %` : "",
              panel.phases.length ? contrast(found.consolidation) : "",
            ]
              .filter(Boolean)
              .join("; "),
          ),
        );
      }),
    );
  }

  // -- TD error against score

  scatterPanel(opened) {
    const box = h("div");
    const open = async () => {
      fill(box, h("p.muted", {}, "Loading clips…"));
      try {
        const found = await this.call("scatter", { runs: this.view.run_ids });
        const points = found.filter((each) => each[2] !== null); // missing if learning diverged
        if (!points.length) {
          fill(
            box,
            h("p.muted", {}, "These runs have no clips with both a score and a TD error. Runs with a scorer store both."),
          );
          return;
        }
        const node = h("div.compare-chart");
        fill(
          box,
          node,
          h(
            "p.muted.chart-words",
            {},
            `${count(points.length)} clips, sampled evenly from the runs; mean |TD error| at the time of scoring. PER ` +
              "favours clips at the top, VLM-RB clips on the right. Click a point to watch its clip.",
          ),
        );
        const chart = new Chart(node, this.plotly, {
          label: "TD error against score",
          onclick: (point) => {
            if (point.customdata) location.href = page("clips", { runs: point.customdata[1], clip: point.customdata[0] });
          },
        });
        chart.draw(
          () =>
            [true, false].map((progress) => {
              const of = points.filter((each) => each[5] === progress);
              return {
                type: "scattergl",
                mode: "markers",
                name: progress ? "progress" : "no progress",
                x: of.map((each) => each[3] + jitter(each[0])),
                y: of.map((each) => each[2]),
                customdata: of.map((each) => [each[0], each[1], each[3]]),
                marker: { size: 6, opacity: 0.55, color: token(progress ? "yes" : "unknown") },
                hovertemplate: "clip %{customdata[0]}<br>P(yes) %{customdata[2]:.2f}, |δ| %{y:.3g}<extra></extra>",
              };
            }),
          {
            xaxis: { title: { text: "P(yes)" }, range: [-0.06, 1.06] },
            yaxis: { title: { text: "mean |TD error|" }, rangemode: "tozero" },
            height: 400,
          },
        );
      } catch (error) {
        fill(box, problem(error.message));
      }
    };
    const details = h(
      "details.panel",
      { open: opened, ontoggle: () => details.open && !box.firstChild && open() },
      h(
        "summary",
        {},
        h("strong", {}, "TD error against VLM score "),
        h("span.muted", {}, "the clips PER would replay, and the clips the scorer prefers"),
      ),
      box,
    );
    return details;
  }
}
