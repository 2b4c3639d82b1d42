// A setting in which the compared runs differ against the score that they reach.
import { Chart, methodColor } from "../chart.js";
import { count, fill, h, number, page, problem, query, setQuery, short } from "../studio.js";

const MEASURES = ["value", "area"];
const MOST_TICKS = 8;
const WIDE = 20; // largest over smallest value from which on the axis of the setting is logarithmic

/** A panel for a task whose runs differ in settings, closed until it is wanted; null if there is nothing to draw. */
export function sweepPanel(call, view, panel, plotly) {
  if (!panel.settings.length) return null;
  const asked = query().setting;
  const setting = select(
    "Setting",
    panel.settings.map((name) => [name, name]),
    panel.settings.includes(asked) ? asked : panel.settings[0],
    () => read(),
  );
  const measure = select(
    "Score",
    [
      ["value", `${view.metric} at step ${short(panel.horizon)}`],
      ["area", `its mean up to step ${short(panel.horizon)} (area)`],
    ],
    MEASURES.includes(query().score) ? query().score : "value",
    () => read(),
  );
  const about = h("p.muted.chart-words");
  const body = h("div");
  const node = h("div.compare-chart");
  const words = h("p.muted.chart-words");
  const chart = new Chart(node, plotly, {
    label: `${view.metric} by setting on ${panel.title}`,
    onclick: (point) => {
      if (point.data.meta === "runs") location.href = page("run", { run: point.customdata[0] });
    },
  });

  async function read() {
    setQuery({ setting: setting.value, score: measure.value === "value" ? "" : measure.value });
    const wanted = { setting: setting.value, measure: measure.value };
    try {
      const found = await call("sweep", { runs: view.run_ids, metric: view.metric, statistic: view.statistic, ...wanted });
      if (wanted.setting !== setting.value || wanted.measure !== measure.value) return;
      const one = found.find((each) => each.title === panel.title);
      about.textContent = one.description;
      words.textContent = sweepWords(one.sweep);
      if (!node.isConnected) fill(body, about, node, words);
      chart.draw(() => sweepTraces(one, view.as_share, methodColor), sweepLayout(one.sweep, view));
    } catch (error) {
      fill(body, problem(error.message));
    }
  }

  const details = h(
    "details.compare-sweep",
    {
      open: panel.settings.includes(asked),
      ontoggle: () => {
        if (!details.open) setQuery({ setting: "", score: "" });
        else if (!body.firstChild) read();
      },
    },
    h(
      "summary",
      {},
      h("strong", {}, "Setting against score "),
      h("span.muted", {}, `${panel.settings.length === 1 ? "varies" : "vary"}: ${panel.settings.join(", ")}`),
    ),
    h("div.toolbar", {}, h("label.check-label", {}, "Setting", setting), h("label.check-label", {}, "Score", measure)),
    body,
  );
  return details;
}

function select(label, options, value, onchange) {
  return h(
    "select.input",
    { "aria-label": label, onchange },
    options.map(([key, words]) => h("option", { value: key, selected: key === value }, words)),
  );
}

/** Whether the axis of the setting is logarithmic: its values are positive and far apart. */
export function isWide(sweep) {
  const values = sweep.lines.flatMap((line) => line.points.map((point) => point.value));
  return Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) >= WIDE;
}

/**
 * Single runs as dots, a line with intervals for each method, and dashed levels of methods that do not read the setting.
 *
 * @param {any} view of the server: `sweep`, and `tokens` by label
 * @param {boolean} share whether values are shown as percentages
 * @param {(token: string) => string} colorOf
 */
export function sweepTraces({ sweep, tokens }, share, colorOf) {
  const shown = share ? ":.0%" : ":.4g";
  const values = sweep.lines.flatMap((line) => line.points.map((point) => point.value));
  const ends = [Math.min(...values), Math.max(...values)];
  const levels = sweep.references.map((level) => ({
    type: "scatter",
    mode: "lines",
    legendgroup: level.label,
    name: plain(`${level.label}, without this setting (n=${level.score.n})`),
    x: ends,
    y: ends.map(() => level.score.point),
    line: { color: colorOf(tokens[level.label]), width: 2, dash: "dash" },
    hovertemplate: `${plain(level.label)}: %{y${shown}}${bounds(level.score, share)}, n=${level.score.n}<extra></extra>`,
  }));
  const lines = sweep.lines.flatMap((line) => {
    const color = colorOf(tokens[line.label]);
    const runs = line.points.flatMap((point) => point.runs.map((run) => [point.value, run]));
    const offset = (end) => line.points.map(({ score }) => (score[end] === null ? 0 : Math.abs(score[end] - score.point)));
    return [
      {
        type: "scatter",
        mode: "markers",
        legendgroup: line.label,
        showlegend: false,
        meta: "runs",
        x: runs.map(([value]) => value),
        y: runs.map(([, run]) => run.score),
        customdata: runs.map(([, run]) => [run.run_id, run.seed]),
        marker: { color, size: 6, opacity: 0.45 },
        hovertemplate: `run %{customdata[0]}, seed %{customdata[1]}: %{y${shown}} at %{x:.4~g}<extra></extra>`,
      },
      {
        type: "scatter",
        mode: "lines+markers+text",
        legendgroup: line.label,
        name: plain(line.label),
        x: line.points.map((point) => point.value),
        y: line.points.map((point) => point.score.point),
        text: line.points.map((point) => `n=${point.score.n}`),
        textposition: "top right",
        textfont: { size: 11 },
        error_y: {
          type: "data",
          symmetric: false,
          array: offset("high"),
          arrayminus: offset("low"),
          color,
          thickness: 1.5,
          width: 5,
        },
        line: { color, width: 2 },
        marker: { color, size: 8, symbol: "diamond" },
        customdata: line.points.map((point) => bounds(point.score, share)),
        hovertemplate: `${plain(line.label)} at %{x:.4~g}: %{y${shown}}%{customdata}, %{text}<extra></extra>`,
      },
    ];
  });
  return [...levels, ...lines];
}

function sweepLayout(sweep, view) {
  const wide = isWide(sweep);
  const share = view.as_share;
  const measure = sweep.measure === "area" ? `mean of ${view.metric}` : view.metric;
  return {
    xaxis: {
      title: { text: wide ? `${sweep.setting} (logarithmic)` : sweep.setting },
      type: wide ? "log" : "linear",
      ...ticksOf(sweep),
      uirevision: `${sweep.setting} ${sweep.measure}`,
    },
    yaxis: {
      title: { text: measure },
      uirevision: `${sweep.setting} ${sweep.measure}`,
      ...(share ? { tickformat: ".0%", range: [-0.02, 1.04] } : {}),
    },
    height: 380,
  };
}

/** Ticks at the values themselves, as long as they are few. */
export function ticksOf(sweep) {
  const values = [...new Set(sweep.lines.flatMap((line) => line.points.map((point) => point.value)))].sort((a, b) => a - b);
  if (values.length > MOST_TICKS) return {};
  return { tickmode: "array", tickvals: values, ticktext: values.map((value) => short(value)) };
}

/** What the chart shows, and what it cannot tell. */
export function sweepWords(sweep) {
  const where = sweep.measure === "area" ? "up to" : "at";
  const runs = (ids) => `${ids.length === 1 ? "run" : "runs"} ${ids.join(", ")}`;
  return [
    `Dots are single runs, diamonds the statistic over them with 95 % bootstrap intervals, ${where} step ` +
      `${count(sweep.horizon)}, which all runs reached; n is the number of runs. Click a dot to open its run.`,
    sweep.mixed.length ? `Runs with the same ${sweep.setting} also differ in ${sweep.mixed.join(", ")}.` : "",
    sweep.left_out.length ? `Without a number for ${sweep.setting}, and left out: ${runs(sweep.left_out)}.` : "",
  ]
    .filter(Boolean)
    .join(" ");
}

function bounds({ low, high }, share) {
  if (low === null) return "";
  const one = (value) => (share ? `${Math.round(100 * value)}%` : number(value));
  return ` [${one(low)}, ${one(high)}]`;
}

/** Plotly interprets a few tags and %{…} in text. */
function plain(words) {
  return words.replace(/[<>%{}]/g, " ");
}
