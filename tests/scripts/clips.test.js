import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { worthShowing } from "../../assets/studio/clips/facts.js";
import { mediaUrl } from "../../assets/studio/clips/film.js";
import { stepOf } from "../../assets/studio/clips/player.js";
import { SPEEDS, Transport, transportKey } from "../../assets/studio/clips/transport.js";

/** The browser's clock, advanced manually: `pass(seconds)` runs the callbacks of that time. */
const clock = { now: 0, waiting: [] };
globalThis.requestAnimationFrame = (action) => clock.waiting.push(action);

function pass(seconds) {
  for (const end = clock.now + 1000 * seconds; clock.now < end; ) {
    clock.now += 1000 / 60;
    for (const action of clock.waiting.splice(0)) action(clock.now);
  }
}

beforeEach(() => {
  clock.waiting = [];
});

function playing(frames) {
  const shown = [];
  const transport = new Transport((frame) => shown.push(frame));
  transport.load(frames, true);
  return { transport, shown };
}

test("a clip plays at eight frames a second, times its speed", () => {
  const { transport, shown } = playing(1000);
  pass(10);
  assert.ok(Math.abs(shown.length - 80) <= 2, `${shown.length} frames`);
  transport.setSpeed(2);
  const before = shown.length;
  pass(10);
  assert.ok(Math.abs(shown.length - before - 160) <= 2, `${shown.length - before} frames`);
});

test("the next clip plays at the same speed even if the previous one was still playing", () => {
  const { transport, shown } = playing(1000);
  pass(1);
  transport.load(1000, true);
  const before = shown.length;
  pass(10);
  assert.ok(Math.abs(shown.length - before - 80) <= 2, `${shown.length - before} frames in 10 s`);
});

test("a clip restarts at its end if it loops, and stops there otherwise", () => {
  const { transport, shown } = playing(3);
  pass(1);
  assert.deepEqual(shown.slice(0, 5), [0, 1, 2, 0, 1]);
  transport.toggleLoop();
  pass(2);
  assert.deepEqual([transport.frame, transport.playing], [2, false]);
  transport.toggle();
  assert.equal(transport.frame, 0);
});

test("seeking beyond the ends shows the first or the last frame", () => {
  const { transport } = playing(5);
  transport.step(-3);
  assert.deepEqual([transport.frame, transport.playing], [0, false]);
  transport.step(99);
  assert.equal(transport.frame, 4);
});

test("the speed stays between the slowest and the fastest", () => {
  const transport = new Transport(() => {});
  for (let i = 0; i < 10; i += 1) transport.shift(-1);
  assert.equal(transport.speed, SPEEDS[0]);
  for (let i = 0; i < 10; i += 1) transport.shift(1);
  assert.equal(transport.speed, SPEEDS.at(-1));
});

test("keys that are not the player's are left to the page", () => {
  const transport = new Transport(() => {});
  transport.load(5, false);
  assert.equal(transportKey(transport, "End"), true);
  assert.equal(transport.frame, 4);
  assert.equal(transportKey(transport, "x"), false);
  assert.equal(transportKey(transport, "toString"), false);
});

test("all rewards are shown if there are few, otherwise only changes", () => {
  const frames = ({ rewarded }) => rewarded.map(({ frame }) => frame);
  assert.deepEqual(frames(worthShowing([0, 0, 1, 0])), [2]);
  const dense = worthShowing([...new Array(10).fill(-1), ...new Array(5).fill(-2)]);
  assert.equal(dense.dense, true);
  assert.deepEqual(frames(dense), [0, 10]);
  assert.deepEqual(frames(worthShowing([0, 0])), []);
});

test("frames of parallel environments are several steps apart", () => {
  const card = { start_step: 100, end_step: 128, length: 8 };
  assert.deepEqual([stepOf(card, 0), stepOf(card, 1), stepOf(card, 7)], [100, 104, 128]);
  assert.equal(stepOf({ start_step: 5, end_step: 5, length: 1 }, 0), 5);
});

test("the URL of a picture contains only its clip and edition", () => {
  assert.equal(mediaUrl({ clip_id: 7, edition: "a/b?c" }, "sheet"), "./studio/clip/7/sheet?e=a%2Fb%3Fc");
});
