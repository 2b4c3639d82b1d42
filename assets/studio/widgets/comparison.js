// The compare page: choice of runs, verdicts, curves with confidence bands, tables, TD error against score.
import { Chart, methodColor } from "../chart.js";
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
  token,
} from "../studio.js";
import { comparisonTraces, jitter } from "./comparison_traces.js";
import { whyPanel } from "./comparison_why.js";
import { contrast, interval, pairs, reaching, restricted } from "./comparison_words.js";

const SECONDS = 10;
const MOST_SMOOTHING = 0.95;

export function mount({ node, data, call, plotly }) {
  const view = new Comparison(data, call, plotly);
  fill(node, view.node);
  return view.start();
}

class Comparison {
  constructor(data, call, plotly) {
    this.data = data;
    this.call = call;
    this.plotly = plotly;
    this.chosen = new Set();
    /** @type {any[]} */
    this.charts = [];
    /** @type {{ version: string, node: any } | null} */
    this.why = null;
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
    return h(
      "div.toolbar.compare-bar",
      {},
      this.pickButton,
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
    this.charts.push([chart, panel]);
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
      h("p.muted.chart-words", {}, this.chartWords()),
      this.table(panel),
      this.phases(panel),
      this.improvements(panel),
    );
  }

  chartWords() {
    const name = this.view.statistic === "iqm" ? "Interquartile mean" : "Mean";
    return (
      `${name} over seeds with 95 % bootstrap intervals; n is the number of runs. A line ends where its shortest run ends. ` +
      "Click a point to see the clips around it."
    );
  }

  drawCharts() {
    const weight = Number(this.smoothing.value);
    const how = { share: this.view.as_share, raw: this.raw.checked, weight, colorOf: methodColor };
    for (const [chart, panel] of this.charts) {
      chart.draw(() => comparisonTraces(panel, how), {
        xaxis: { title: { text: panel.branched ? "steps since the branch" : "steps" }, rangemode: "tozero" },
        yaxis: { title: { text: this.view.metric }, ...(this.view.as_share ? { tickformat: ".0%", range: [-0.02, 1.04] } : {}) },
        uirevision: this.view.run_ids.join(",") + this.view.metric,
        height: 400,
        annotations: weight
          ? [
              {
                text: `lines smoothed (EMA ${weight.toFixed(2)}), bands and tables not`,
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
  }

  openClips(panel, point) {
    const { runs: ids, start } = point.data.meta ?? {};
    if (!ids) return;
    const runs = ids.join(",");
    if (start === undefined) {
      location.href = page("clips", { runs });
      return;
    }
    const step = start + Number(point.x);
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
