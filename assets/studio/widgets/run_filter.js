// Filters of the run table: a search field and menus. The choice is kept in the URL.
import { debounce, fill, h, query, setQuery } from "../studio.js";
import { shortEnv } from "./run_columns.js";

const MENUS = [
  { key: "state", title: "State", all: "Any state", values: (row) => [row.state] },
  { key: "env", title: "Environment", all: "Any environment", values: (row) => [row.env], words: shortEnv },
  { key: "method", title: "Method", all: "Any method", values: (row) => [row.method] },
  { key: "tag", title: "Tag", all: "Any tag", values: (row) => row.tags },
  { key: "set", title: "Set", all: "Any set", values: (row) => (row.set_name ? [row.set_name] : []) },
];

/** The filters above the table. `onchange()` is called when the choice has changed. */
export class RunFilter {
  constructor(onchange) {
    this.onchange = onchange;
    this.text = h("input.input", {
      type: "search",
      name: "q",
      placeholder: "Name, tag or number",
      "aria-label": "Find runs",
      value: query().q ?? "",
    });
    const typed = debounce(() => this.changed("q", this.text.value.trim()), 150);
    this.text.addEventListener("input", typed);
    this.regex = h(
      "button.run-regex",
      {
        type: "button",
        "aria-label": "Regular expression",
        title:
          "Regular expression, such as s[0-4]$ or per|uniform. It is looked for in each of a run's name, number, set, tags, " +
          "environment, method and agent, in upper and lower case.",
        onclick: () => this.changed("re", query().re ? "" : "1"),
      },
      ".*",
    );
    this.trouble = h("span.field-problem", { id: "run-regex-problem", role: "alert" });
    this.menus = MENUS.map((menu) => ({
      ...menu,
      options: "",
      node: h("select.input", {
        name: menu.key,
        "aria-label": menu.title,
        onchange: (event) => this.changed(menu.key, event.target.value),
      }),
    }));
    this.clear = h("button.button.quiet", { type: "button", onclick: () => this.reset() }, "Clear filters");
    this.words = h("span.muted", { role: "status" });
    this.node = h(
      "div.toolbar.run-filters",
      { role: "search" },
      h("span.run-search", {}, this.text, this.regex),
      this.trouble,
      this.menus.map((menu) => menu.node),
      this.clear,
      this.words,
    );
  }

  changed(key, value) {
    setQuery({ [key]: value });
    this.onchange();
  }

  reset() {
    setQuery({ q: "", re: "", ...Object.fromEntries(MENUS.map((menu) => [menu.key, ""])) });
    this.text.value = "";
    this.onchange();
    this.text.focus();
  }

  /** Whether anything is filtered. */
  get active() {
    const chosen = query();
    return ["q", ...MENUS.map((menu) => menu.key)].some((key) => chosen[key]);
  }

  /** Update the menus' options; a menu with fewer than two options is hidden. */
  update(rows, shown) {
    const chosen = query();
    for (const menu of this.menus) {
      const values = [...new Set([...rows.flatMap(menu.values), ...(chosen[menu.key] ? [chosen[menu.key]] : [])])];
      values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      if (menu.options !== JSON.stringify(values)) {
        menu.options = JSON.stringify(values);
        fill(
          menu.node,
          h("option", { value: "" }, menu.all),
          values.map((value) => h("option", { value }, menu.words?.(value) ?? value)),
        );
      }
      menu.node.value = chosen[menu.key] ?? "";
      menu.node.hidden = values.length < 2 && !chosen[menu.key];
    }
    const { trouble } = searchFrom(chosen);
    this.regex.setAttribute("aria-pressed", String(Boolean(chosen.re)));
    this.trouble.textContent = trouble;
    this.text.toggleAttribute("aria-invalid", Boolean(trouble));
    if (trouble) this.text.setAttribute("aria-describedby", this.trouble.id);
    else this.text.removeAttribute("aria-describedby");
    this.clear.hidden = !this.active;
    const words = this.active ? `${shown} of ${rows.length} runs` : `${rows.length} run${rows.length === 1 ? "" : "s"}`;
    if (this.words.textContent !== words) this.words.textContent = words;
  }
}

/** The rows that match the choice: the search, and the value of each menu. */
export function passing(rows, chosen) {
  const { matches } = searchFrom(chosen);
  return rows.filter(
    (row) => MENUS.every((menu) => !chosen[menu.key] || menu.values(row).includes(chosen[menu.key])) && matches(fieldsOf(row)),
  );
}

/**
 * The search of the choice: `q` as words, all of which are in some field, or with `re` as a regular expression, which one field
 * has to match. One that cannot be read filters nothing, and `trouble` says in words what is wrong with it.
 */
export function searchFrom({ q = "", re = "" }) {
  if (!re) {
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    return { matches: (fields) => words.every((word) => fields.join("\n").toLowerCase().includes(word)), trouble: "" };
  }
  try {
    const expression = new RegExp(q, "i");
    return { matches: (fields) => fields.some((field) => expression.test(field)), trouble: "" };
  } catch (error) {
    const reason = String(error.message).split(": ").at(-1)?.toLowerCase();
    const way = "correct it, write \\ before a character that is meant as it is, or turn .* off to search for words";
    return { matches: () => true, trouble: `${q} is no regular expression (${reason}): ${way}.` };
  }
}

function fieldsOf(row) {
  return [row.run_id, row.name, row.set_name, row.env, row.method, row.algo, `seed ${row.seed}`, ...row.tags].map(String);
}
