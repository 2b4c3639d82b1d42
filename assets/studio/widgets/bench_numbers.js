// The prompt bench's figures: what each contestant's answers are worth, and where contestants differ.
import { against, auc, calibrationError, reliability, shows } from "./prompt_numbers.js";

/**
 * @typedef {{ trial: number, question?: number, threshold: number | null, truth: string | null }} Entry a contestant, as in the
 *   URL; `question`: from 1, if one of a set competes alone
 * @typedef {{ at: number, question?: number, threshold: number, truth: string }} Contestant `at`: place of its trial's answers in
 *   a clip's `probabilities` and `answers`
 */

/**
 * Contestants as in the URL: "12:0.5:progress,13:0.4,14.2", where the last is the second question of trial 14.
 *
 * @param {string} text
 * @returns {Entry[]}
 */
export function entriesOf(text) {
  return text
    .split(",")
    .map((part) => part.split(":"))
    .filter(([which]) => /^[1-9]\d*([.][1-9]\d?)?$/.test(which))
    .map(([which, threshold = "", ...truth]) => ({
      trial: Number(which.split(".")[0]),
      ...(which.includes(".") ? { question: Number(which.split(".")[1]) } : {}),
      threshold: threshold !== "" && Number(threshold) >= 0 && Number(threshold) <= 1 ? Number(threshold) : null,
      truth: decoded(truth.join(":")) || null,
    }));
}

/** The other way round. @param {Entry[]} entries */
export function textOf(entries) {
  /** @param {Entry} entry */
  const text = ({ trial, question, threshold, truth }) =>
    `${trial}${question ? `.${question}` : ""}:${threshold ?? ""}:${encodeURIComponent(truth ?? "")}`;
  return entries.map((entry) => text(entry).replace(/:+$/, "")).join(",");
}

/**
 * Contestants with the questions of a set after it, each at its threshold: those that are not there yet, and as many as fit.
 *
 * @param {Entry[]} entries
 * @param {number} i which of them is the whole set
 * @param {number} questions how many it has
 * @param {number} most contestants
 * @returns {{ entries: Entry[], left: number }} `left`: how many questions did not fit
 */
export function withQuestions(entries, i, questions, most) {
  const { trial, threshold } = entries[i];
  const there = new Set(entries.filter((each) => each.trial === trial).map((each) => each.question));
  const missing = Array.from({ length: questions }, (_, at) => at + 1).filter((question) => !there.has(question));
  const added = missing.slice(0, most - entries.length).map((question) => ({ trial, question, threshold, truth: null }));
  return { entries: [...entries.slice(0, i + 1), ...added, ...entries.slice(i + 1)], left: missing.length - added.length };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** A contestant's P(yes) of a clip, null for unknown. */
export function probabilityOf(clip, { at, question = 0 }) {
  return question ? (clip.answers[at][question - 1] ?? null) : clip.probabilities[at];
}

/** A contestant's label of a clip: true, false, or null for unknown. */
export function labelOf(clip, contestant) {
  const probability = probabilityOf(clip, contestant);
  return probability === null ? null : probability >= contestant.threshold;
}

/** What a contestant's answers are worth; NaN where a figure is undefined. */
export function figuresOf(clips, contestant) {
  const truth = shows(contestant.truth);
  const known = answersOf(clips, contestant);
  const saysYes = (clip) => clip.probability >= contestant.threshold;
  const { precision, recall } = against(known, saysYes, truth);
  return {
    auc: auc(known, truth),
    precision,
    recall,
    calibration: calibrationError(known, truth),
    yes: known.filter(saysYes).length / known.length,
    unknown: clips.length - known.length,
  };
}

/** `reliability` of a contestant's answers. */
export function reliabilityOf(clips, contestant) {
  return reliability(answersOf(clips, contestant), shows(contestant.truth));
}

function answersOf(clips, contestant) {
  return clips
    .map((clip) => ({ truths: clip.truths, probability: probabilityOf(clip, contestant) }))
    .filter(({ probability }) => probability !== null);
}

/** The clips that two contestants label differently; an unknown answer differs from none. */
export function apart(clips, one, other) {
  return clips.filter((clip) => {
    const [a, b] = [labelOf(clip, one), labelOf(clip, other)];
    return a !== null && b !== null && a !== b;
  });
}

/** The share of clips with an answer of both that two contestants label differently; NaN without any. */
export function differenceOf(clips, one, other) {
  const both = clips.filter((clip) => labelOf(clip, one) !== null && labelOf(clip, other) !== null);
  return apart(both, one, other).length / both.length;
}

/**
 * The clips that any two contestants label differently, or these two, farthest apart first.
 *
 * @param {any[]} clips
 * @param {Contestant[]} contestants
 * @param {[number, number] | null} pair places in `contestants`
 */
export function differing(clips, contestants, pair) {
  const chosen = pair ? pair.map((i) => contestants[i]) : contestants;
  const gap = (clip) => {
    const known = chosen.map((each) => probabilityOf(clip, each)).filter((value) => value !== null);
    return Math.max(...known) - Math.min(...known);
  };
  return clips
    .filter((clip) => new Set(chosen.map((each) => labelOf(clip, each)).filter((label) => label !== null)).size > 1)
    .map((clip) => ({ clip, gap: gap(clip) }))
    .sort((a, b) => b.gap - a.gap)
    .map(({ clip }) => clip);
}

/** The best of some figures, by which contestants to mark; null where they cannot be compared. */
export function bestOf(values, { lower = false } = {}) {
  const known = values.filter(Number.isFinite);
  if (known.length < 2) return null;
  return lower ? Math.min(...known) : Math.max(...known);
}
