// Groups of runs in the table: what they are grouped by, collapsed groups, summaries.
import { settingWords, shortEnv } from "./run_columns.js";

/** `of(row)`: the group of a run, "" for none, which is titled `none`. Groupings by a setting are made by `groupingBy`. */
export const GROUPINGS = [
  { key: "set", title: "Set", of: (row) => row.set_name, none: "Not in a set" },
  { key: "method", title: "Method", of: (row) => row.method, none: "No method" },
  { key: "env", title: "Environment", of: (row) => row.env, words: shortEnv, none: "No environment" },
  { key: "tag", title: "Tags", of: (row) => [...row.tags].sort().join(", "), none: "No tags" },
  { key: "state", title: "State", of: (row) => row.state, none: "" },
];

/** The grouping of this key; "setting:NAME" groups by a setting, whose values are in `extra`. undefined for no grouping. */
export function groupingBy(key) {
  if (!key.startsWith("setting:")) return GROUPINGS.find((one) => one.key === key);
  const name = key.slice("setting:".length);
  const of = (row) => (row.extra?.[key] === undefined ? "" : `${name} ${settingWords(row.extra[key])}`);
  return { key, title: name, of, none: `${name} not known` };
}

/** Groups in the order of their first run; runs of none last. Without any sets, or any grouping, one group without a name. */
export function groupsBy(rows, grouping) {
  if (!grouping || (grouping.key === "set" && !rows.some((row) => row.set_name))) return [{ rows }];
  const groups = new Map();
  for (const row of rows) {
    const name = grouping.of(row);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  return [...groups]
    .map(([name, members]) => ({ name, title: name ? (grouping.words?.(name) ?? name) : grouping.none, rows: members }))
    .sort((a, b) => Number(a.name === "") - Number(b.name === ""));
}

/** Names of the collapsed groups from the URL. */
export function closedFromText(text) {
  const names = (text ?? "").split(",").filter(Boolean);
  return new Set(names.map((name) => decoded(name).replace(/^~/, "")));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand, with a stray %
  }
}

/** Names of groups for the URL; the ~ keeps "", which stands for runs of no group, from getting lost. */
export function textOfClosed(names) {
  return [...names].map((name) => encodeURIComponent(`~${name}`)).join(",");
}

/** "3 runs: 2 running, 1 not started". */
export function groupWords(rows) {
  const states = new Map();
  for (const row of rows) states.set(row.state, (states.get(row.state) ?? 0) + 1);
  const words = [...states].map(([state, n]) => `${n} ${state === "created" ? "not started" : state}`);
  return `${rows.length} run${rows.length === 1 ? "" : "s"}: ${words.join(", ")}`;
}
