import assert from "node:assert/strict";
import { test } from "node:test";
import { batchWords, figures, othersWords } from "../../assets/studio/widgets/shared_words.js";

const client = (run, more = {}) => ({
  run,
  name: "",
  waiting: 1,
  answered: 1200,
  refused: 3,
  given_up: 2,
  clips_per_second: 4.25,
  quiet_s: 1,
  ...more,
});
const look = {
  models: ["embedded", "embedded:robots"],
  waiting: 12,
  max_waiting: 4096,
  refused: 9,
  clips_per_second: 61.5,
  clips_per_batch: 12.34,
  ms_per_batch: 85.2,
  busy: 0.871,
  clients: [client(7), client(8, { name: "lava" }), client(9, { quiet_s: 90 })],
};

test("a run's page tells its own clips from those of the others", () => {
  const told = Object.fromEntries(figures(look, 7));
  assert.equal(told["This run"], "1,200 answered, 1 waiting");
  assert.equal(told.Refused, "3 of this run, 9 in all");
  assert.equal(told["Given up"], "2");
  assert.equal(told["Other clients"], "1: run 8 “lava” 4.25/s");
  assert.equal(told.Batches, "12.3 clips in 85.2 ms");
  assert.equal(told.Waiting, "12 of 4,096");
  assert.equal(told.Busy, "87 %");
});

test("where there is no run yet, all clients are others", () => {
  const told = Object.fromEntries(figures(look, null));
  assert.equal(told.Clients, "2: run 7 4.25/s, run 8 “lava” 4.25/s");
  assert.ok(!("This run" in told));
  assert.equal(batchWords({ clips_per_batch: 0 }), "none in the last minute");
  assert.equal(othersWords([]), "none");
  assert.match(othersWords([1, 2, 3, 4].map((run) => client(run))), /^4: .*, …$/);
  assert.equal(othersWords([client(null, { name: "trial" })]), "1: trial 4.25/s");
});
