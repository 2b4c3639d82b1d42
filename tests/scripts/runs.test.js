import assert from "node:assert/strict";
import { test } from "node:test";
import {
  COLUMNS,
  extraColumn,
  isExtra,
  nextSort,
  settingWords,
  shownColumns,
  sortRows,
} from "../../assets/studio/widgets/run_columns.js";
import { curveTraces, lastSteps, verticals } from "../../assets/studio/widgets/run_curves.js";
import { passing, searchFrom } from "../../assets/studio/widgets/run_filter.js";
import { closedFromText, groupingBy, groupsBy, textOfClosed } from "../../assets/studio/widgets/run_groups.js";
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
  const groups = groupsBy(rows, groupingBy("set")).map(({ name, rows: members }) => [name, ids(members)]);
  assert.deepEqual(groups, [
    ["b", [3, 1]],
    ["a", [2]],
    ["", [4]],
  ]);
  assert.deepEqual(groupsBy([row(1), row(2)], groupingBy("set")), [{ rows: [row(1), row(2)] }]);
});

test("names of sets survive a round trip through the URL", () => {
  const names = new Set(["", "a, b", "100 %", "~x", "λ & more"]);
  assert.deepEqual(closedFromText(textOfClosed(names)), names);
  assert.deepEqual(closedFromText(undefined), new Set());
});

test("a URL with a stray % does not break the page", () => {
  assert.deepEqual(closedFromText("100%"), new Set(["100%"]));
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

test("a regular expression is looked for in each field, in upper and lower case", () => {
  const rows = [row(1, { name: "DoorKey vlm s1" }), row(12, { method: "per" }), row(3, { tags: ["old"] })];
  assert.deepEqual(ids(passing(rows, { q: "s[0-1]$", re: "1" })), [1]);
  assert.deepEqual(ids(passing(rows, { q: "^PER|^old$", re: "1" })), [12, 3]);
  assert.deepEqual(ids(passing(rows, { q: "^1", re: "1" })), [1, 12]); // the number of the run
  assert.deepEqual(ids(passing(rows, { q: "", re: "1" })), [1, 12, 3]);
  assert.deepEqual(ids(passing(rows, { q: "s[0-1]$" })), []); // as words
});

test("a regular expression that cannot be read filters nothing and says in words what is wrong", () => {
  for (const q of ["vlm (oracle", "[0-", "*", "a{2,1}"]) {
    const { trouble } = searchFrom({ q, re: "1" });
    assert.ok(trouble.startsWith(`${q} is no regular expression (`), trouble);
    assert.match(trouble, /turn \.\* off/);
    assert.deepEqual(ids(passing([row(1), row(2)], { q, re: "1" })), [1, 2]);
  }
  assert.equal(searchFrom({ q: "vlm (oracle" }).trouble, "");
});

test("runs are grouped by method, environment, tags, state or a setting", () => {
  const rows = [
    row(3, { method: "per", tags: ["b", "a"], extra: { "setting:gamma": 0.99 } }),
    row(2, { tags: ["a", "b"], extra: { "setting:gamma": null } }),
    row(1, { method: "per" }),
  ];
  const found = (key) => groupsBy(rows, groupingBy(key)).map(({ title, rows: members }) => [title, ids(members)]);
  assert.deepEqual(found("method"), [
    ["per", [3, 1]],
    ["vlm", [2]],
  ]);
  assert.deepEqual(found("env"), [["DoorKey-8x8", [3, 2, 1]]]);
  assert.deepEqual(found("tag"), [
    ["a, b", [3, 2]],
    ["No tags", [1]],
  ]);
  assert.deepEqual(found("setting:gamma"), [
    ["gamma 0.99", [3]],
    ["gamma none", [2]],
    ["gamma not known", [1]],
  ]);
  assert.deepEqual(groupsBy(rows, groupingBy("no")), [{ rows }]);
});

test("added columns show and sort by the values that the server sends, numbers as numbers and missing ones last", () => {
  const key = "min:train/td-loss";
  const rows = [row(1, { extra: { [key]: 10 } }), row(2, { extra: { [key]: 9 } }), row(3), row(4, { extra: { [key]: null } })];
  assert.deepEqual(ids(sortRows(rows, key)), [2, 1, 4, 3]);
  assert.deepEqual(ids(sortRows(rows, `-${key}`)), [1, 2, 4, 3]);
  const column = extraColumn(key);
  assert.deepEqual([column.title, column.hint], ["td-loss (min)", "train/td-loss: smallest value"]);
  assert.deepEqual(rows.map(column.of), ["10", "9", "–", "–"]);
  assert.equal(column.of(row(1, { extra: { [key]: 0.0000023 } })), "2.30e-6");
  const mixed = [row(1, { extra: { "setting:a": "none" } }), row(2, { extra: { "setting:a": 5 } })];
  assert.deepEqual(ids(sortRows(mixed, "setting:a")), [2, 1]);
});

test("settings are shown as people write them", () => {
  assert.deepEqual([300_000, 0.0003, true, null, undefined, "doors"].map(settingWords), [
    "300,000",
    "0.0003",
    "yes",
    "none",
    "–",
    "doors",
  ]);
});

test("columns are hidden, added and ordered; what is no column is left out", () => {
  const keys = (choice) => shownColumns({ order: [], hidden: [], extra: [], ...choice }).map((column) => column.key);
  const usual = COLUMNS.map((column) => column.key);
  assert.deepEqual(keys({}), usual);
  assert.deepEqual(
    keys({ hidden: ["seed"] }),
    usual.filter((key) => key !== "seed"),
  );
  assert.deepEqual(keys({ hidden: ["name"] }), usual);
  assert.deepEqual(keys({ extra: ["setting:gamma", "nonsense", "avg:m", "last:"] }), [...usual, "setting:gamma"]);
  assert.deepEqual(keys({ order: ["best", "name"] }).slice(0, 3), ["best", "name", "id"]);
  assert.ok(isExtra("max:a:b") && !isExtra("best"));
});
