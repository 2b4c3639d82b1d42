import assert from "node:assert/strict";
import { test } from "node:test";
import { chance, eventWords } from "../../assets/studio/clips/card.js";
import { tiny } from "../../assets/studio/clips/facts.js";
import { ago, count, duration, fileSize, number, percent, short } from "../../assets/studio/studio.js";
import { interval, reaching } from "../../assets/studio/widgets/comparison_words.js";
import { settingHint } from "../../assets/studio/widgets/launch_form.js";
import { progressWords, shortEnv } from "../../assets/studio/widgets/run_columns.js";
import { changeLabel } from "../../assets/studio/widgets/run_curves.js";
import { groupWords } from "../../assets/studio/widgets/run_groups.js";

test("a missing value is shown as a dash, never as NaN", () => {
  for (const words of [count, short, number, percent, duration, ago, chance, tiny])
    for (const missing of [null, undefined, Number.NaN]) assert.equal(words(missing), "–", words.name);
});

test("counts have separators, or are abbreviated in narrow places", () => {
  assert.equal(count(1234567), "1,234,567");
  assert.equal(short(9999), "9999");
  assert.equal(short(123456), "123k");
  assert.equal(short(999_999), "1M");
  assert.equal(short(1500000), "1.5M");
  assert.equal(short(-20000), "-20k");
});

test("numbers and percentages are rounded to a few digits", () => {
  assert.equal(number(0.4567), "0.457");
  assert.equal(number(12.5, 2), "13");
  assert.equal(number(0), "0");
  assert.equal(percent(0.456), "46 %");
  assert.equal(percent(0.4567, 1), "45.7 %");
  assert.equal(chance(0.5), "0.50");
  assert.equal(tiny(0.00042), "0.042 %");
  assert.equal(tiny(0.5), "50.0 %");
  assert.equal(tiny(0), "0.0 %");
});

test("durations show their two largest units", () => {
  assert.equal(duration(-3), "0 s");
  assert.equal(duration(45.4), "45 s");
  assert.equal(duration(720), "12 min");
  assert.equal(duration(11100), "3 h 5 min");
  assert.equal(duration(7200), "2 h");
  assert.equal(duration(52 * 3600), "2 d 4 h");
  assert.equal(duration(48 * 3600), "2 d");
});

test("durations never show 60 of a unit", () => {
  assert.equal(duration(3599), "1 h");
  assert.equal(duration(7199), "2 h");
  assert.equal(duration(48 * 3600 - 1), "2 d");
});

test("times are relative to now", () => {
  assert.equal(ago(Date.now() / 1000 - 300), "5 min ago");
});

test("file sizes use decimal units", () => {
  assert.equal(fileSize(0), "0 bytes");
  assert.equal(fileSize(999), "999 bytes");
  assert.equal(fileSize(1500000), "1.5 MB");
  assert.equal(fileSize(2.25e9), "2.3 GB");
});

test("an estimate has its interval, and its n if runs are missing", () => {
  assert.equal(interval(null, true, 5), "–");
  assert.equal(interval({ point: 0.46, low: 0.4, high: 0.52, n: 5 }, true, 5), "46 [40, 52] %");
  assert.equal(interval({ point: 0.46, low: null, high: null, n: 1 }, true, 5), "46 % (n=1)");
  assert.equal(interval({ point: 1.2345, low: 1, high: 2, n: 5 }, false, 5), "1.23 [1, 2]");
  assert.equal(interval({ point: 0.00012, low: null, high: null, n: 5 }, false, 5), "1.2e-4");
});

test("half percents are rounded to even", () => {
  const of = (point) => interval({ point, low: null, high: null, n: 1 }, true, 1);
  assert.equal(of(0.125), "12 %");
  assert.equal(of(0.375), "38 %");
  assert.equal(of(0.005), "0 %");
  assert.equal(of(0), "0 %");
});

test("steps to a threshold say how many runs reached it", () => {
  assert.equal(reaching({ median: null, low: null, high: null, reached: 1, n: 5 }), "– (1/5)");
  assert.equal(reaching({ median: 20000, low: 10000, high: null, reached: 4, n: 5 }), "20k [10k, …] (4/5)");
  assert.equal(reaching({ median: 20000, low: null, high: null, reached: 5, n: 5 }), "20k (5/5)");
});

test("a setting's hint contains its description, range and the defaults of agents and methods", () => {
  const setting = { description: "Discount", kind: "number", default: 0.99, by_agent: { sac: 0.95, dqn: 0.99 } };
  assert.equal(settingHint({ ...setting, range: "0 to 1" }), "Discount · 0 to 1; default 0.99, sac 0.95");
  assert.equal(settingHint({ ...setting, range: "> 0", by_agent: {} }), "Discount · > 0; default 0.99");
  assert.equal(settingHint({ ...setting, range: "", kind: "flag", default: false, by_agent: {} }), "Discount · default no");
  assert.equal(
    settingHint({ ...setting, range: "", by_agent: {}, by_method: { per: true } }),
    "Discount · default 0.99, per yes",
  );
});

test("progress includes the time left if it is known", () => {
  assert.equal(progressWords({ step: 50, total_steps: 200, eta_s: 90 }), "25 % · 2 min left");
  assert.equal(progressWords({ step: 0, total_steps: 0, eta_s: null }), "0 %");
  const doing = "evaluating: 3 of 20 episodes done";
  assert.equal(progressWords({ step: 200, total_steps: 200, eta_s: 0, doing }), `100 % · ${doing}`);
});

test("MiniGrid names are shortened, those of other suites are not", () => {
  assert.equal(shortEnv("MiniGrid-DoorKey-8x8-v0"), "DoorKey-8x8");
  assert.equal(shortEnv("cube-single-play-singletask-v0"), "cube-single-play-singletask");
  assert.equal(shortEnv("CartPole-v1"), "CartPole-v1");
});

test("user text in a chart is truncated and escaped", () => {
  assert.equal(changeLabel({ name: "prompt", value: "<b>a & b</b>" }), "prompt → &lt;b&gt;a &amp; b&lt;/b&gt;");
  assert.equal(changeLabel({ name: "lambda", value: "0.5" }), "λ → 0.5");
  assert.equal(changeLabel({ name: "prompt", value: "x".repeat(80) }).length, "prompt → ".length + 60);
});

test("a group summarises the states of its runs", () => {
  const rows = [{ state: "running" }, { state: "created" }, { state: "running" }];
  assert.equal(groupWords(rows), "3 runs: 2 running, 1 not started");
  assert.equal(groupWords([{ state: "failed" }]), "1 run: 1 failed");
});

test("events of a clip are joined in one line", () => {
  assert.equal(eventWords(["picked up the key", "opened the door"]), "picked up the key · opened the door");
  assert.equal(eventWords([]), "no events");
});
