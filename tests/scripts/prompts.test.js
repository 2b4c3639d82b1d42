import assert from "node:assert/strict";
import { test } from "node:test";
import {
  against,
  atThreshold,
  auc,
  calibrationError,
  histogram,
  ofQuestion,
  shows,
} from "../../assets/studio/widgets/prompt_numbers.js";

const clip = (clip_id, probability, values = {}) => ({
  clip_id,
  probability,
  truths: [],
  answers: [],
  human: null,
  before: null,
  before_probability: null,
  ...values,
});
const progress = shows("progress");
const ids = (clips) => clips.map((one) => one.clip_id);

test("a probability equal to the threshold is a yes", () => {
  const { saysYes } = atThreshold([], 0.5, progress);
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
  const { flipped, compared } = atThreshold(clips, 0.5, progress);
  assert.deepEqual(ids(flipped), [2, 5, 1]);
  assert.deepEqual(ids(compared), [1, 2, 3, 5]);
});

test("a clip without a usable answer is neither right nor wrong", () => {
  const clips = [clip(1, null, { truths: ["progress"], before: true }), clip(2, 0.9, { truths: ["progress"] }), clip(3, 0.9)];
  const { known, unknown, wrong, flipped } = atThreshold(clips, 0.5, progress);
  assert.deepEqual([ids(known), ids(unknown), ids(wrong), ids(flipped)], [[2, 3], [1], [3], []]);
});

test("precision and recall follow from the four cells, and are NaN without clips", () => {
  const clips = [clip(1, 0.9, { truths: ["progress"] }), clip(2, 0.9), clip(3, 0.1, { truths: ["progress"] }), clip(4, 0.1)];
  const { saysYes } = atThreshold(clips, 0.5, progress);
  assert.deepEqual(against(clips, saysYes, progress), { tp: 1, fp: 1, fn: 1, tn: 1, precision: 0.5, recall: 0.5 });
  assert.ok(Number.isNaN(against([], saysYes, progress).precision));
});

test("every probability falls into one bin of the histogram, 1 into the last", () => {
  assert.deepEqual(histogram([0, 0.24, 0.25, 0.99, 1], 4), [2, 1, 0, 2]);
  assert.deepEqual(histogram([], 3), [0, 0, 0]);
});

test("the area under the curve is the share of pairs in the right order, ties half, and NaN without both kinds", () => {
  const yes = { truths: ["opened door"] };
  const clips = [clip(1, 0.9, yes), clip(2, 0.5, yes), clip(3, 0.5), clip(4, 0.2), clip(5, 0.7)];
  assert.equal(auc(clips, shows("opened door")), (3 + 1.5) / 6);
  assert.ok(Number.isNaN(auc(clips, progress)) && Number.isNaN(auc([], progress)));
});

test("the calibration error is the gap between probability and frequency", () => {
  const clips = [clip(1, 1, { truths: ["progress"] }), clip(2, 0), clip(3, 0.25), clip(4, 0.25, { truths: ["progress"] })];
  assert.equal(calibrationError(clips, progress), 0.125);
});

test("a question of a set is judged by its own answers", () => {
  const clips = ofQuestion([clip(1, 0.9, { answers: [0.1, 0.9] }), clip(2, 0.8, { answers: [0.8] })], 1);
  assert.deepEqual(
    clips.map((one) => one.probability),
    [0.9, null],
  );
});
