// What charts of curves have on their axes: steps, or time; linear or logarithmic.
import { h } from "./studio.js";
import { viewChoice, viewPart, viewTick } from "./view_menu.js";

export const STEP = "step";
export const RUNNING = "running";
export const CLOCK = "clock";

/** The metrics that hold a run's clock: they are no charts of their own. */
export const CLOCK_METRICS = { [RUNNING]: "speed/running_s", [CLOCK]: "speed/clock_s" };

export const AXES = [
  [STEP, "Steps", "Steps of the environment, over all parallel environments of a run."],
  [
    RUNNING,
    "Relative time",
    "Time since the start that a run has spent training and evaluating: without pauses, and without the time between a stop " +
      "and the resume. A branch counts from where it branched.",
  ],
  [CLOCK, "Wall time", "Date and time by the clock of the run's machine, shown in the time zone of this browser."],
];

/** Their choice in the URL, for `Kept`. */
export const AXIS_DEFAULTS = { x: STEP, log: "" };

/** Steps, linear. */
export const STEPS = { x: STEP, logX: false, logY: false, unit: unitOf(0) };

/**
 * The axes as chosen; there is no logarithm of a date.
 *
 * @param {any} kept
 * @param {any[]} clocks of the runs that are shown, as for `positions`
 */
export function axesOf(kept, clocks = []) {
  const x = kept.oneOf(
    "x",
    AXES.map(([key]) => key),
  );
  const log = kept.get("log");
  return { x, logX: log.includes("x") && x !== CLOCK, logY: log.includes("y"), unit: unitOf(longestOf(clocks)) };
}

/** The part of a View menu that chooses the axes. */
export function axisPart(kept, onchange) {
  const log = (axis, on) => {
    const others = [..."xy"].filter((each) => (each === axis ? on : kept.get("log").includes(each)));
    kept.set({ log: others.join("") });
    onchange();
  };
  const words = () => AXES.find(([key]) => key === axesOf(kept).x)?.[2] ?? "";
  const choice = viewChoice("X axis", AXES, axesOf(kept).x, (x) => {
    kept.set({ x });
    choice.title = words();
    onchange();
  });
  choice.title = words();
  const positive = "Points at or below 0 cannot be drawn on it.";
  return viewPart(
    "Axes",
    h("label.check-label", {}, "X", choice),
    viewTick("Log x", `Logarithmic x axis, of steps or relative time. ${positive}`, kept.get("log").includes("x"), (on) =>
      log("x", on),
    ),
    viewTick("Log y", `Logarithmic y axis. ${positive}`, kept.get("log").includes("y"), (on) => log("y", on)),
  );
}

/**
 * The values of a curve at some steps, linear between its points; the first and last one before and after them.
 *
 * @param {number[]} steps ascending
 * @param {{ steps: number[], values: number[] }} known
 * @returns {(number | null)[]} null if nothing is known
 */
export function valuesAt(steps, known) {
  const { steps: at, values } = known;
  if (!at.length) return steps.map(() => null);
  let next = 0;
  return steps.map((step) => {
    while (next < at.length && at[next] < step) next++;
    if (next === 0) return values[0];
    if (next === at.length) return values[next - 1];
    const share = (step - at[next - 1]) / (at[next] - at[next - 1]);
    return values[next - 1] + share * (values[next] - values[next - 1]);
  });
}

/** The unit of relative time, so that its numbers are neither tiny nor huge: { seconds, words, short }. */
export function unitOf(longest) {
  if (longest < 180) return { seconds: 1, words: "seconds", short: "s" };
  if (longest < 3 * 3600) return { seconds: 60, words: "minutes", short: "min" };
  return { seconds: 3600, words: "hours", short: "h" };
}

/** The longest time that one of these clocks shows, in seconds. */
export function longestOf(clocks) {
  return Math.max(0, ...clocks.map((clock) => clock.running?.values.at(-1) ?? 0));
}

/**
 * Where steps are on an x axis: numbers, or local times as Plotly takes them.
 *
 * @param {{ x: string, unit: any }} axes `x`: one of AXES; `unit`: of relative time
 * @param {number[]} steps ascending
 * @param {{ running: any, clock: any }} clock the run's, each as { steps, values } in seconds
 * @returns {any[] | null} null if nobody knows when the run was there
 */
export function positions({ x, unit }, steps, clock) {
  if (x === STEP) return steps;
  const known = clock[x];
  if (!known?.steps.length) return null;
  const seconds = valuesAt(steps, known);
  return x === RUNNING ? seconds.map((each) => Number(each) / unit.seconds) : seconds.map((each) => localTime(Number(each)));
}

/** Seconds since the epoch → "2026-03-01 14:05:09.250", in the time zone of this browser: Plotly shows times as they are. */
export function localTime(seconds) {
  const at = new Date(1000 * seconds);
  return new Date(at.getTime() - 60_000 * at.getTimezoneOffset()).toISOString().replace("T", " ").replace("Z", "");
}

/** Plotly's x axis. `title`: what steps are called there. */
export function xAxis({ x, logX, unit }, { title = "steps", rangemode = "tozero" } = {}) {
  const words = { [STEP]: title, [RUNNING]: `${unit.words} of training and evaluation`, [CLOCK]: "time" };
  return {
    title: { text: words[x] },
    type: x === CLOCK ? "date" : logX ? "log" : "linear",
    tickformat: x === STEP ? "~s" : undefined,
    rangemode: x === CLOCK || logX ? "normal" : rangemode,
    uirevision: `${x} ${logX} ${unit.seconds}`, // another axis starts without zoom
  };
}

/** Plotly's y axis: as `linear` says, or logarithmic. */
export function yAxis(log, linear) {
  if (!log) return { ...linear, type: "linear", uirevision: "linear" };
  const { title, tickformat, exponentformat, minexponent, overlaying, side, showgrid, tickfont } = linear;
  return {
    ...Object.fromEntries(
      Object.entries({ title, tickformat, exponentformat, minexponent, overlaying, side, showgrid, tickfont }).filter(
        ([, value]) => value !== undefined,
      ),
    ),
    type: "log",
    uirevision: "log",
  };
}

/** Where a point is, for a hover text: "at step 12,000" and, over time, when that was. The steps are the trace's customdata. */
export function hoverWords({ x, unit }) {
  const when = { [STEP]: "", [RUNNING]: `, %{x:.4~g} ${unit.short}`, [CLOCK]: ", %{x|%d %b %H:%M:%S}" };
  return `at step %{customdata:,}${when[x]}`;
}

/**
 * Traces without the points that a logarithmic axis cannot show: Plotly would draw lines from there to minus infinity. A band
 * ends at the smallest value that is shown.
 */
export function withLogarithm(traces, { logX, logY }) {
  if (!logX && !logY) return traces;
  const smallest = Math.min(...traces.flatMap((trace) => trace.y.filter((value) => value > 0)));
  return traces.map((trace) => {
    if (trace.fill === "toself") {
      const there = trace.x.map((_, i) => i).filter((i) => !logX || trace.x[i] > 0);
      const y = there.map((i) => (logY ? Math.max(trace.y[i], smallest) : trace.y[i]));
      return { ...trace, x: there.map((i) => trace.x[i]), y };
    }
    const shown = (value, i) => !(logX && !(trace.x[i] > 0)) && !(logY && !(value > 0));
    return { ...trace, y: trace.y.map((value, i) => (shown(value, i) ? value : null)), connectgaps: false };
  });
}

/** How many points a logarithmic axis cannot show: "3 points at or below 0 are not drawn", or "". */
export function leftOutWords(points, { logX, logY }) {
  const n = points.filter(([x, y]) => y !== null && ((logX && !(x > 0)) || (logY && !(y > 0)))).length;
  return n ? `${n} ${n === 1 ? "point" : "points"} at or below 0 ${n === 1 ? "is" : "are"} not drawn` : "";
}
