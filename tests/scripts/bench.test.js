import assert from "node:assert/strict";
import { test } from "node:test";
import {
  apart,
  bestOf,
  differenceOf,
  differing,
  entriesOf,
  figuresOf,
  labelOf,
  reliabilityOf,
  textOf,
  withQuestions,
} from "../../assets/studio/widgets/bench_numbers.js";

const clip = (clip_id, probabilities, truths = []) => ({ clip_id, probabilities, truths });
const contestant = (at, values = {}) => ({ at, threshold: 0.5, truth: "progress", ...values });
const ids = (clips) => clips.map((each) => each.clip_id);

test("contestants survive the way into the URL and back, with truths that contain its separators", () => {
  const entries = [
    { trial: 12, threshold: 0.5, truth: "opened: a,b" },
    { trial: 12, threshold: 0, truth: null },
    { trial: 13, threshold: null, truth: null },
    { trial: 14, threshold: null, truth: "progress" },
    { trial: 15, question: 2, threshold: null, truth: null },
    { trial: 15, question: 16, threshold: 0.4, truth: "progress" },
  ];
  assert.deepEqual(entriesOf(textOf(entries)), entries);
});

test("what is no contestant in the URL is passed over", () => {
  const [only, ...rest] = entriesOf("x,-1,0,,1.0,1.,1.x,.2,1.100,7:2:%E0%A4%A,");
  assert.deepEqual([only, rest], [{ trial: 7, threshold: null, truth: null }, []]);
});

test("figures follow the contestant's threshold and truth, and unknown answers are counted apart", () => {
  const clips = [clip(1, [0.9], ["progress"]), clip(2, [0.6]), clip(3, [0.2], ["progress"]), clip(4, [null], ["progress"])];
  const low = figuresOf(clips, contestant(0));
  assert.deepEqual([low.precision, low.recall, low.yes, low.unknown], [0.5, 0.5, 2 / 3, 1]);
  assert.equal(figuresOf(clips, contestant(0, { threshold: 0.7 })).precision, 1);
  assert.ok(Number.isNaN(figuresOf(clips, contestant(0, { truth: "opened door" })).auc));
});

test("a question of a set competes by its own answers", () => {
  const set = (id, answers, truths = []) => ({ ...clip(id, [0, Math.max(...answers)], truths), answers: [[], answers] });
  const clips = [set(1, [0.9, 0.1], ["progress"]), set(2, [0.2, 0.8]), set(3, [0.1, null])];
  const [whole, first, second] = [0, 1, 2].map((question) => contestant(1, { question }));
  assert.deepEqual(
    [whole, first, second].map((each) => clips.map((one) => labelOf(one, each))),
    [
      [true, true, false],
      [true, false, false],
      [false, true, null],
    ],
  );
  assert.deepEqual([figuresOf(clips, first).precision, figuresOf(clips, second).precision], [1, 0]);
  assert.equal(figuresOf(clips, second).unknown, 1);
  assert.deepEqual(ids(differing(clips, [first, second], null)), [1, 2]);
  assert.equal(labelOf({ ...clip(4, [null]), answers: [[]] }, contestant(0, { question: 1 })), null); // not answered yet
});

test("the questions of a set join it at its threshold, those that are there stay as they are, and no more come than fit", () => {
  const entries = entriesOf("7:0.4:progress,8,7.2:0.9");
  const joined = withQuestions(entries, 0, 3, 12);
  assert.deepEqual([textOf(joined.entries), joined.left], ["7:0.4:progress,7.1:0.4,7.3:0.4,8,7.2:0.9", 0]);
  const full = withQuestions(entries, 0, 3, 4);
  assert.deepEqual([textOf(full.entries), full.left], ["7:0.4:progress,7.1:0.4,8,7.2:0.9", 1]);
  assert.equal(textOf(withQuestions(entries, 0, 3, 3).entries), textOf(entries));
});

test("the reliability curve has the mean P(yes) and the share of true clips of each tenth", () => {
  const clips = [clip(1, [0.91], ["progress"]), clip(2, [0.99]), clip(3, [1], ["progress"]), clip(4, [0.05])];
  const bins = reliabilityOf(clips, contestant(0));
  assert.deepEqual(
    bins.map((bin) => [bin.clips, +bin.predicted.toFixed(3), +bin.observed.toFixed(3)]),
    [
      [1, 0.05, 0],
      [3, 0.967, 0.667],
    ],
  );
});

test("two contestants differ where both have an answer and the labels are not the same", () => {
  const clips = [clip(1, [0.9, 0.1]), clip(2, [0.9, 0.8]), clip(3, [null, 0.1]), clip(4, [0.2, 0.5])];
  assert.deepEqual(ids(apart(clips, contestant(0), contestant(1))), [1, 4]);
  assert.equal(differenceOf(clips, contestant(0), contestant(1)), 2 / 3);
  assert.equal(differenceOf(clips, contestant(0), contestant(0, { threshold: 0.95 })), 2 / 3);
  assert.ok(Number.isNaN(differenceOf([], contestant(0), contestant(1))));
});

test("the clips where contestants differ come with the widest gap first, of any two or of a pair", () => {
  const all = [contestant(0), contestant(1), contestant(2)];
  const clips = [clip(1, [0.4, 0.6, 0.6]), clip(2, [0.9, 0.9, 0]), clip(3, [0.9, 0.9, 0.9]), clip(4, [0.9, 0, null])];
  assert.deepEqual(ids(differing(clips, all, null)), [2, 4, 1]);
  assert.deepEqual(ids(differing(clips, all, [0, 1])), [4, 1]);
});

test("the best figure is marked only where there are two to compare", () => {
  assert.equal(bestOf([0.5, NaN, 0.9]), 0.9);
  assert.equal(bestOf([0.5, 0.9], { lower: true }), 0.5);
  assert.equal(bestOf([0.5, NaN]), null);
});
