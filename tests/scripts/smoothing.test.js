import assert from "node:assert/strict";
import { test } from "node:test";
import { smoothed, smoothingWeight } from "../../assets/studio/smoothing.js";
import { comparisonTraces } from "../../assets/studio/widgets/comparison_traces.js";
import { curveTraces } from "../../assets/studio/widgets/run_curves.js";

const rounded = (values) => values.map((value) => (value === null ? null : Number(value.toFixed(3))));

test("the average is not biased towards its initial value", () => {
  assert.deepEqual(rounded(smoothed([1, 2], 0.5)), [1, 1.667]);
  assert.deepEqual(rounded(smoothed([7, 7, 7], 0.9)), [7, 7, 7]);
});

test("weight 0 leaves the values unchanged", () => {
  assert.deepEqual(smoothed([3, null, -1], 0), [3, null, -1]);
});

test("missing values stay missing and do not affect later values", () => {
  assert.deepEqual(rounded(smoothed([null, 1, null, Number.NaN, Number.POSITIVE_INFINITY, 2], 0.5)), [
    null,
    1,
    null,
    null,
    null,
    1.667,
  ]);
  assert.deepEqual(smoothed([null, null], 0.5), [null, null]);
  assert.deepEqual(smoothed([], 0.5), []);
});

test("the run page and the comparison draw the same smoothed curve", () => {
  const [steps, values, weight] = [[10, 20, 30, 40], [1, 2, null, 0.5], 0.5];
  const group = { key: "return", title: "Episode return" };
  const curve = { name: "rollout/episodic_return", title: "training", noisy: true };
  const onRun = curveTraces(group, curve, { steps, values }, { weight, color: "#123456" }).at(-1);
  const nothing = [null, null, null, null];
  const method = { label: "PER", token: "method-per", n: 1, run_ids: [3], counts: [1, 1, 1, 1], low: nothing, high: nothing };
  const panel = { curves: [{ ...method, steps, point: values, raw: [{ run_id: 3, seed: 0, steps, values }] }] };
  const how = { share: false, raw: true, weight, colorOf: () => "#123456" };
  const [ofRun, ofMethod] = comparisonTraces(panel, how);
  assert.deepEqual(rounded(onRun.y), [1, 1.667, null, 1]);
  assert.deepEqual(ofRun.y, onRun.y);
  assert.deepEqual(ofMethod.y, onRun.y);
});

test("a missing, invalid or out-of-range weight in the URL gives a weight in the slider's range", () => {
  const limits = { otherwise: 0.6, most: 0.95 };
  assert.equal(smoothingWeight("0.3", limits), 0.3);
  assert.equal(smoothingWeight("0", limits), 0);
  assert.equal(smoothingWeight("1", limits), 0.95);
  assert.equal(smoothingWeight("-2", limits), 0);
  for (const text of [undefined, "", " ", "much", "Infinity"]) assert.equal(smoothingWeight(text, limits), 0.6);
});
