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

/** Steps to a threshold: the median with its interval, and how many runs reached it. */
export function reaching(found) {
  const reached = `(${found.reached}/${found.n})`;
  if (found.median === null) return `– ${reached}`;
  const range = found.low === null ? "" : ` [${short(found.low)}, ${found.high === null ? "…" : short(found.high)}]`;
  return `${short(found.median)}${range} ${reached}`;
}
