import assert from "node:assert/strict";
import { test } from "node:test";
import { rowWords, stepAt, stopOf } from "../../assets/studio/widgets/comparison_clips.js";
import { isWide, sweepTraces, sweepWords, ticksOf } from "../../assets/studio/widgets/comparison_sweep.js";
import { comparisonTraces, jitter } from "../../assets/studio/widgets/comparison_traces.js";
import { marksWords, whyMarks } from "../../assets/studio/widgets/comparison_why.js";

const curve = {
  label: "VLM-RB <b>%{x}",
  token: "method-vlm",
  n: 2,
  run_ids: [1, 2],
  steps: [10, 20, 30],
  point: [0.2, 0.4, 0.6],
  low: [null, 0.3, 0.5],
  high: [null, 0.5, 0.7],
  counts: [2, 2, 1],
  raw: [{ run_id: 1, seed: 0, steps: [10], values: [0.2] }],
};
const how = { share: true, raw: false, weight: 0, colorOf: () => "#0a10ff" };

test("the band goes along its upper edge and back along its lower edge, where it exists", () => {
  const [band] = comparisonTraces({ curves: [curve] }, how);
  assert.deepEqual(band.x, [20, 30, 30, 20]);
  assert.deepEqual(band.y, [0.5, 0.7, 0.5, 0.3]);
  assert.equal(band.fillcolor, "rgba(10,16,255,0.16)");
});

test("a single run has a line and no band", () => {
  const nothing = [null, null, null];
  const traces = comparisonTraces({ curves: [{ ...curve, low: nothing, high: nothing }] }, how);
  assert.equal(traces.length, 1);
  assert.doesNotMatch(traces[0].hovertemplate, /customdata\[1\]/);
});

test("each run has an optional faint line that links to that run, whose steps count from its start", () => {
  const branch = { ...curve, raw: curve.raw.map((run) => ({ ...run, start: 700 })) };
  const [run] = comparisonTraces({ curves: [branch] }, { ...how, raw: true });
  assert.deepEqual(run.meta, { runs: [1], start: 700 });
  assert.equal(run.showlegend, false);
});

test("smoothing does not affect the band", () => {
  const [band, line] = comparisonTraces({ curves: [curve] }, { ...how, weight: 0.5 });
  assert.deepEqual(band.y, [0.5, 0.7, 0.5, 0.3]);
  assert.notDeepEqual(line.y, curve.point);
});

test("a name cannot inject markup or a placeholder", () => {
  const line = comparisonTraces({ curves: [curve] }, how).at(-1);
  assert.ok(line.hovertemplate.startsWith("VLM-RB  b "));
  assert.equal(line.hovertemplate.match(/%\{x/g).length, 1);
});

test("jitter is deterministic and at most 0.025", () => {
  const ids = Array.from({ length: 1000 }, (_, i) => i + 1);
  assert.ok(ids.every((id) => Math.abs(jitter(id)) <= 0.025));
  assert.equal(jitter(7), jitter(7));
  assert.ok(new Set(ids.map(jitter)).size > 500);
});

test("live changes and starts of branches are marked with their run, and only what is there is explained", () => {
  const lambda = { run_id: 3, step: 500, name: "lambda", value: "0.25" };
  const prompt = { run_id: 4, step: 700, name: "prompt", value: "<b>Is it?" };
  const marks = whyMarks({ changes: [lambda, prompt], branches: [{ run_id: 3, step: 900, branches: 60 }] });
  assert.deepEqual(marks.changes, [
    [500, "run 3: λ → 0.25"],
    [700, "run 4: prompt → &lt;b&gt;Is it?"],
  ]);
  assert.deepEqual(marks.starts, [[900, "run 3: 60 branches start"]]);
  assert.match(marksWords(marks), /live changes \(dotted\) and where branches start \(dash-dotted\)/);
  assert.doesNotMatch(marksWords({ ...marks, starts: [] }), /branches/);
  assert.equal(marksWords({ changes: [], starts: [] }), "");
});

test("the slider's stops cover all steps, the last one is the last step, and a step finds its stop", () => {
  assert.equal(stepAt(0, 30_001), 0);
  assert.equal(stepAt(200, 30_001), 30_001);
  assert.equal(stopOf(stepAt(137, 30_001), 30_001), 137);
  assert.equal(stopOf(90_000, 30_000), 200);
  assert.equal(stopOf(0, 0), 200);
  assert.equal(stepAt(3, 100), 2); // a whole number
});

test("a run's clips say where its steps begin and when it is not that far", () => {
  assert.equal(rowWords({ seed: 2, start: 0, ended: null }), "seed 2");
  assert.equal(rowWords({ seed: 2, start: 15_000, ended: 1200 }), "seed 2, branch from step 15,000, only 1,200 steps so far");
});

const sweep = {
  setting: "lambda_max",
  measure: "value",
  horizon: 30_000,
  lines: [
    {
      label: "vlm <b>",
      points: [
        { value: 0.1, score: { n: 1, point: 0.5, low: null, high: null }, runs: [{ run_id: 3, seed: 0, score: 0.5 }] },
        {
          value: 0.5,
          score: { n: 2, point: 0.7, low: 0.6, high: 0.9 },
          runs: [
            { run_id: 4, seed: 0, score: 0.6 },
            { run_id: 5, seed: 1, score: 0.9 },
          ],
        },
      ],
    },
  ],
  references: [{ label: "uniform", score: { n: 2, point: 0.1, low: 0, high: 0.2 }, run_ids: [1, 2] }],
  mixed: [],
  left_out: [],
};

test("a setting against the score: runs as dots, a line with intervals and n, and levels of methods without the setting", () => {
  const tokens = { "vlm <b>": "a", uniform: "b" };
  const [level, dots, line] = sweepTraces({ sweep, tokens }, false, (token) => token);
  assert.deepEqual([level.x, level.y, level.line.color], [[0.1, 0.5], [0.1, 0.1], "b"]);
  assert.deepEqual(dots.x, [0.1, 0.5, 0.5]);
  assert.deepEqual(dots.customdata[2], [5, 1]);
  assert.deepEqual(line.text, ["n=1", "n=2"]);
  assert.deepEqual(line.error_y.arrayminus[0], 0); // one run has no interval
  assert.ok(Math.abs(line.error_y.array[1] - 0.2) < 1e-9 && Math.abs(line.error_y.arrayminus[1] - 0.1) < 1e-9);
  assert.ok(!line.name.includes("<"));
});

test("the axis of a setting is logarithmic if its values are positive and far apart", () => {
  const of = (...values) => isWide({ lines: [{ points: values.map((value) => ({ value })) }] });
  assert.deepEqual([of(1e-4, 1e-2), of(0.25, 0.5), of(0, 100)], [true, false, false]);
});

test("what a point mixes and which runs are missing is said", () => {
  assert.match(sweepWords(sweep), /at step 30,000.*n is the number of runs/);
  const words = sweepWords({ ...sweep, mixed: ["gamma"], left_out: [7, 8] });
  assert.match(words, /same lambda_max also differ in gamma\. Without a number for lambda_max, and left out: runs 7, 8\./);
});

test("the axis of a setting has its ticks at the values, unless there are many", () => {
  const of = (...values) => ticksOf({ lines: [{ points: values.map((value) => ({ value })) }] });
  assert.deepEqual(of(0.5, 0.05, 0.5).ticktext, ["0.05", "0.5"]);
  assert.deepEqual(of(1e-4, 50_000).ticktext, ["0.0001", "50k"]);
  assert.deepEqual(of(...Array(20).keys()), {});
});
