// Why the compared runs differ: sentences run by run, and curves of what was drawn, on one time axis.
import { Chart, methodColor } from "../chart.js";
import { fill, h, page, problem, token } from "../studio.js";
import { startWords } from "./branch_words.js";
import { changeLabel, verticals } from "./run_curves.js";

/** A panel that fills itself; hidden while there is nothing to say. */
export function whyPanel(call, runs, plotly) {
  const body = h("div");
  const node = h("section.panel.compare-why", { hidden: true, "aria-label": "Why" }, h("h2", {}, "Why"), body);
  call("reasons", { runs }).then(
    (found) => {
      node.hidden = !found.length;
      fill(
        body,
        found.map((task) => explanation(task, found.length > 1, plotly)),
      );
    },
    (error) => {
      node.hidden = false;
      fill(body, problem(error.message));
    },
  );
  return node;
}

/** What the charts' marks say: { changes, starts }, each a list of [step, label]. */
export function whyMarks({ changes, branches }) {
  return {
    changes: changes.map((change) => [change.step, `run ${change.run_id}: ${changeLabel(change)}`]),
    starts: branches.map((start) => [start.step, `run ${start.run_id}: ${startWords(start.branches)}`]),
  };
}

/** What the lines that mark something mean, as far as there are any; '' without. */
export function marksWords({ changes, starts }) {
  const said = [
    changes.length ? `${changes.length === 1 ? "a live change" : "live changes"} (dotted)` : "",
    starts.length ? "where branches start (dash-dotted)" : "",
  ].filter(Boolean);
  return said.length ? ` Vertical lines mark ${said.join(" and ")}; point at one to see what it is.` : "";
}

function explanation(task, several, plotly) {
  const { title, branched, runs, charts } = task;
  const marks = whyMarks(task);
  const last = Math.max(0, ...charts.flatMap((chart) => chart.curves.map((curve) => curve.steps.at(-1))));
  return h(
    "div.compare-why-task",
    {},
    several ? h("h3", {}, title) : null,
    h(
      "ul.compare-why-runs",
      {},
      runs.map((run) =>
        h(
          "li",
          {},
          h("span.method-dot", { title: run.label, style: { background: `var(--${run.token})` } }),
          h("a", { href: page("run", { run: run.run_id }), title: run.label }, `Run ${run.run_id}`),
          h("span.muted", {}, `, seed ${run.seed}: `),
          run.sentences.join(" "),
        ),
      ),
    ),
    h(
      "div.compare-why-charts",
      {},
      charts.map((chart) => drawChart(chart, { last, branched, marks, plotly })),
    ),
    h("p.muted.chart-words", {}, `Means over a method's runs. Click a point to see the clips around it.${marksWords(marks)}`),
  );
}

function drawChart({ title, share, curves }, { last, branched, marks, plotly }) {
  const node = h("div");
  const chart = new Chart(node, plotly, {
    label: title,
    onclick: ({ data, x, pointIndex }) => {
      if (branched || data.meta === "mark") return;
      const before = pointIndex ? data.x[pointIndex - 1] : 0;
      location.href = page("clips", {
        runs: data.meta.join(","),
        min_step: Math.max(0, Math.round(before)),
        max_step: Math.round(x),
      });
    },
  });
  chart.draw(
    () => [
      ...curves.map((curve) => ({
        type: "scatter",
        mode: "lines+markers",
        name: curve.label,
        legendgroup: curve.label,
        showlegend: false,
        x: curve.steps,
        y: curve.values,
        meta: curve.run_ids,
        line: { color: methodColor(curve.token), width: 2, dash: curve.dashed ? "dash" : "solid" },
        marker: { size: curve.dashed ? 1 : 4, color: methodColor(curve.token) },
        hovertemplate: `%{y${share ? ":.0%" : ":.3g"}} at %{x:,}<extra></extra>`,
      })),
      ...verticals("branches", marks.starts, { color: token("info"), width: 1.5, dash: "dashdot" }),
      ...verticals("live change", marks.changes, { color: token("warn"), width: 1.5, dash: "dot" }),
    ],
    {
      height: 220,
      showlegend: false,
      margin: { l: 48, r: 12, t: 6, b: 40 },
      xaxis: { title: { text: branched ? "steps since the branch" : "steps" }, range: [0, last] },
      yaxis3: { overlaying: "y", range: [0, 1], fixedrange: true, visible: false },
      yaxis: { rangemode: "tozero", ...(share ? { tickformat: ".0%", range: [-0.02, 1.04] } : {}) },
    },
  );
  return h("figure.compare-why-chart", {}, h("figcaption", {}, title), node);
}
