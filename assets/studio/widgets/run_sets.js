// Sets of runs in the table: grouping, collapsed sets, summaries.

/** Sets in the order of their first run; runs outside sets last. Without any sets, one group without a name. */
export function groupsBySet(rows) {
  if (!rows.some((row) => row.set_name)) return [{ rows }];
  const groups = new Map();
  for (const row of rows) groups.set(row.set_name, [...(groups.get(row.set_name) ?? []), row]);
  return [...groups]
    .map(([name, members]) => ({ name, rows: members }))
    .sort((a, b) => Number(a.name === "") - Number(b.name === ""));
}

/** Names of sets from the URL. */
export function setsFromText(text) {
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

/** Names of sets for the URL; the ~ keeps "", which stands for runs outside sets, from getting lost. */
export function textOfSets(names) {
  return [...names].map((name) => encodeURIComponent(`~${name}`)).join(",");
}

/** "3 runs: 2 running, 1 not started". */
export function setWords(rows) {
  const states = new Map();
  for (const row of rows) states.set(row.state, (states.get(row.state) ?? 0) + 1);
  const words = [...states].map(([state, n]) => `${n} ${state === "created" ? "not started" : state}`);
  return `${rows.length} run${rows.length === 1 ? "" : "s"}: ${words.join(", ")}`;
}
