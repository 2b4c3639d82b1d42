import assert from "node:assert/strict";
import { test } from "node:test";
import { agreesWith, Steps } from "../../assets/studio/clips/queue.js";

const clip = (clip_id) => ({ card: { clip_id } });

test("an answer agrees with the label that says the same", () => {
  assert.deepEqual(
    [true, false].map((yes) => [agreesWith({ label: "yes" }, yes), agreesWith({ label: "no" }, yes)]),
    [
      [true, false],
      [false, true],
    ],
  );
});

test("steps are undone newest first, and a skip that is undone comes back into the queue", () => {
  const steps = new Steps();
  steps.add("answer", clip(1), "Ada");
  steps.add("skip", clip(2), "");
  steps.add("skip", clip(3), "");
  assert.deepEqual(steps.passed, [2, 3]);
  assert.equal(steps.take()?.clip.card.clip_id, 3);
  assert.deepEqual(steps.passed, [2]);
  assert.deepEqual([steps.take()?.kind, steps.take()?.name, steps.take()], ["skip", "Ada", undefined]);
});
