// The replay microscope's numbers in words, and its steps; no page needed.
import { count, number } from "../studio.js";

/** The index of the step nearest to `step`, the earlier of two; steps ascend, and there is at least one. */
export function nearest(steps, step) {
  const after = steps.findIndex((each) => each >= step);
  if (after < 1) return after < 0 ? steps.length - 1 : 0;
  return steps[after] - step < step - steps[after - 1] ? after : after - 1;
}

/** How often a clip was drawn, beside what chance would do: "14 draws · 6.2× chance". */
export function timesWords({ drawn, by_chance: chance }) {
  const draws = `${count(drawn)} ${drawn === 1 ? "draw" : "draws"}`;
  return chance > 0 ? `${draws} · ${number(drawn / chance, 2)}× chance` : draws;
}

/** How old a clip is, and its TD error: "4,210 steps old · |δ| 0.031". */
export function ageWords({ age, td_error: error }) {
  return `${count(age)} ${age === 1 ? "step" : "steps"} old · |δ| ${Number.isFinite(error) ? number(error, 2) : "not finite"}`;
}

/** Who drew a clip: "12 by labels, 2 by the base (uniform)"; "" for a method without labels. */
export function whoWords({ drawn, by_labels: labels }, base) {
  return labels === null ? "" : `${count(labels)} by labels, ${count(drawn - labels)} by the base (${base})`;
}

/** What stands above the clips that were drawn most often. */
export function chanceWords({ clips, most_by_chance: most }) {
  if (most === null) return "";
  return (
    `Draws scatter: of the ${count(clips)} clips drawn, uniform replay would draw the luckiest about ${count(most)} ` +
    `${most === 1 ? "time" : "times"}.`
  );
}

const KINS = [
  ["sibling", "Siblings: branches from the same step"],
  ["parent", "Parent"],
  ["branch", "Branches of this run"],
  ["env", "Same environment"],
  ["", "Other runs"],
];

/** The runs to choose from, as [title, runs] in the order of `KINS`, without empty groups. */
export function byKin(others) {
  return KINS.map(([kin, title]) => [title, others.filter((other) => other.kin === kin)]).filter(([, found]) => found.length);
}
