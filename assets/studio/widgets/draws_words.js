// The replay microscope's numbers in words, and its steps; no page needed.
import { count, number, short } from "../studio.js";

/** The index of the step nearest to `step`, the earlier of two; steps ascend, and there is at least one. */
export function nearest(steps, step) {
  const after = steps.findIndex((each) => each >= step);
  if (after < 1) return after < 0 ? steps.length - 1 : 0;
  return steps[after] - step < step - steps[after - 1] ? after : after - 1;
}

/** How often a clip was drawn, and how many times as often as by chance: ["14 draws", "6.2×"]. */
export function timesWords({ drawn, by_chance: chance }) {
  return [`${count(drawn)} ${drawn === 1 ? "draw" : "draws"}`, chance > 0 ? `${number(drawn / chance, 2)}×` : ""];
}

/** A clip's age in steps, and its mean TD error when it was drawn: ["age 4210", "|δ| 0.031"]. */
export function ageWords({ age, td_error: error }) {
  return [`age ${short(age)}`, `|δ| ${Number.isFinite(error) ? number(error, 2) : "not finite"}`];
}

/** Who drew a clip: "12 by labels, 2 by the base (uniform)"; "" for a method without labels. */
export function whoWords({ drawn, by_labels: labels }, base) {
  return labels === null ? "" : `${count(labels)} by labels, ${count(drawn - labels)} by the base (${base})`;
}

/** What stands above the clips that were drawn most often. */
export function chanceWords({ most_by_chance: most }) {
  if (most === null) return "";
  const times = most === 1 ? "once" : `${count(most)} times`;
  return `Chance scatters, too: uniform replay would draw its luckiest clip about ${times}.`;
}

/** That some of the clips cannot be shown any more; or "". */
export function goneWords({ gone }) {
  if (!gone) return "";
  return gone === 1 ? "1 more clip was deleted with its run." : `${count(gone)} more clips were deleted with their run.`;
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
