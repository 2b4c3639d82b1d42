// The columns of the run table.
import { ago, badge, bar, count, duration, h, number, page, percent } from "../studio.js";
import { ordered } from "../view_menu.js";
import { whereWords } from "./branch_words.js";

/** MiniGrid-DoorKey-8x8-v0 → DoorKey-8x8. */
export function shortEnv(env) {
  return env.replace(/^MiniGrid-/, "").replace(/-v0$/, "");
}

export const share = (row) => (row.total_steps ? row.step / row.total_steps : 0);

/** The text next to a progress bar: the percentage and, if known, what the run does instead of training, or the time left. */
export function progressWords(row) {
  if (row.doing) return `${percent(share(row))} · ${row.doing}`;
  return row.eta_s === null ? percent(share(row)) : `${percent(share(row))} · ${duration(row.eta_s)} left`;
}

/** A method with its colour. */
export function methodLabel(method, color) {
  return [h("span.method-dot", { style: { background: `var(--${color})` } }), method];
}

/** `of(row, colors)`: what the cell shows, as plain data or text; `draw(row, colors)`: its nodes, by default the text;
 *  `by(row)`: the sort key; `hide`: columns with lower numbers are hidden first in narrow windows; `descending`: the first
 *  click on the header sorts the largest first. */
export const COLUMNS = [
  { key: "id", title: "#", by: (row) => row.run_id, of: (row) => row.run_id, right: true, hide: 4, descending: true },
  {
    key: "name",
    title: "Run",
    by: (row) => row.name.toLowerCase(),
    of: (row) => [row.name, row.tags, row.parent_id],
    draw: drawName,
  },
  { key: "state", title: "State", by: (row) => row.state, of: (row) => [row.state, row.error, row.warning], draw: drawState },
  { key: "env", title: "Environment", by: (row) => row.env, of: (row) => shortEnv(row.env), hide: 3 },
  {
    key: "method",
    title: "Method",
    by: (row) => row.method,
    of: (row, colors) => [row.method, colors[row.method], row.algo],
    draw: drawMethod,
  },
  { key: "seed", title: "Seed", by: (row) => row.seed, of: (row) => row.seed, right: true, hide: 2 },
  {
    key: "progress",
    title: "Progress",
    by: share,
    of: (row) => [row.step, row.total_steps, row.eta_s, row.state, row.doing],
    draw: drawProgress,
    descending: true,
  },
  {
    key: "best",
    title: "Best",
    hint: "Highest success rate of any evaluation",
    by: (row) => row.best_success,
    of: (row) => percent(row.best_success),
    right: true,
    descending: true,
  },
  {
    key: "latest",
    title: "Latest",
    hint: "Success rate of the latest evaluation",
    by: (row) => row.latest_success,
    of: (row) => percent(row.latest_success),
    right: true,
    descending: true,
  },
  {
    key: "speed",
    title: "Steps/s",
    by: (row) => row.steps_per_second,
    of: (row) => count(row.steps_per_second),
    right: true,
    hide: 3,
    descending: true,
  },
  {
    key: "yes",
    title: "Yes",
    hint: "Fraction of scored clips labelled yes",
    by: (row) => row.positive_rate,
    of: (row) => percent(row.positive_rate),
    right: true,
    hide: 1,
    descending: true,
  },
  {
    key: "backlog",
    title: "Backlog",
    hint: "Clips waiting to be scored",
    by: (row) => row.backlog,
    of: (row) => count(row.backlog),
    right: true,
    hide: 1,
    descending: true,
  },
  {
    key: "started",
    title: "Started",
    by: (row) => row.started_at ?? row.created_at,
    of: (row) => ago(row.started_at),
    hide: 2,
    descending: true,
  },
];

const KINDS = { last: "last value", min: "smallest value", max: "largest value" };

/**
 * A column that the user has added: "last:METRIC", "min:METRIC" or "max:METRIC", or "setting:NAME". The server puts its values
 * into `extra` of each row.
 */
export function extraColumn(key) {
  const [kind, name] = parts(key);
  const setting = kind === "setting";
  const value = (row) => row.extra?.[key] ?? null;
  return {
    key,
    title: setting ? name : `${name.split("/").at(-1)} (${kind})`,
    hint: setting ? `Setting ${name}` : `${name}: ${KINDS[kind]}`,
    by: value,
    of: (row) => (setting ? settingWords(row.extra?.[key]) : figureWords(value(row))),
    right: true,
    descending: !setting,
    extra: true,
  };
}

/** Whether this is the key of such a column. */
export function isExtra(key) {
  const [kind, name] = parts(key);
  return Boolean(name) && (kind === "setting" || kind in KINDS);
}

function parts(key) {
  const at = key.indexOf(":");
  return [key.slice(0, at), key.slice(at + 1)];
}

/** A metric's value in a narrow cell: 0.0000023 → "2.30e-6". */
function figureWords(value) {
  return value && Math.abs(value) < 0.001 ? value.toExponential(2) : number(value, 4);
}

/** A setting's value for people: 300000 → "300,000", null → "none"; missing → "–". */
export function settingWords(value) {
  if (value === undefined) return "–";
  if (value === null) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Number.isInteger(value)) return count(value);
  return typeof value === "number" ? number(value, 6) : String(value);
}

/** A run without its name cannot be opened or renamed. */
export const ALWAYS_SHOWN = "name";

/** The columns to show: all of COLUMNS that are not hidden and the added ones, in the user's order. */
export function shownColumns({ order, hidden, extra }) {
  const usual = COLUMNS.filter(({ key }) => key === ALWAYS_SHOWN || !hidden.includes(key));
  const all = [...usual, ...extra.filter(isExtra).map(extraColumn)];
  const keys = ordered(
    all.map((column) => column.key),
    order,
  );
  return keys.map((key) => all.find((column) => column.key === key));
}

function drawName(row) {
  return [
    h("a.run-name", { href: page("run", { run: row.run_id }), title: row.name }, row.name),
    row.parent_id ? branchTag(row) : null,
    row.tags.map((tag) => h("span.tag", {}, tag)),
  ];
}

function branchTag(row) {
  const words = `Branch of run ${row.parent_id} at ${whereWords(row.parent_moment, row.parent_step)}`;
  return h("a.tag.branch-tag", { href: page("run", { run: row.parent_id }), title: words }, `branch of ${row.parent_id}`);
}

function drawState(row) {
  const node = badge(row.state);
  const words = row.error || row.warning;
  if (words) node.title = words;
  return [
    node,
    row.warning && row.state === "running"
      ? h("span.warn-mark", { title: row.warning, "aria-label": row.warning, role: "img" }, "!")
      : null,
  ];
}

function drawMethod(row, colors) {
  return h("span", { title: `${row.algo.toUpperCase()}, ${row.method}` }, methodLabel(row.method, colors[row.method]));
}

function drawProgress(row) {
  return h(
    `div.run-far${row.eta_s === null ? ".still" : ""}`,
    {},
    bar(share(row), `progress of run ${row.run_id}`),
    h("span.run-far-words", { title: `${count(row.step)} of ${count(row.total_steps)} steps` }, progressWords(row)),
  );
}

/** The key of the column in a sort order such as "-best". */
export const sortKey = (sort) => sort.replace(/^-/, "");

/** Rows sorted by `sort`, such as "best" or "-best"; missing values come last. */
export function sortRows(rows, sort) {
  const key = sortKey(sort);
  const column = COLUMNS.find((one) => one.key === key) ?? (isExtra(key) ? extraColumn(key) : COLUMNS[0]);
  const sign = sort.startsWith("-") ? -1 : 1;
  const compare = (a, b) => {
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    const numbers = typeof a === "number" && typeof b === "number";
    return sign * (numbers ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  };
  return [...rows].sort((a, b) => compare(column.by(a), column.by(b)) || b.run_id - a.run_id);
}

/** The sort order after a click on a column's header: the column's own direction first, then the opposite. */
export function nextSort(sort, key, descending = false) {
  const [first, second] = descending ? [`-${key}`, key] : [key, `-${key}`];
  return sort === first ? second : first;
}

/** Classes of a column's cells. */
export function cellClass(column) {
  return [
    column.extra ? "col-extra" : `col-${column.key}`,
    column.right ? "right num" : "",
    column.hide ? `hide-${column.hide}` : "",
  ]
    .filter(Boolean)
    .join(" ");
}
