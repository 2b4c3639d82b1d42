import assert from "node:assert/strict";
import { test } from "node:test";
import { against, atThreshold, histogram } from "../../assets/studio/widgets/prompt_numbers.js";

const clip = (clip_id, probability, values = {}) => ({
  clip_id,
  probability,
  progress: false,
  human: null,
  before: null,
  before_probability: null,
  ...values,
});
const ids = (clips) => clips.map((one) => one.clip_id);

test("a probability equal to the threshold is a yes", () => {
  const { saysYes } = atThreshold([], 0.5);
  assert.equal(saysYes(clip(1, 0.5)), true);
  assert.equal(saysYes(clip(1, 0.49)), false);
});

test("only clips with a label can flip, and the largest changes come first", () => {
  const clips = [
    clip(1, 0.6, { before: false, before_probability: 0.4 }),
    clip(2, 0.9, { before: false, before_probability: 0.1 }),
    clip(3, 0.9, { before: true, before_probability: 0.8 }),
    clip(4, 0.9),
    clip(5, 0.7, { before: false }),
  ];
  const { flipped, compared } = atThreshold(clips, 0.5);
  assert.deepEqual(ids(flipped), [2, 5, 1]);
  assert.deepEqual(ids(compared), [1, 2, 3, 5]);
});

test("a clip without a usable answer is neither right nor wrong", () => {
  const clips = [clip(1, null, { progress: true, before: true }), clip(2, 0.9, { progress: true }), clip(3, 0.9)];
  const { known, unknown, wrong, flipped } = atThreshold(clips, 0.5);
  assert.deepEqual([ids(known), ids(unknown), ids(wrong), ids(flipped)], [[2, 3], [1], [3], []]);
});

test("precision and recall follow from the four cells, and are NaN without clips", () => {
  const clips = [clip(1, 0.9, { progress: true }), clip(2, 0.9), clip(3, 0.1, { progress: true }), clip(4, 0.1)];
  const { saysYes } = atThreshold(clips, 0.5);
  const truth = (one) => one.progress;
  assert.deepEqual(against(clips, saysYes, truth), { tp: 1, fp: 1, fn: 1, tn: 1, precision: 0.5, recall: 0.5 });
  assert.ok(Number.isNaN(against([], saysYes, truth).precision));
});

test("every probability falls into one bin of the histogram, 1 into the last", () => {
  assert.deepEqual(histogram([0, 0.24, 0.25, 0.99, 1], 4), [2, 1, 0, 2]);
  assert.deepEqual(histogram([], 3), [0, 0, 0]);
});
