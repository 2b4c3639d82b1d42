import assert from "node:assert/strict";
import { test } from "node:test";
import {
  alteredWords,
  byStart,
  methodCounts,
  momentsOf,
  pointWords,
  treeOf,
  whereWords,
} from "../../assets/studio/widgets/branch_words.js";
import { byGroup, ratioWords } from "../../assets/studio/widgets/setting_fields.js";

test("a moment is named from the parent's point of view, with its step", () => {
  assert.equal(whereWords("fifth-success", 61240), "its fifth success (step 61,240)");
  assert.equal(whereWords("first-success", 900), "its first success (step 900)");
  assert.equal(whereWords("step", 50000), "step 50,000");
});

test("a checkpoint says whether it stays", () => {
  assert.equal(pointWords({ moment: "first-success", kept: true }), "first success");
  assert.equal(pointWords({ moment: "step", kept: true }), "kept at intervals");
  assert.equal(pointWords({ moment: "step", kept: false }), "for resuming");
});

test("what a branch does otherwise is said in a few words", () => {
  const setting = (name, value, before) => ({ name, value, before });
  assert.equal(alteredWords([]), "with the same settings");
  assert.equal(alteredWords([setting("", "per", "uniform")]), "with per instead of uniform");
  assert.equal(alteredWords([setting("lambda_max", "none", "0.5")]), "with lambda_max none instead of 0.5");
  const many = ["a", "b", "c", "d", "e"].map((name) => setting(name, "2", "1"));
  assert.equal(alteredWords(many), "with a 2 instead of 1, b 2 instead of 1, c 2 instead of 1 and 2 more settings changed");
  assert.match(alteredWords([setting("prompt", "x".repeat(300), "games")]), /^with prompt x{59}… instead of games$/);
});

test("branches are grouped by the step that they start at", () => {
  const row = (run_id, parent_step, parent_moment) => ({ run_id, parent_step, parent_moment });
  const groups = byStart([row(4, 100, "step"), row(3, 900, "step"), row(2, 100, "first-success")]);
  assert.deepEqual(
    groups.map(({ step, moment, rows }) => [step, moment, rows.map((one) => one.run_id)]),
    [
      [900, "step", [3]],
      [100, "first-success", [4, 2]],
    ],
  );
});

const kin = (run_id, parent_id = null, parent_step = 0) => ({
  run_id,
  parent_id,
  parent_step,
  parent_moment: "step",
  method: "per",
});
const outline = ({ run_id, starts }) =>
  starts.length ? [run_id, ...starts.map(({ step, shown, folded }) => [step, shown.map(outline), folded.length])] : run_id;

test("a run's relatives form a tree from its oldest ancestor, grouped by the step that branches start at", () => {
  const rows = [kin(1), kin(2, 1, 500), kin(3, 1, 500), kin(4, 2, 800), kin(5, 4, 900), kin(6, 4, 950)];
  assert.deepEqual(outline(treeOf(4, rows)), [1, [500, [[2, [800, [[4, [950, [6], 0], [900, [5], 0]]], 0]], 3], 0]]);
  assert.equal(outline(treeOf(1, [kin(1)])), 1);
});

test("of many branches from one step only those on the way to the run are in sight, and the rest is a fold away", () => {
  const branches = Array.from({ length: 60 }, (_, i) => kin(10 + i, 1, 500));
  assert.deepEqual(outline(treeOf(30, [kin(1), ...branches, kin(99, 30, 800)])), [1, [500, [[30, [800, [99], 0]]], 59]]);
  assert.deepEqual(outline(treeOf(1, [kin(1), ...branches])), [1, [500, [], 60]]);
  assert.deepEqual(outline(treeOf(1, [kin(1), ...branches.slice(0, 6)])), [1, [500, [10, 11, 12, 13, 14, 15], 0]]);
});

test("a deleted parent stays in the tree by its number, and runs that name each other as parents end it", () => {
  const orphan = treeOf(2, [kin(2, 1, 500), kin(3, 1, 500)]);
  assert.equal(orphan.row, null);
  assert.deepEqual(outline(orphan), [1, [500, [2, 3], 0]]);
  assert.deepEqual(outline(treeOf(1, [kin(1, 2, 5), kin(2, 1, 5)])), [2, [5, [1], 0]]);
});

test("folded branches are counted by method, the most frequent first", () => {
  const methods = ["per", "uniform", "uniform"].map((method) => ({ method }));
  assert.equal(methodCounts(methods), "uniform 2, per 1");
});

test("successes, starts of branches and the start of a branch are marked in the curves", () => {
  const nothing = { origin: null, first_success: null, fifth_success: null, relatives: [{ run_id: 1, parent_id: null }] };
  assert.deepEqual(momentsOf(1, nothing), { successes: [], start: [], branches: [] });
  assert.deepEqual(momentsOf(1, { ...nothing, first_success: 70 }).successes, [[70, "first success"]]);
  assert.deepEqual(momentsOf(1, { ...nothing, origin: { step: 50, parent_id: 3 } }).start, [[50, "branched off run 3"]]);
  const starting = [9, 5, 9].map((parent_step) => ({ parent_id: 1, parent_step, parent_moment: "step" }));
  const elsewhere = { parent_id: 2, parent_step: 7, parent_moment: "step" }; // a branch of a branch
  assert.deepEqual(momentsOf(1, { ...nothing, relatives: [...starting, elsewhere] }).branches, [
    [9, "2 branches start"],
    [5, "a branch starts"],
  ]);
});

test("the replay ratio is said where both numbers make sense", () => {
  assert.match(ratioWords("128", "16"), /^replay ratio 8: /);
  assert.match(ratioWords("128", 3), /^replay ratio 42[.]7: /);
  assert.equal(ratioWords("128", "0"), "");
  assert.equal(ratioWords("many", "4"), "");
});

test("settings are grouped under titles in their own order", () => {
  const groups = byGroup([
    { name: "gamma", group: "agent" },
    { name: "credit", group: "replay" },
    { name: "tau", group: "agent" },
  ]);
  assert.deepEqual(
    groups.map(([title, settings]) => [title, settings.map(({ name }) => name)]),
    [
      ["Agent", ["gamma", "tau"]],
      ["Replay", ["credit"]],
    ],
  );
});
