// The filters above the grid. Their state is in the URL.
import { button, count, debounce, fill, focusedNode, h } from "../studio.js";

/** URL parameters that filter clips. */
export const FILTERS = [
  "run",
  "label",
  "agreement",
  "human",
  "event",
  "prompt",
  "min_step",
  "max_step",
  "min_p",
  "max_p",
  "min_spread",
  "superseded",
];

const CHOICES = {
  label: [
    "Label",
    [
      ["", "any"],
      ["yes", "yes"],
      ["no", "no"],
      ["unknown", "unknown"],
      ["unscored", "not scored"],
    ],
  ],
  agreement: [
    "Label and events",
    [
      ["", "any"],
      ["agrees", "agree"],
      ["disagrees", "disagree"],
    ],
  ],
  human: [
    "Verdict",
    [
      ["", "any"],
      ["disagreed", "disagreed"],
      ["agreed", "agreed"],
      ["any", "judged"],
      ["none", "not judged"],
    ],
  ],
  order: [
    "Sort",
    [
      ["", "newest first"],
      ["oldest", "oldest first"],
      ["score_high", "highest P(yes) first"],
      ["score_low", "lowest P(yes) first"],
      ["disagreement", "furthest from the events"],
      ["threshold", "nearest to the threshold"],
      ["prompts", "prompts furthest apart"],
      ["spread", "voters furthest apart"],
    ],
  ],
};

/**
 * The filter bar `node`; `order`, `superseded` and `clear` are placed elsewhere. `onchange(changes)` gets the changed URL
 * parameters; `show(values)` and `setMenus(menus)` update the bar.
 */
export class FilterBar {
  constructor(onchange) {
    this.onchange = onchange;
    this.menus = { runs: [], events: [], prompts: [] };
    this.controls = {};
    this.runs = new RunPicker((ids) => onchange({ run: ids.join(",") }));
    this.clear = button("Clear filters", () => onchange(Object.fromEntries(FILTERS.map((name) => [name, ""]))), {
      kind: "quiet.small",
      hidden: true,
    });
    this.node = h(
      "form.filters",
      { role: "search", "aria-label": "Filter clips", onsubmit: (event) => event.preventDefault() },
      this.runs.node,
      this.#select("label"),
      this.#select("agreement"),
      this.#select("human"),
      this.#menu("event", "Event"),
      this.#menu("prompt", "Prompt"),
      this.#range("Steps", "min_step", "max_step", { min: 0, step: 1, class: "wide-number" }),
      this.#range("P(yes)", "min_p", "max_p", { min: 0, max: 1, step: "any" }),
      this.#least("Voters differ by", "min_spread", {
        min: 0,
        max: 1,
        step: "any",
        class: "least",
        title: "Largest minus smallest P(yes) among the members of a vote or cascade",
      }),
    );
    this.order = this.#select("order");
    const superseded = h("input", {
      type: "checkbox",
      onchange: () => onchange({ superseded: superseded.checked ? "1" : "" }),
    });
    this.controls.superseded = superseded;
    this.superseded = h(
      "label.check",
      { title: "Include clips after the checkpoint that a run was later resumed from" },
      superseded,
      "Show superseded",
    );
  }

  /** Show the URL's parameters. */
  show(values) {
    for (const [name, control] of Object.entries(this.controls)) {
      if (name === "superseded") control.checked = values[name] === "1";
      else {
        this.#ensureOption(control, values[name] ?? "");
        if (control !== document.activeElement || control.value === "") control.value = values[name] ?? "";
      }
      control.classList.toggle("in-use", Boolean(values[name]));
    }
    this.runs.show(values.run ?? "");
    this.clear.hidden = !FILTERS.some((name) => values[name]);
  }

  /** Update the menus' options. */
  setMenus(menus, values) {
    this.menus = menus;
    this.runs.setRuns(menus.runs);
    fill(
      this.controls.event,
      option("", "any"),
      menus.events.map((name) => option(name, name.replaceAll("_", " "))),
    );
    fill(
      this.controls.prompt,
      option("", "any"),
      menus.prompts.map(({ prompt_id, name, version, text }) =>
        h("option", { value: String(prompt_id), title: text.slice(0, 300) }, `${name.slice(0, 60)}@${version}`),
      ),
    );
    this.show(values);
  }

  #select(name) {
    const [words, choices] = CHOICES[name];
    return this.#field(
      words,
      name,
      h(
        "select",
        { "aria-label": words, onchange: (event) => this.onchange({ [name]: event.target.value }) },
        choices.map(([value, text]) => option(value, text)),
      ),
    );
  }

  #menu(name, words) {
    return this.#field(
      words,
      name,
      h(
        "select.menu",
        { "aria-label": words, onchange: (event) => this.onchange({ [name]: event.target.value }) },
        option("", "any"),
      ),
    );
  }

  #field(words, name, control) {
    this.controls[name] = control;
    return h("label.field", {}, words, control);
  }

  #range(words, low, high, limits) {
    return h(
      "div.field",
      {},
      words,
      h("div.range", {}, this.#number(words, low, "from", limits), this.#number(words, high, "to", limits)),
    );
  }

  #least(words, name, limits) {
    return h("div.field", {}, words, this.#number(words, name, "at least", limits));
  }

  #number(words, name, place, { class: kind = "", ...limits }) {
    this.controls[name] = h("input.input", {
      type: "number",
      placeholder: place,
      "aria-label": `${words} ${place}`,
      class: `input ${kind}`,
      oninput: debounce((event) => event.target.validity.valid && this.onchange({ [name]: event.target.value }), 400),
      ...limits,
    });
    return this.controls[name];
  }

  /** Show a value from the URL even if no menu offers it (any more). */
  #ensureOption(control, value) {
    if (control.tagName !== "SELECT" || !value || [...control.options].some((item) => item.value === value)) return;
    control.append(option(value, value.slice(0, 60)));
  }
}

function option(value, text) {
  return h("option", { value }, text);
}

/** The run filter: a button that opens a searchable list. */
class RunPicker {
  constructor(onchange) {
    this.onchange = onchange;
    /** @type {any[]} */
    this.runs = [];
    this.chosen = new Set();
    this.summary = h("summary.input", {}, "all");
    this.search = h("input.input", {
      type: "search",
      placeholder: "Find a run",
      "aria-label": "Find a run",
      oninput: () => this.#list(),
    });
    this.list = h("div.run-options");
    this.popup = h(
      "details.run-picker",
      { onkeydown: (event) => this.#key(event), ontoggle: () => this.popup.open && this.search.focus() },
      this.summary,
      h(
        "div.popup",
        {},
        this.search,
        this.list,
        button("All runs", () => this.#choose([]), { kind: "small" }),
      ),
    );
    document.addEventListener("pointerdown", (event) => {
      if (!this.popup.contains(event.target)) this.popup.open = false;
    });
    this.node = h("div.field", {}, h("span", {}, "Runs"), this.popup);
  }

  show(text) {
    this.chosen = new Set(
      text
        .split(",")
        .map((part) => part.trim())
        .filter(Boolean),
    );
    this.#title();
    this.#list();
  }

  setRuns(runs) {
    this.runs = runs;
    this.#title();
    this.#list();
  }

  #title() {
    const [first] = this.chosen;
    const name = this.runs.find((run) => String(run.run_id) === first)?.name ?? `run ${first}`;
    fill(
      this.summary,
      h("span.picked", {}, this.chosen.size === 0 ? "all" : this.chosen.size === 1 ? name : `${this.chosen.size} runs`),
      h("span", { "aria-hidden": "true" }, "▾"),
    );
    const words = `Runs: ${this.summary.firstChild.textContent}`;
    this.summary.setAttribute("aria-label", words);
    this.summary.title = words;
    this.summary.classList.toggle("in-use", this.chosen.size > 0);
  }

  #list() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.runs.filter((run) =>
      words.every((word) => `${run.run_id} ${run.name} ${run.env} ${run.method} ${run.status}`.toLowerCase().includes(word)),
    );
    const focused = focusedNode()?.dataset.run;
    fill(
      this.list,
      found.length
        ? found.map((run) => this.#option(run))
        : h("p.muted", {}, this.runs.length ? "No matching runs." : "No runs yet."),
    );
    if (focused) this.list.querySelector(`[data-run="${CSS.escape(focused)}"]`)?.focus();
  }

  #option(run) {
    const id = String(run.run_id);
    const box = h("input", {
      type: "checkbox",
      checked: this.chosen.has(id),
      data: { run: id },
      onchange: () => {
        box.checked ? this.chosen.add(id) : this.chosen.delete(id);
        this.#choose([...this.chosen]);
      },
    });
    return h(
      "label.run-option",
      {},
      box,
      h("span.picked", { title: run.name }, run.name),
      h("span.muted.num", {}, `${run.run_id} · ${count(run.clips)} clips`),
    );
  }

  #choose(ids) {
    this.chosen = new Set(ids);
    this.onchange(ids);
  }

  #key(event) {
    if (event.key !== "Escape") return;
    this.popup.open = false;
    this.summary.focus();
  }
}
