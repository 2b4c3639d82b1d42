// Text of the numbers in the comparison table.
import { number, short } from "../studio.js";

/** An estimate with its interval, "46 [40, 52] %", and with n if it does not include all runs. */
export function interval(found, share, runs) {
  if (!found) return "–";
  const one = (value) => (share ? whole(100 * value) : value && Math.abs(value) < 0.001 ? value.toExponential(1) : number(value));
  const words = found.low === null ? one(found.point) : `${one(found.point)} [${one(found.low)}, ${one(found.high)}]`;
  return `${words}${share ? " %" : ""}${found.n === runs ? "" : ` (n=${found.n})`}`;
}

/** Round half to even, as on the command line and in exports. */
function whole(value) {
  const rounded = Math.round(value);
  return String(Math.abs(value % 1) === 0.5 && rounded % 2 ? rounded - 1 : rounded);
}

/** Mean steps of a phase, "61k [52k, 70k] (2/8 censored)"; a narrow cell breaks in front of the parenthesis. */
export function restricted(found) {
  if (!found) return "–";
  const range = found.low === null ? "" : `\u00a0[${short(found.low)},\u00a0${short(found.high)}]`;
  return `${short(found.point)}${range} (${found.censored}/${found.n}\u00a0censored)`;
}

/** How much sooner or later a method consolidates than a baseline, "−27k [−41k, −9k] steps". */
export function contrast(found) {
  if (!found) return "";
  const one = (value) => `${value < 0 ? "−" : "+"}${short(Math.abs(value))}`;
  const { point, low, high } = found.difference;
  return `${one(point)}${low === null ? "" : ` [${one(low)}, ${one(high)}]`} steps to 50 %`;
}

/** "paired, 6 pairs from 3 runs", or "" if runs are not paired. */
export function pairs(found) {
  const some = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  return found.pairs ? `paired, ${some(found.pairs, "pair")} from ${some(found.parents, "run")}` : "";
}

/** Steps to a threshold: the median with its interval, and how many runs reached it. */
export function reaching(found) {
  const reached = `(${found.reached}/${found.n})`;
  if (found.median === null) return `– ${reached}`;
  const range = found.low === null ? "" : ` [${short(found.low)}, ${found.high === null ? "…" : short(found.high)}]`;
  return `${short(found.median)}${range} ${reached}`;
}
