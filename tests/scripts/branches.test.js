import assert from "node:assert/strict";
import { test } from "node:test";
import { alteredWords, byStart, momentsOf, pointWords, whereWords } from "../../assets/studio/widgets/branch_words.js";
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

test("successes and the start of a branch are marked in the curves", () => {
  const nothing = { origin: null, first_success: null, fifth_success: null };
  assert.deepEqual(momentsOf(nothing), { successes: [], start: [] });
  assert.deepEqual(momentsOf({ ...nothing, first_success: 70 }).successes, [[70, "first success"]]);
  assert.deepEqual(momentsOf({ ...nothing, origin: { step: 50, parent_id: 3 } }).start, [[50, "branched off run 3"]]);
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
