// Sets of runs in the table: which there are, which are folded away, and what they come to.

/** Sets in the order of their first run; runs outside sets last. One group without a name where there is no set at all. */
export function groupsBySet(rows) {
  if (!rows.some((row) => row.set_name)) return [{ rows }];
  const groups = new Map();
  for (const row of rows) groups.set(row.set_name, [...(groups.get(row.set_name) ?? []), row]);
  return [...groups]
    .map(([name, members]) => ({ name, rows: members }))
    .sort((a, b) => Number(a.name === "") - Number(b.name === ""));
}

/** Names of sets from the address. */
export function setsFromText(text) {
  const names = (text ?? "").split(",").filter(Boolean);
  return new Set(names.map((name) => decoded(name).replace(/^~/, "")));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand, with a % that encodes nothing
  }
}

/** Names of sets for the address; the ~ keeps "", the runs outside sets, from vanishing. */
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
