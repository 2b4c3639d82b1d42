import assert from "node:assert/strict";
import { test } from "node:test";
import { contrast, pairs, restricted } from "../../assets/studio/widgets/comparison_words.js";

test("a restricted mean comes with its interval and the censored runs", () => {
  const found = restricted({ point: 61234, low: 52000, high: 70000, censored: 2, n: 8 });
  assert.equal(found, "61.2k\u00a0[52k,\u00a070k] (2/8\u00a0censored)");
  assert.equal(restricted({ point: 61234, low: null, high: null, censored: 0, n: 1 }), "61.2k (0/1\u00a0censored)");
  assert.equal(restricted(null), "–");
});

test("a contrast has a sign", () => {
  const found = { difference: { point: -27000, low: -41000, high: 9000 } };
  assert.equal(contrast(found), "−27k [−41k, +9000] steps to 50 %");
  assert.equal(contrast({ difference: { point: 500, low: null, high: null } }), "+500 steps to 50 %");
  assert.equal(contrast(null), "");
});

test("pairs are counted, and the runs that they branched from", () => {
  assert.equal(pairs({ pairs: 6, parents: 1 }), "paired, 6 pairs from 1 run");
  assert.equal(pairs({ pairs: 0, parents: 0 }), "");
});
