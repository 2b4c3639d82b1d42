import assert from "node:assert/strict";
import { test } from "node:test";
import { ageWords, byKin, chanceWords, nearest, timesWords, whoWords } from "../../assets/studio/widgets/draws_words.js";

test("the slider goes to the nearest recorded step", () => {
  const steps = [100, 200, 400];
  const found = [0, 100, 149, 150, 151, 300, 301, 9e9, Number.POSITIVE_INFINITY].map((step) => nearest(steps, step));
  assert.deepEqual(found, [0, 0, 0, 0, 1, 1, 2, 2, 2]);
  assert.equal(nearest([7], 3), 0);
});

test("a card says how often its clip was drawn, by whom, how old it is and with what error", () => {
  const clip = { drawn: 14, by_labels: 12, by_chance: 2.25, age: 4210, td_error: 0.0312 };
  assert.deepEqual(timesWords(clip), ["14 draws", "6.2×"]);
  assert.deepEqual(timesWords({ drawn: 1, by_chance: 0 }), ["1 draw", ""]);
  assert.equal(whoWords(clip, "PER"), "12 by labels, 2 by the base (PER)");
  assert.equal(whoWords({ ...clip, by_labels: null }, "PER"), "");
  assert.deepEqual(ageWords(clip), ["age 4210", "|δ| 0.031"]);
  assert.deepEqual(ageWords({ age: 123456, td_error: null }), ["age 123k", "|δ| not finite"]);
});

test("chance has its share said, if it is known", () => {
  assert.match(chanceWords({ most_by_chance: 1400 }), /about 1,400 times\.$/);
  assert.match(chanceWords({ most_by_chance: 1 }), /about once\.$/);
  assert.equal(chanceWords({ most_by_chance: null }), "");
});

test("runs to look at beside are grouped, the closest relatives first", () => {
  const other = (run_id, kin) => ({ run_id, kin });
  const groups = byKin([other(5, "sibling"), other(1, "parent"), other(3, ""), other(2, "")]);
  assert.deepEqual(
    groups.map(([title, runs]) => [title.split(":")[0], runs.map((one) => one.run_id)]),
    [
      ["Siblings", [5]],
      ["Parent", [1]],
      ["Other runs", [3, 2]],
    ],
  );
});
