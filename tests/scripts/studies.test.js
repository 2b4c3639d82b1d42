// Text and order of the studies page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cellWords, costWords, gridRows } from "../../assets/studio/widgets/study_words.js";

const cell = (values) => ({ task: "", arm: "per", seed: 3, state: "done", share: 1, run_id: 1, error: "", ...values });

test("a run's square says where it stands", () => {
  assert.equal(cellWords(cell({})), "per, seed 3: done");
  assert.equal(cellWords(cell({ task: "8x8", state: "running", share: 0.4 })), "8x8, per, seed 3: running, 40 %");
  assert.match(cellWords(cell({ state: "no branch", share: 0 })), /its trunk never got to the moment/);
});

test("the grid has one row per task and arm, with cells by seed", () => {
  const rows = gridRows([cell({ arm: "trunk" }), cell({}), cell({ seed: 4 }), cell({ task: "8x8" })]);
  assert.deepEqual(
    rows.map((row) => [row.task, row.arm, [...row.cells.keys()]]),
    [
      ["", "trunk", [3]],
      ["", "per", [3, 4]],
      ["8x8", "per", [3]],
    ],
  );
});

test("the cost says how much and from what it is known", () => {
  const cost = { runs: 108, core_hours: 18.2, hours: 9.1, at_most: true, basis: "from earlier runs" };
  assert.equal(
    costWords(cost),
    "108 runs, at most 18 core-hours, 9 h 6 min on this machine, from earlier runs; a model that scores clips takes more",
  );
  assert.equal(costWords({ ...cost, runs: 0 }), "nothing is left to train");
});
