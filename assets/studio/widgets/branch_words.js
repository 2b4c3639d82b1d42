// Branches in words.
import { count } from "../studio.js";

const MOMENTS = { "first-success": "first success", "fifth-success": "fifth success" };
const MOST_ALTERED = 3;
const LONGEST = 60;

/** Where a branch starts, from the parent's point of view: "its fifth success (step 61,240)" or "step 50,000". */
export function whereWords(moment, step) {
  return MOMENTS[moment] ? `its ${MOMENTS[moment]} (step ${count(step)})` : `step ${count(step)}`;
}

/** A checkpoint: "fifth success", "kept at intervals" or "for resuming". */
export function pointWords(point) {
  return MOMENTS[point.moment] ?? (point.kept ? "kept at intervals" : "for resuming");
}

/** How a branch differs from its parent: "with per instead of uniform". `altered`: settings with both values. */
export function alteredWords(altered) {
  if (!altered.length) return "with the same settings";
  const short = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);
  const said = altered
    .slice(0, MOST_ALTERED)
    .map(({ name, value, before }) => `${name ? `${name} ` : ""}${short(value)} instead of ${short(before)}`);
  const more = altered.length - said.length;
  return `with ${said.join(", ")}${more ? ` and ${more} more ${more === 1 ? "setting" : "settings"} changed` : ""}`;
}

/** Branches by the step that they start at, later steps first: [{ step, moment, rows }]. */
export function byStart(rows) {
  const groups = new Map();
  for (const row of rows) {
    const group = groups.get(row.parent_step) ?? { step: row.parent_step, moment: row.parent_moment, rows: [] };
    if (MOMENTS[row.parent_moment]) group.moment = row.parent_moment;
    group.rows.push(row);
    groups.set(row.parent_step, group);
  }
  return [...groups.values()].sort((a, b) => b.step - a.step);
}

/** What to mark in a run's curves: { successes, start }, each a list of [step, label]. */
export function momentsOf({ origin, first_success: first, fifth_success: fifth }) {
  const successes = [
    [first, "first success"],
    [fifth, "fifth success"],
  ];
  return {
    successes: successes.filter(([step]) => step !== null),
    start: origin ? [[origin.step, `branched off run ${origin.parent_id}`]] : [],
  };
}
