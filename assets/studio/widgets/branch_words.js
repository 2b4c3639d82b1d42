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

function short(text) {
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
}

/** How a branch differs from its parent: "with per instead of uniform". `altered`: settings with both values. */
export function alteredWords(altered) {
  if (!altered.length) return "with the same settings";
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

/** A mark where branches of a run start: "3 branches start". */
export function startWords(branches) {
  return branches === 1 ? "a branch starts" : `${count(branches)} branches start`;
}

/** What to mark in a run's curves: { successes, start, branches }, each a list of [step, label]. */
export function momentsOf(run, { origin, first_success: first, fifth_success: fifth, relatives }) {
  const successes = [
    [first, "first success"],
    [fifth, "fifth success"],
  ];
  return {
    successes: successes.filter(([step]) => step !== null),
    branches: byStart(relatives.filter((row) => row.parent_id === run)).map(({ step, rows }) => [step, startWords(rows.length)]),
    start: origin ? [[origin.step, `branched off run ${origin.parent_id}`]] : [],
  };
}

const MOST_SHOWN = 6; // branches from one step; more are folded up

/**
 * The tree that a run's relatives form: { row, run_id, starts: [{ key, step, moment, ids, shown, folded }] }, where `shown` and
 * `folded` are such trees. A branch that leads to `run` is never folded up. `row` is null for an ancestor that has been deleted.
 *
 * @param {number} run
 * @param {any[]} rows its ancestors, siblings and descendants, and itself
 */
export function treeOf(run, rows) {
  const byId = new Map(rows.map((row) => [row.run_id, row]));
  const path = new Set([run]);
  let top = byId.get(run)?.parent_id ?? null;
  while (top !== null && !path.has(top)) {
    path.add(top);
    top = byId.get(top)?.parent_id ?? null;
  }
  const seen = new Set();
  const grow = (id) => {
    seen.add(id);
    const branches = rows.filter((row) => row.parent_id === id && !seen.has(row.run_id));
    const starts = byStart(branches).map(({ step, moment, rows: group }) => {
      const few = group.length <= MOST_SHOWN;
      const inSight = group.filter((row) => few || path.has(row.run_id));
      const folded = group.filter((row) => !inSight.includes(row));
      const ids = group.map((row) => row.run_id);
      const trees = (some) => some.map((row) => grow(row.run_id));
      return { key: `${id} ${step}`, step, moment, ids, shown: trees(inSight), folded: trees(folded) };
    });
    return { row: byId.get(id) ?? null, run_id: id, starts };
  };
  return grow([...path].at(-1));
}

/** Runs in short, by method, the most frequent first: "per 20, uniform 19". */
export function methodCounts(rows) {
  const counts = new Map();
  for (const { method } of rows) counts.set(method, (counts.get(method) ?? 0) + 1);
  const ordered = [...counts].sort((a, b) => b[1] - a[1]);
  return ordered.map(([method, n]) => `${short(method)} ${count(n)}`).join(", ");
}
