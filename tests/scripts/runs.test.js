import assert from "node:assert/strict";
import { test } from "node:test";
import { nextSort, sortRows } from "../../assets/studio/widgets/run_columns.js";
import { curveTraces, lastSteps, verticals } from "../../assets/studio/widgets/run_curves.js";
import { passing } from "../../assets/studio/widgets/run_filter.js";
import { groupsBySet, setsFromText, textOfSets } from "../../assets/studio/widgets/run_sets.js";
import { systemGroups, systemWords } from "../../assets/studio/widgets/run_system.js";

const row = (run_id, values = {}) => ({
  run_id,
  name: `run-${run_id}`,
  set_name: "",
  env: "MiniGrid-DoorKey-8x8-v0",
  method: "vlm",
  algo: "dqn",
  seed: run_id,
  state: "finished",
  tags: [],
  best_success: null,
  ...values,
});
const ids = (rows) => rows.map((one) => one.run_id);

test("runs are sorted by a column in both directions, missing values last", () => {
  const rows = [row(1, { best_success: 0.5 }), row(2), row(3, { best_success: 0.9 })];
  assert.deepEqual(ids(sortRows(rows, "best")), [1, 3, 2]);
  assert.deepEqual(ids(sortRows(rows, "-best")), [3, 1, 2]);
});

test("names with numbers are sorted numerically, equal names newest first", () => {
  const rows = [row(1, { name: "seed 10" }), row(2, { name: "seed 9" }), row(3, { name: "seed 10" })];
  assert.deepEqual(ids(sortRows(rows, "name")), [2, 3, 1]);
});

test("an unknown column sorts by id, and the given rows are not modified", () => {
  const rows = [row(2), row(1)];
  assert.deepEqual(ids(sortRows(rows, "nonsense")), [1, 2]);
  assert.deepEqual(ids(rows), [2, 1]);
});

test("a second click on a header reverses the order", () => {
  assert.equal(nextSort("-id", "name"), "name");
  assert.equal(nextSort("name", "name"), "-name");
  assert.equal(nextSort("-name", "name"), "name");
  assert.equal(nextSort("name", "best", true), "-best");
  assert.equal(nextSort("-best", "best", true), "best");
});

test("filters keep rows with all words and every chosen value", () => {
  const rows = [row(1, { tags: ["old"] }), row(2, { method: "per", tags: ["old", "good"] }), row(3, { set_name: "DoorKey" })];
  assert.deepEqual(ids(passing(rows, {})), [1, 2, 3]);
  assert.deepEqual(ids(passing(rows, { tag: "old" })), [1, 2]);
  assert.deepEqual(ids(passing(rows, { tag: "old", method: "per" })), [2]);
  assert.deepEqual(ids(passing(rows, { q: "DOORKEY seed 2" })), [2]);
  assert.deepEqual(ids(passing(rows, { set: "DoorKey" })), [3]);
  assert.deepEqual(ids(passing(rows, { q: "nothing like this" })), []);
});

test("sets are in the order of their first run, runs outside sets last", () => {
  const rows = [row(4), row(3, { set_name: "b" }), row(2, { set_name: "a" }), row(1, { set_name: "b" })];
  const groups = groupsBySet(rows).map(({ name, rows: members }) => [name, ids(members)]);
  assert.deepEqual(groups, [
    ["b", [3, 1]],
    ["a", [2]],
    ["", [4]],
  ]);
  assert.deepEqual(groupsBySet([row(1), row(2)]), [{ rows: [row(1), row(2)] }]);
});

test("names of sets survive a round trip through the URL", () => {
  const names = new Set(["", "a, b", "100 %", "~x", "λ & more"]);
  assert.deepEqual(setsFromText(textOfSets(names)), names);
  assert.deepEqual(setsFromText(undefined), new Set());
});

test("a URL with a stray % does not break the page", () => {
  assert.deepEqual(setsFromText("100%"), new Set(["100%"]));
});

test("the server is asked for points after the last step of each curve", () => {
  const curves = new Map([
    ["a", { steps: [1, 5], values: [0, 0] }],
    ["b", { steps: [], values: [] }],
  ]);
  assert.deepEqual(lastSteps(curves), { a: 5 });
});

test("with too many points, all curves are requested again", () => {
  const steps = Array.from({ length: 2001 }, (_, i) => i);
  assert.deepEqual(lastSteps(new Map([["a", { steps, values: steps }]])), {});
});

test("a smoothed curve has the measured values faint behind it; an evaluation is drawn as measured", () => {
  const measured = { steps: [1, 2], values: [1, 2] };
  const how = { weight: 0.5, color: "#123456" };
  const noisy = curveTraces({}, { name: "a", title: "a", noisy: true }, measured, how);
  assert.deepEqual(noisy[0].y, [1, 2]);
  assert.equal(noisy.length, 2);
  const evaluation = curveTraces({}, { name: "b", title: "b", points: true }, measured, how);
  assert.deepEqual(
    evaluation.map((trace) => trace.y),
    [[1, 2]],
  );
});

test("a scaled curve keeps its gaps", () => {
  const measured = { steps: [1, 2, 3], values: [0.001, null, 0.002] };
  const [trace] = curveTraces({}, { name: "a", title: "ms", scale: 1000 }, measured, { weight: 0, color: "#123456" });
  assert.deepEqual(trace.y, [1, null, 2]);
});

test("marks are separate vertical lines", () => {
  const marks = [
    [100, "one"],
    [200, "two"],
  ];
  const [trace] = verticals("live change", marks, {});
  assert.equal(trace.x.length, trace.y.length);
  assert.equal(trace.x.length, trace.text.length);
  assert.equal(trace.x.filter((step) => step === null).length, 2);
  assert.deepEqual(verticals("live change", [], {}), []);
});

test("what a run uses of the machine is grouped by kind, and unknown curves have charts of their own", () => {
  const names = ["learner_cpu", "learner_memory", "scorer_cpu", "gpu0_memory", "gpu1_use", "gpu0_use", "disk", "_cpu"];
  const groups = systemGroups([...names.map((name) => `system/${name}`), "train/td_loss", "eval/gpu0_use"]);
  assert.deepEqual(
    groups.map((group) => [group.title.split(/[ :]/)[0], ...group.curves.map((curve) => curve.title)]),
    [
      ["Processor", "learner", "scoring process"],
      ["Memory", "learner"],
      ["GPU", "GPU 1", "GPU 0"],
      ["GPU", "GPU 0"],
      ["system/disk", "system/disk"],
      ["system/_cpu", "system/_cpu"],
    ],
  );
  assert.deepEqual(systemGroups(["train/td_loss"]), []);
});

test("the newest use of the machine is said in a line", () => {
  const latest = {
    "system/learner_cpu": 0.984,
    "system/learner_memory": 5.12e8,
    "system/scorer_cpu": 1,
    "system/scorer_memory": 2e9,
  };
  assert.equal(
    systemWords((name) => latest[name]),
    "learner 0.98 cores, 512.0 MB · scoring process 1 core, 2.0 GB",
  );
  assert.equal(
    systemWords(() => undefined),
    "",
  );
});
