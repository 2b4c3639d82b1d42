// Text and order of what the studies page shows.
import { count, duration, number, percent } from "../studio.js";

const WORDS = {
  done: "done",
  missing: "not started",
  "no branch": "no branch: its trunk never got to the moment",
  created: "not started",
};

/** What a run's square says: "per, seed 3: running, 40 %". */
export function cellWords(cell) {
  const place = [cell.task, cell.arm, `seed ${cell.seed}`].filter(Boolean).join(", ");
  const state = WORDS[cell.state] ?? cell.state;
  const partly = cell.share > 0 && cell.share < 1 ? `, ${percent(cell.share)}` : "";
  return `${place}: ${state}${partly}`;
}

/** The rows of the grid in their order: task, arm, and cells by seed. */
export function gridRows(cells) {
  const rows = new Map();
  for (const cell of cells) {
    const key = JSON.stringify([cell.task, cell.arm]);
    if (!rows.has(key)) rows.set(key, { task: cell.task, arm: cell.arm, cells: new Map() });
    rows.get(key).cells.set(cell.seed, cell);
  }
  return [...rows.values()];
}

/** "108 runs, about 18 core-hours, 6 h on this machine, from the speed of …". */
export function costWords(cost) {
  if (!cost.runs) return "nothing is left to train";
  const runs = `${count(cost.runs)} ${cost.runs === 1 ? "run" : "runs"}`;
  const hours = `${cost.at_most ? "at most" : "about"} ${number(cost.core_hours, 2)} core-hours`;
  return `${runs}, ${hours}, ${duration(3600 * cost.hours)} on this machine, ${cost.basis}; a model that scores clips takes more`;
}
