import assert from "node:assert/strict";
import { test } from "node:test";
import {
  axesOf,
  hoverWords,
  leftOutWords,
  localTime,
  positions,
  STEPS,
  unitOf,
  valuesAt,
  withLogarithm,
  xAxis,
  yAxis,
} from "../../assets/studio/axes.js";
import { moved, ordered } from "../../assets/studio/view_menu.js";
import { comparisonTraces, runTraces } from "../../assets/studio/widgets/comparison_traces.js";
import { curveTraces, verticals } from "../../assets/studio/widgets/run_curves.js";

const hours = { ...STEPS, x: "running", unit: unitOf(36_000) };
const clock = { running: { steps: [0, 100], values: [0, 7200] }, clock: { steps: [0, 100], values: [1000, 9000] } };
const kept = (chosen) => ({
  get: (key) => chosen[key] ?? "",
  oneOf: (key, allowed) => (allowed.includes(chosen[key]) ? chosen[key] : "step"),
});

test("a step between two known ones lies between their times, and before and after them at their ends", () => {
  const known = { steps: [10, 20, 40], values: [1, 2, 6] };
  assert.deepEqual(valuesAt([0, 10, 15, 20, 30, 40, 50], known), [1, 1, 1.5, 2, 4, 6, 6]);
  assert.deepEqual(valuesAt([0, 10], { steps: [], values: [] }), [null, null]);
  assert.deepEqual(valuesAt([], known), []);
});

test("relative time is in a unit that suits it, and wall time is what the clock on the wall of this browser shows", () => {
  assert.deepEqual(positions(STEPS, [5], clock), [5]);
  assert.deepEqual(positions(hours, [0, 50, 100], clock), [0, 1, 2]);
  const { unit } = axesOf(kept({ x: "running" }), [clock, { running: undefined }]);
  assert.deepEqual([unit.words, positions({ ...hours, unit }, [50], clock)], ["minutes", [60]]);
  const [first] = positions({ ...STEPS, x: "clock" }, [0], clock);
  assert.equal(new Date(first.replace(" ", "T")).getTime(), 1_000_000); // a time without a zone is local
  assert.match(localTime(1.25), /^\d{4}-\d\d-\d\d \d\d:\d\d:01\.250$/);
});

test("a run of which nobody knows when it was where has no positions over time", () => {
  const unknown = { running: { steps: [], values: [] }, clock: undefined };
  assert.equal(positions(hours, [1], unknown), null);
  assert.equal(positions({ ...STEPS, x: "clock" }, [1], unknown), null);
  assert.deepEqual(positions(STEPS, [1], unknown), [1]);
});

test("a date has no logarithm, and a choice that the URL makes up is not taken", () => {
  const chosen = (values) => {
    const { x, logX, logY } = axesOf(kept(values));
    return [x, logX, logY];
  };
  assert.deepEqual(chosen({ x: "clock", log: "xy" }), ["clock", false, true]);
  assert.deepEqual(chosen({ x: "running", log: "x" }), ["running", true, false]);
  assert.deepEqual(chosen({ x: "nonsense" }), ["step", false, false]);
});

test("another axis starts without the zoom of the one before", () => {
  const axes = [
    { x: "step", logX: false },
    { x: "step", logX: true },
    { x: "running", logX: false },
    { x: "clock", logX: false },
  ].map((each) => xAxis({ ...STEPS, ...each }));
  assert.equal(new Set(axes.map((axis) => axis.uirevision)).size, 4);
  assert.deepEqual(
    axes.map((axis) => axis.type),
    ["linear", "log", "linear", "date"],
  );
  assert.notEqual(yAxis(true, {}).uirevision, yAxis(false, {}).uirevision);
});

test("a logarithmic y axis drops what only a linear one can have", () => {
  const axis = yAxis(true, { range: [0, 1], rangemode: "tozero", dtick: 1, title: { text: "loss" } });
  assert.deepEqual(axis, { title: { text: "loss" }, type: "log", uirevision: "log" });
});

test("points that a logarithmic axis cannot show are counted", () => {
  const points = [
    [0, 1],
    [1, 0],
    [2, -1],
    [3, null],
    [4, 2],
  ];
  assert.equal(leftOutWords(points, { logX: false, logY: false }), "");
  assert.equal(leftOutWords(points, { logX: true, logY: false }), "1 point at or below 0 is not drawn");
  assert.equal(leftOutWords(points, { logX: true, logY: true }), "3 points at or below 0 are not drawn");
});

test("curves, marks and runs keep their steps over any axis, so that a click finds the clips and a hover names the step", () => {
  const measured = { steps: [0, 100], values: [1, 2] };
  const [curve] = curveTraces({}, { name: "a", title: "a" }, measured, {
    weight: 0,
    color: "#123456",
    axes: hours,
    x: [0, 2],
  });
  assert.deepEqual(curve.x, [0, 2]);
  assert.deepEqual(curve.customdata, [0, 100]);
  assert.match(curve.hovertemplate, /at step %\{customdata:,\}, %\{x:\.4~g\} h/);
  const [mark] = verticals("change", [[50, "λ"]], {}, hours, (steps) => positions(hours, steps, clock));
  assert.equal(mark.x[0], 1);
  assert.equal(mark.customdata[0], 50);
  assert.equal(hoverWords(STEPS), "at step %{customdata:,}");
});

test("over time every run is a line of its own without mean or band, and those without a clock are left out", () => {
  const raw = [1, 2, 3].map((id) => ({ run_id: id, seed: id, start: 700, steps: [10, 20], values: [0.1, 0.2] }));
  const panel = { curves: [{ label: "per", token: "t", raw }] };
  const how = {
    share: true,
    weight: 0,
    colorOf: () => "#0a10ff",
    axes: hours,
    at: (run) => (run.run_id === 2 ? null : [1, 2]),
  };
  const traces = runTraces(panel, how);
  assert.deepEqual(
    traces.map((trace) => [trace.meta.runs, trace.showlegend, trace.fill]),
    [
      [[1], true, undefined],
      [[3], false, undefined],
    ],
  );
  assert.equal(traces[0].name, "per (n=2)");
  assert.deepEqual([traces[0].meta.start, traces[0].customdata], [700, [10, 20]]);
});

test("a click on a method's line finds its step behind the numbers of the hover", () => {
  const curve = {
    label: "a",
    token: "t",
    n: 1,
    run_ids: [1],
    steps: [10],
    point: [1],
    low: [null],
    high: [null],
    counts: [1],
    raw: [],
  };
  const [line] = comparisonTraces({ curves: [curve] }, { share: false, raw: false, weight: 0, colorOf: () => "#0a10ff" });
  assert.equal([line.customdata[0]].flat().at(-1), 10);
});

test("remembered charts come first, in their order, and new ones after them", () => {
  assert.deepEqual(ordered(["a", "b", "c", "d"], ["c", "gone", "a"]), ["c", "a", "b", "d"]);
  assert.deepEqual(ordered(["a", "b"], []), ["a", "b"]);
});

test("a chart moves by one place and not beyond the ends", () => {
  assert.deepEqual(moved(["a", "b", "c"], "c", -1), ["a", "c", "b"]);
  assert.deepEqual(moved(["a", "b", "c"], "a", 1), ["b", "a", "c"]);
  assert.deepEqual(moved(["a", "b", "c"], "a", -1), ["a", "b", "c"]);
  assert.deepEqual(moved(["a", "b", "c"], "c", 1), ["a", "b", "c"]);
  assert.deepEqual(moved(["a"], "other", 1), ["a"]);
});

test("a line is interrupted where a logarithmic axis cannot show it", () => {
  const [trace] = withLogarithm([{ x: [0, 1, 2, 3], y: [1, 0, -1, 2], connectgaps: true }], { logX: true, logY: true });
  assert.deepEqual(trace.y, [null, null, null, 2]);
  assert.equal(trace.connectgaps, false);
  const [band] = withLogarithm(
    [
      { x: [0, 1, 1], y: [1, 2, 0], fill: "toself" },
      { x: [1], y: [0.5] },
    ],
    { logX: true, logY: true },
  );
  assert.deepEqual([band.x.length, band.y], [2, [2, 0.5]]);
  const linear = [{ x: [0], y: [0] }];
  assert.equal(withLogarithm(linear, { logX: false, logY: false }), linear);
});
